//! The SGD update of a group of parameters, in place and in one call.
//!
//! Invariant: after a step, every momentum buffer has the memory layout of its parameter.

use crate::shim;
use crate::{Result, Tensor};

/// The settings of one update, for all parameters of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: f64,
    /// Momentum; dampening is 0.
    pub momentum: f64,
    /// L2 penalty: `weight_decay · parameter` is added to the gradient.
    pub weight_decay: f64,
    /// Whether the step uses Nesterov momentum.
    pub nesterov: bool,
}

/// The momentum buffers of a group of parameters, in the order of the parameters.
#[derive(Debug)]
pub struct FusedSgd {
    buffers: Vec<Tensor>,
    started: bool,
}

impl FusedSgd {
    /// Creates buffers for `params`, before the first step.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn new(params: &[&Tensor]) -> Result<Self> {
        let buffers = params.iter().map(|param| param.zeros_like()).collect::<Result<_>>()?;
        Ok(Self { buffers, started: false })
    }

    /// Restores buffers from a checkpoint, in the order of the parameters, so that the next step is not the first one.
    /// They may have any memory layout; the next step changes it to that of the parameters.
    pub fn resume(buffers: Vec<Tensor>) -> Self {
        Self { buffers, started: true }
    }

    /// The momentum buffers, for a checkpoint.
    pub fn buffers(&self) -> &[Tensor] {
        &self.buffers
    }

    /// Whether a step has been taken. Before that the buffers have no meaning.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Updates `params` in place from `grads`. The first step sets the momentum to the gradient.
    ///
    /// # Errors
    /// Fails if the shapes of a parameter, its gradient and its buffer differ.
    ///
    /// # Source
    /// `torch.optim.SGD` with `dampening=0`.
    ///
    /// # Panics
    /// Panics if the number of gradients or buffers is not that of the parameters.
    pub fn step(&mut self, params: &[&Tensor], grads: &[&Tensor], step: &SgdStep) -> Result<()> {
        let buffers: Vec<&Tensor> = self.buffers.iter().collect();
        shim::fused_sgd(params, grads, &buffers, step, !self.started)?;
        self.started = true;
        Ok(())
    }
}
