//! Recording, gradients, and gradients of width slices.
//!
//! Separate because this is the only mutable, thread-wide state of the engine. Invariant: what
//! ends in `_` writes in place and is not recorded.
//!
//! A slimmable weight is sliced once per pass. Slicing under autograd would allocate and add a
//! gradient of the *full* shape per slice; [`Tensor::leaf_prefix`] cuts the record at the slice,
//! and [`Tensor::add_prefix_`] adds its small gradient where it belongs.

use crate::error::{failed, failed_shapes};
use crate::shim;
use crate::{Result, Tensor};

/// Runs `body` without recording.
pub fn no_grad<T>(body: impl FnOnce() -> T) -> T {
    let _guard = tch::no_grad_guard();
    body()
}

impl Tensor {
    /// The same tensor as a leaf that collects a gradient.
    ///
    /// # Errors
    /// When it is not floating point.
    pub fn require_grad(self) -> Result<Self> {
        let failure = failed_shapes("require_grad", vec![self.shape()]);
        self.0.f_detach().and_then(|leaf| leaf.f_set_requires_grad(true)).map(Self).map_err(failure)
    }

    /// Whether autograd records what is done with it.
    pub fn requires_grad(&self) -> bool {
        self.0.requires_grad()
    }

    /// An alias that autograd does not follow.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn detach(&self) -> Result<Self> {
        self.0.f_detach().map(Self).map_err(failed("detach", [self]))
    }

    /// Adds the gradient of this scalar to every leaf it came from, and frees the record.
    ///
    /// # Errors
    /// When it is not a scalar, or nothing recorded leads to it.
    pub fn backward(&self) -> Result<()> {
        self.0.f_backward().map_err(failed("backward", [self]))
    }

    /// The gradient collected so far, sharing its memory; none before the first `backward`.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn grad(&self) -> Result<Option<Self>> {
        let grad = self.0.f_grad().map_err(failed("grad", [self]))?;
        Ok(grad.defined().then_some(Self(grad)))
    }

    /// Forgets the gradient: the next `backward` writes a new one instead of adding.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn zero_grad(&mut self) -> Result<()> {
        shim::clear_grad(self)
    }

    /// Makes `grad` the collected gradient, sharing its memory.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn set_grad(&mut self, grad: &Self) -> Result<()> {
        shim::set_grad(self, grad)
    }

    /// A leaf of its own holding the leading `sizes[d]` entries of each leading dimension, in
    /// channels-last memory: a copy, or the same memory when the slice is dense there already
    /// (the whole weight; a depthwise weight at any width).
    ///
    /// # Errors
    /// When a size is larger than the tensor's.
    pub fn leaf_prefix(&self, sizes: &[usize]) -> Result<Self> {
        shim::leaf_prefix(self, sizes)
    }

    /// Adds `part` to the leading entries of `self`, in place.
    ///
    /// # Errors
    /// When `part` is larger in a dimension or has another rank.
    pub fn add_prefix_(&mut self, part: &Self) -> Result<()> {
        shim::add_prefix(self, part)
    }
}
