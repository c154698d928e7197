//! The SGD update of a group of parameters, in place and in one call.
//!
//! Separate because it is the one operation on a list of tensors. Invariant: after a
//! step, a momentum buffer lies in memory exactly as its parameter does.

use crate::shim;
use crate::{Result, Tensor};

/// One update's settings, for all parameters of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: f64,
    /// Momentum; dampening is 0.
    pub momentum: f64,
    /// Added to the gradient as `weight_decay · parameter`.
    pub weight_decay: f64,
    /// Whether the step looks ahead along the momentum.
    pub nesterov: bool,
}

/// The momentum buffers of a group of parameters, in the order of the parameters.
#[derive(Debug)]
pub struct FusedSgd {
    buffers: Vec<Tensor>,
    started: bool,
}

impl FusedSgd {
    /// Buffers for `params`, before the first step.
    ///
    /// # Errors
    /// When the memory is not there.
    pub fn new(params: &[&Tensor]) -> Result<Self> {
        let buffers = params.iter().map(|param| param.zeros_like()).collect::<Result<_>>()?;
        Ok(Self { buffers, started: false })
    }

    /// Buffers restored from a checkpoint, in the order of the parameters: the next step is not
    /// the first. They may lie in any memory order; the next step puts them into that of the
    /// parameters.
    pub fn resume(buffers: Vec<Tensor>) -> Self {
        Self { buffers, started: true }
    }

    /// The momentum buffers, to store them.
    pub fn buffers(&self) -> &[Tensor] {
        &self.buffers
    }

    /// Whether a step was taken, that is, whether the buffers mean anything.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Updates `params` in place from `grads`. The first step sets the momentum to the gradient.
    ///
    /// # Errors
    /// When a parameter, its gradient and its buffer differ in shape.
    ///
    /// # Source
    /// `torch.optim.SGD` with `dampening=0`.
    ///
    /// # Panics
    /// When the number of gradients or buffers is not that of the parameters.
    pub fn step(&mut self, params: &[&Tensor], grads: &[&Tensor], step: &SgdStep) -> Result<()> {
        let buffers: Vec<&Tensor> = self.buffers.iter().collect();
        shim::fused_sgd(params, grads, &buffers, step, !self.started)?;
        self.started = true;
        Ok(())
    }
}
