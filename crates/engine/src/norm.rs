//! Batch normalization, alone or with the activation behind it.
//!
//! Separate because its three modes carry the method: private statistics while training,
//! collected ones while calibrating, fixed ones while evaluating. Invariant: the mode is an
//! argument, nothing is remembered here.

use crate::error::failed;
use crate::shim;
use crate::{Result, Tensor};

/// Added to the variance under the root, as everywhere in the reference.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// The learned scale and shift of a batch norm, each `[c]`.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Scale.
    pub weight: &'a Tensor,
    /// Shift.
    pub bias: &'a Tensor,
}

/// Which mean and variance normalize a batch.
#[derive(Debug)]
pub enum NormStatistics<'a> {
    /// The batch's own; nothing is remembered (training).
    Batch,
    /// The batch's own, and `mean += momentum · (batch − mean)`, likewise the unbiased variance.
    /// A momentum of `1 / k` at the k-th batch gives the cumulative average (calibration).
    Collect {
        /// Running mean, `[c]`.
        mean: &'a mut Tensor,
        /// Running unbiased variance, `[c]`.
        variance: &'a mut Tensor,
        /// Weight of this batch, in `(0, 1]`.
        momentum: f64,
    },
    /// Given ones (evaluation).
    Fixed {
        /// Mean, `[c]`.
        mean: &'a Tensor,
        /// Variance, `[c]`.
        variance: &'a Tensor,
    },
}

/// What follows a normalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Activation {
    /// The interval that outputs are clipped to.
    pub(crate) fn limits(self) -> (f64, f64) {
        match self {
            Self::Identity => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Relu => (0.0, f64::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }
}

impl Tensor {
    /// Normalizes every channel over batch and space, then scales and shifts it.
    ///
    /// # Shapes
    /// - `self`: `[n, c, spatial…]`; the output has the same shape and memory order
    ///
    /// # Errors
    /// When a channel count differs, or the batch statistics have one value per channel.
    pub fn batch_norm(&self, affine: Affine<'_>, statistics: NormStatistics<'_>) -> Result<Self> {
        let (mean, variance, training, momentum) = match &statistics {
            NormStatistics::Batch => (None, None, true, 0.0),
            NormStatistics::Collect { mean, variance, momentum } => {
                (Some(&mean.0), Some(&variance.0), true, *momentum)
            }
            NormStatistics::Fixed { mean, variance } => (Some(&mean.0), Some(&variance.0), false, 0.0),
        };
        let output = self.0.f_batch_norm(
            Some(&affine.weight.0),
            Some(&affine.bias.0),
            mean,
            variance,
            training,
            momentum,
            BATCH_NORM_EPSILON,
            true,
        );
        output.map(Self).map_err(failed("batch_norm", [self, affine.weight]))
    }

    /// [`Tensor::batch_norm`] and the activation behind it.
    ///
    /// On the CPU this is one operation, equal to the two up to rounding, that goes over memory
    /// about half as often and keeps only its input for the gradient; it converts row-major input
    /// to channels-last. Elsewhere, and for fixed statistics under recording, it is the two.
    ///
    /// # Errors
    /// As [`Tensor::batch_norm`].
    pub fn batch_norm_activation(
        &self,
        affine: Affine<'_>,
        statistics: NormStatistics<'_>,
        activation: Activation,
    ) -> Result<Self> {
        let fixed = matches!(statistics, NormStatistics::Fixed { .. });
        let recorded = [self, affine.weight, affine.bias].iter().any(|tensor| tensor.requires_grad());
        if shim::can_fuse(self) && !(fixed && recorded && shim::is_recording()) {
            return shim::norm_activation(self, affine, statistics, activation);
        }
        self.batch_norm(affine, statistics)?.activation(activation)
    }
}
