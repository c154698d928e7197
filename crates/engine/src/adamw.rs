//! The AdamW update of a group of parameters, in place and in one call.
//!
//! Separate because its state is another than that of SGD. Invariant: after a step, every buffer lies in memory
//! exactly as its parameter does.

use crate::shim;
use crate::{Result, Tensor};

/// One update's settings, for all parameters of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Shares of the running means of gradients and squared gradients that stay.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Share of a parameter that every step takes away, before it is multiplied by the learning rate.
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
    /// Buffers for `params`, before the first step.
    ///
    /// # Errors
    /// When the memory is not there.
    pub fn new(params: &[&Tensor]) -> Result<Self> {
        let zeros = || params.iter().map(|param| param.zeros_like()).collect::<Result<_>>();
        Ok(Self { means: zeros()?, squares: zeros()?, n_steps: 0 })
    }

    /// Buffers restored from a checkpoint after `n_steps` steps, in the order of the parameters. They may lie in
    /// any memory order; the next step puts them into that of the parameters.
    pub fn resume(means: Vec<Tensor>, squares: Vec<Tensor>, n_steps: u64) -> Self {
        Self { means, squares, n_steps }
    }

    /// The running means of the gradients, to store them.
    pub fn means(&self) -> &[Tensor] {
        &self.means
    }

    /// The running means of the squared gradients, to store them.
    pub fn squares(&self) -> &[Tensor] {
        &self.squares
    }

    /// Steps taken.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Updates `params` in place from `grads`.
    ///
    /// # Errors
    /// When a parameter, its gradient and its buffers differ in shape.
    ///
    /// # Source
    /// `torch.optim.AdamW`.
    ///
    /// # Panics
    /// When the number of gradients or buffers is not that of the parameters.
    pub fn step(&mut self, params: &[&Tensor], grads: &[&Tensor], step: &AdamWStep) -> Result<()> {
        let (means, squares): (Vec<_>, Vec<_>) = (self.means.iter().collect(), self.squares.iter().collect());
        shim::fused_adamw(params, grads, [&means, &squares], step, self.n_steps + 1)?;
        self.n_steps += 1;
        Ok(())
    }
}
