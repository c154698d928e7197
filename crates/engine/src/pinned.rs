//! Pinned memory: pages that stay where they are, so that a GPU copies from them itself.
//!
//! Separate from the tensor because it is filled by others before it becomes one.

use std::fmt;

use crate::{Result, Tensor, shim};

/// Floats in pinned memory, for [`Tensor::from_buffer`].
pub struct PinnedFloats(pub(crate) Tensor);

impl PinnedFloats {
    /// As many floats, with any content.
    ///
    /// # Errors
    /// There is no GPU, or not so much memory.
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
