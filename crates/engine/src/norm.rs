//! Batch normalization, alone or with the activation behind it.
//!
//! Separate because its three modes carry the method: private statistics while training,
//! collected ones while calibrating, fixed ones while evaluating. Invariant: the mode is an
//! argument, nothing is remembered here.

use crate::error::failed;
use crate::shim;
use crate::{ConvGeometry, Result, Tensor};

/// What a batch norm has besides statistics: the learned scale and shift, each `[c]`, and its eps.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Scale.
    pub weight: &'a Tensor,
    /// Shift.
    pub bias: &'a Tensor,
    /// Added to the variance under the root.
    pub eps: f64,
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
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
    /// `x · sigmoid(x)`.
    Swish,
    /// `x · hard_sigmoid(x)`.
    HardSwish,
}

impl Activation {
    /// The interval that outputs are clipped to, if clipping is all that happens.
    pub(crate) fn limits(self) -> Option<(f64, f64)> {
        match self {
            Self::Identity => Some((f64::NEG_INFINITY, f64::INFINITY)),
            Self::Relu => Some((0.0, f64::INFINITY)),
            Self::Relu6 => Some((0.0, 6.0)),
            Self::Sigmoid | Self::HardSigmoid | Self::Swish | Self::HardSwish => None,
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
            affine.eps,
            true,
        );
        output.map(Self).map_err(failed("batch_norm", [self, affine.weight]))
    }

    /// [`Tensor::batch_norm`] and the activation behind it.
    ///
    /// On the CPU, an activation that clips is one operation with it, equal to the two up to rounding,
    /// that goes over memory about half as often and keeps only its input for the gradient; it converts
    /// row-major input to channels-last. Elsewhere, for other activations, and for fixed statistics under
    /// recording, it is the two.
    ///
    /// # Errors
    /// As [`Tensor::batch_norm`].
    pub fn batch_norm_activation(
        &self,
        affine: Affine<'_>,
        statistics: NormStatistics<'_>,
        activation: Activation,
    ) -> Result<Self> {
        if let Some(limits) = activation.limits()
            && self.fuses(&affine, &statistics)
        {
            return shim::norm_activation(self, affine, statistics, limits);
        }
        self.batch_norm(affine, statistics)?.activation(activation)
    }

    /// [`Tensor::batch_norm_activation`] and the convolution (without bias) behind it.
    ///
    /// On the CPU, a 3 × 3 depthwise convolution with padding 1 and stride 1 or 2 is one operation
    /// with them, equal up to rounding: the activated tensor is never written, and backward makes
    /// its rows again. Every other convolution is the two operations.
    ///
    /// # Errors
    /// As [`Tensor::batch_norm`] and [`Tensor::convolution`].
    pub fn batch_norm_activation_convolution(
        &self,
        affine: Affine<'_>,
        statistics: NormStatistics<'_>,
        activation: Activation,
        kernel: &Self,
        geometry: &ConvGeometry<'_>,
    ) -> Result<Self> {
        match (self.depthwise_stride(kernel, geometry), activation.limits()) {
            (Some(stride), Some(limits)) if self.fuses(&affine, &statistics) => {
                shim::norm_activation_depthwise(self, affine, statistics, limits, (kernel, stride))
            }
            _ => {
                let activated = self.batch_norm_activation(affine, statistics, activation)?;
                activated.convolution(kernel, None, geometry)
            }
        }
    }

    fn fuses(&self, affine: &Affine<'_>, statistics: &NormStatistics<'_>) -> bool {
        let fixed = matches!(statistics, NormStatistics::Fixed { .. });
        let recorded = [self, affine.weight, affine.bias].iter().any(|tensor| tensor.requires_grad());
        shim::can_fuse(self) && !(fixed && recorded && shim::is_recording())
    }

    /// The stride, when this is a depthwise convolution that the fused operation knows.
    fn depthwise_stride(&self, kernel: &Self, geometry: &ConvGeometry<'_>) -> Option<usize> {
        let channels = *self.shape().get(1)?;
        let known = self.shape().len() == 4
            && kernel.shape() == [channels, 1, 3, 3]
            && geometry.groups == channels
            && geometry.padding == [1, 1]
            && geometry.dilation == [1, 1];
        match geometry.stride {
            [1, 1] if known => Some(1),
            [2, 2] if known => Some(2),
            _ => None,
        }
    }
}
