//! Recording, gradients, and gradients of width slices.
//!
//! Whether autograd records is the only thread-wide state of the engine. Invariant: methods whose names end in `_` write
//! in place and are not recorded.
//!
//! A slimmable weight is sliced once per pass. Slicing under autograd would allocate and add a gradient of the *full*
//! shape per slice. Instead, [`Tensor::leaf_prefix`] ends the record at the slice, and [`Tensor::add_prefix_`] adds the
//! small gradient where it belongs.

use crate::error::{failed, failed_shapes};
use crate::shim;
use crate::{Result, Tensor};

/// Runs `body` without recording.
pub fn no_grad<T>(body: impl FnOnce() -> T) -> T {
    let _guard = tch::no_grad_guard();
    body()
}

impl Tensor {
    /// Turns the tensor into a leaf that collects a gradient.
    ///
    /// # Errors
    /// Fails if it is not floating point.
    pub fn require_grad(self) -> Result<Self> {
        let failure = failed_shapes("require_grad", vec![self.shape()]);
        self.0.f_detach().and_then(|leaf| leaf.f_set_requires_grad(true)).map(Self).map_err(failure)
    }

    /// Whether autograd records operations on the tensor.
    pub fn requires_grad(&self) -> bool {
        self.0.requires_grad()
    }

    /// An alias that autograd does not follow.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn detach(&self) -> Result<Self> {
        self.0.f_detach().map(Self).map_err(failed("detach", [self]))
    }

    /// Adds the gradient of this scalar to every leaf that it depends on, and frees the record.
    ///
    /// # Errors
    /// Fails if it is not a scalar, or if it depends on nothing that was recorded.
    pub fn backward(&self) -> Result<()> {
        self.0.f_backward().map_err(failed("backward", [self]))
    }

    /// The gradient collected so far, which shares its memory; `None` before the first `backward`.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn grad(&self) -> Result<Option<Self>> {
        let grad = self.0.f_grad().map_err(failed("grad", [self]))?;
        Ok(grad.defined().then_some(Self(grad)))
    }

    /// Removes the gradient, so that the next `backward` writes a new one instead of adding.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn zero_grad(&mut self) -> Result<()> {
        shim::clear_grad(self)
    }

    /// Sets the collected gradient to `grad`, which shares its memory.
    ///
    /// # Errors
    /// Fails if the shapes differ.
    pub fn set_grad(&mut self, grad: &Self) -> Result<()> {
        shim::set_grad(self, grad)
    }

    /// A separate leaf with the leading `sizes[d]` entries of each leading dimension, in channels-last memory. It is a
    /// copy, or the same memory if the slice is already dense there (the whole weight; a depthwise weight at any width).
    ///
    /// # Errors
    /// Fails if a size is larger than that of the tensor.
    pub fn leaf_prefix(&self, sizes: &[usize]) -> Result<Self> {
        shim::leaf_prefix(self, sizes)
    }

    /// A separate leaf with these values, in channels-last memory.
    ///
    /// # Errors
    /// Fails if libtorch does not have enough memory.
    pub fn to_leaf(&self) -> Result<Self> {
        self.detach()?.channels_last()?.require_grad()
    }

    /// Adds `part` to the leading entries of `self`, in place.
    ///
    /// # Errors
    /// Fails if `part` is larger in a dimension or has another rank.
    pub fn add_prefix_(&mut self, part: &Self) -> Result<()> {
        shim::add_prefix(self, part)
    }
}
