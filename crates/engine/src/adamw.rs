//! The AdamW update of a group of parameters, in place and in one call.
//!
//! Invariant: after a step, every buffer has the memory layout of its parameter.

use crate::shim;
use crate::{Result, Tensor};

/// The settings of one update, for all parameters of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the running means of gradients and of squared gradients.
    pub betas: [f64; 2],
    /// The number that is added to the square root of the mean square.
    pub eps: f64,
    /// Decoupled weight decay: every step subtracts `lr · weight_decay` times the parameter.
    pub weight_decay: f64,
}

/// The running means of a group of parameters, in the order of the parameters.
#[derive(Debug)]
pub struct FusedAdamW {
    means: Vec<Tensor>,
    squares: Vec<Tensor>,
    n_steps: u64,
}

impl FusedAdamW {
    /// Creates buffers for `params`, before the first step.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn new(params: &[&Tensor]) -> Result<Self> {
        let zeros = || params.iter().map(|param| param.zeros_like()).collect::<Result<_>>();
        Ok(Self { means: zeros()?, squares: zeros()?, n_steps: 0 })
    }

    /// Restores buffers from a checkpoint after `n_steps` steps, in the order of the parameters. They may have any memory
    /// layout; the next step changes it to that of the parameters.
    pub fn resume(means: Vec<Tensor>, squares: Vec<Tensor>, n_steps: u64) -> Self {
        Self { means, squares, n_steps }
    }

    /// The running means of the gradients, for a checkpoint.
    pub fn means(&self) -> &[Tensor] {
        &self.means
    }

    /// The running means of the squared gradients, for a checkpoint.
    pub fn squares(&self) -> &[Tensor] {
        &self.squares
    }

    /// The number of steps so far.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Updates `params` in place from `grads`.
    ///
    /// # Errors
    /// Fails if the shapes of a parameter, its gradient and its buffers differ.
    ///
    /// # Source
    /// `torch.optim.AdamW`.
    ///
    /// # Panics
    /// Panics if the number of gradients or buffers is not that of the parameters.
    pub fn step(&mut self, params: &[&Tensor], grads: &[&Tensor], step: &AdamWStep) -> Result<()> {
        let (means, squares): (Vec<_>, Vec<_>) = (self.means.iter().collect(), self.squares.iter().collect());
        shim::fused_adamw(params, grads, [&means, &squares], step, self.n_steps + 1)?;
        self.n_steps += 1;
        Ok(())
    }
}
