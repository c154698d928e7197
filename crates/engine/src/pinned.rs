//! Pinned memory: pages that stay in place, so that a GPU can copy from them directly.
//!
//! It is separate from the tensor because other code fills it before it becomes one.

use std::fmt;

use crate::{Result, Tensor, shim};

/// Floats in pinned memory, for [`Tensor::from_buffer`].
pub struct PinnedFloats(pub(crate) Tensor);

impl PinnedFloats {
    /// Allocates `len` floats with arbitrary content.
    ///
    /// # Errors
    /// Fails if there is no GPU or not enough memory.
    pub fn new(len: usize) -> Result<Self> {
        shim::pinned_floats(len).map(Self)
    }
}

impl fmt::Debug for PinnedFloats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedFloats({})", self.0.elements())
    }
}

impl AsRef<[f32]> for PinnedFloats {
    fn as_ref(&self) -> &[f32] {
        shim::floats(self)
    }
}

impl AsMut<[f32]> for PinnedFloats {
    fn as_mut(&mut self) -> &mut [f32] {
        shim::floats_mut(self)
    }
}
