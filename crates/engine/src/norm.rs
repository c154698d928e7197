//! Batch normalization, alone or together with the activation that follows it.
//!
//! The method depends on its three modes: statistics of the batch while training, collected ones while calibrating, and
//! fixed ones while evaluating. Invariant: the mode is an argument, and no state is kept here.

use crate::error::failed;
use crate::shim;
use crate::{ConvGeometry, Result, Tensor};

/// The learned scale and shift of a batch norm, each `[c]`, and its eps.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Scale.
    pub weight: &'a Tensor,
    /// Shift.
    pub bias: &'a Tensor,
    /// The number that is added to the variance before the square root is taken.
    pub eps: f64,
}

/// The mean and the variance that normalize a batch.
#[derive(Debug)]
pub enum NormStatistics<'a> {
    /// The statistics of the batch, which are not kept (training).
    Batch,
    /// The statistics of the batch, which are also collected: `mean += momentum · (batch − mean)`, and likewise for the
    /// unbiased variance. A momentum of `1 / k` at the k-th batch gives the cumulative average (calibration).
    Collect {
        /// Running mean, `[c]`.
        mean: &'a mut Tensor,
        /// Running unbiased variance, `[c]`.
        variance: &'a mut Tensor,
        /// Weight of this batch, in `(0, 1]`.
        momentum: f64,
    },
    /// Given statistics (evaluation).
    Fixed {
        /// Mean, `[c]`.
        mean: &'a Tensor,
        /// Variance, `[c]`.
        variance: &'a Tensor,
    },
}

/// A non-linearity that follows a normalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// No non-linearity.
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
    /// The interval that outputs are clamped to; `None` if the activation is not a clamp.
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
    /// Normalizes every channel over the batch and all positions, then scales and shifts it.
    ///
    /// # Shapes
    /// - `self`: `[n, c, spatial…]`; the output has the same shape and memory order
    ///
    /// # Errors
    /// Fails if a channel count differs, or if the statistics of the batch would be those of one value per channel.
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

    /// [`Tensor::batch_norm`] followed by an activation.
    ///
    /// On the CPU the two are fused if the activation is a clamp. The result is equal up to rounding, goes over memory
    /// about half as often, and keeps only its input for the gradient; row-major input is converted to channels-last. On
    /// other devices, for other activations, and for fixed statistics that autograd records, they are two operations.
    ///
    /// # Errors
    /// Fails in the same cases as [`Tensor::batch_norm`].
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

    /// [`Tensor::batch_norm_activation`] followed by a convolution without bias.
    ///
    /// On the CPU a 3 × 3 depthwise convolution with padding 1 and stride 1 or 2 is fused with them. The result is equal
    /// up to rounding; the activated tensor is never written, and backward computes its scanlines again. Any other
    /// convolution is a separate operation.
    ///
    /// # Errors
    /// Fails in the same cases as [`Tensor::batch_norm`] and [`Tensor::convolution`].
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

    /// The stride, if this is a depthwise convolution that can be fused.
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
