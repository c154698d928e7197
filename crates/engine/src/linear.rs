//! The fully connected layer.

use crate::error::failed;
use crate::{Result, Tensor};

impl Tensor {
    /// `self · weightᵀ + bias`.
    ///
    /// # Shapes
    /// - `self`: `[n, c_in]`, `weight`: `[c_out, c_in]`, `bias`: `[c_out]`
    /// - output: `[n, c_out]`
    ///
    /// # Errors
    /// Fails if the shapes do not fit together.
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let output = self.0.f_linear(&weight.0, bias.map(|bias| &bias.0));
        output.map(Self).map_err(failed("linear", [self, weight]))
    }
}
