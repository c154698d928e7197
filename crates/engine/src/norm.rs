//! Batch normalization, alone or together with the activation that follows it.
//!
//! The method depends on its three modes: statistics of the batch while training, collected ones while calibrating, and
//! fixed ones while evaluating. Invariant: the mode is an argument, and no state is kept here.

use crate::error::failed;
use crate::shim::{self, FusedActivation, RawMoves};
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

/// No activation, in the form that is fused with a batch norm.
const NOTHING: FusedActivation = FusedActivation::Clamp(f64::NEG_INFINITY, f64::INFINITY);

impl Activation {
    /// The form that can be fused with a batch norm, if there is one.
    fn fused(self) -> Option<FusedActivation> {
        match self {
            Self::Identity => Some(NOTHING),
            Self::Relu => Some(FusedActivation::Clamp(0.0, f64::INFINITY)),
            Self::Relu6 => Some(FusedActivation::Clamp(0.0, 6.0)),
            Self::HardSwish => Some(FusedActivation::HardSwish),
            Self::Sigmoid | Self::HardSigmoid | Self::Swish => None,
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
        // Only our own operation knows of other ranks.
        if shim::shares_norms() && matches!(statistics, NormStatistics::Batch) {
            return shim::norm_activation(self, affine, statistics, NOTHING);
        }
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
    /// On the CPU the two are fused if the activation is a clamp or hard swish. The result is equal up to rounding, goes over memory
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
        if let Some(fused) = activation.fused()
            && self.fuses(&affine, &statistics)
        {
            return shim::norm_activation(self, affine, statistics, fused);
        }
        self.batch_norm(affine, statistics)?.activation(activation)
    }

    /// [`Tensor::batch_norm_activation`] followed by a convolution without bias.
    ///
    /// On the CPU a depthwise convolution with 3 × 3 or 5 × 5 taps of any dilation, with stride 1 or 2 and a padding that
    /// keeps the size at stride 1, is fused with them; so is one of clips with 1 or 3 times 3 × 3 taps and stride 1 along
    /// time. The result is equal up to rounding; the activated tensor is never
    /// written, and backward computes its scanlines again. Any other convolution is a separate operation.
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
        match (self.depthwise_moves(kernel, geometry), activation.fused()) {
            (Some(moves), Some(fused)) if self.fuses(&affine, &statistics) => {
                shim::norm_activation_depthwise(self, affine, statistics, fused, (kernel, moves))
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

    /// How the kernel moves, if this is a depthwise convolution that can be fused.
    fn depthwise_moves(&self, kernel: &Self, geometry: &ConvGeometry<'_>) -> Option<RawMoves> {
        let (shape, kernel) = (self.shape(), kernel.shape());
        let [_, channels, spatial @ ..] = &shape[..] else { return None };
        let [_, 1, time @ .., size, _] = &kernel[..] else { return None };
        let [.., stride, _] = geometry.stride else { return None };
        let [.., dilation, _] = geometry.dilation else { return None };
        let along_time = match time {
            [] => vec![],
            [1 | 3] if *size == 3 => time.to_vec(),
            _ => return None,
        };
        // Along time the stride is 1, and the padding keeps the number of frames.
        let all = |of_time: &dyn Fn(usize) -> usize, of_image: usize| -> Vec<usize> {
            along_time.iter().map(|&taps| of_time(taps)).chain([of_image; 2]).collect()
        };
        let known = kernel.len() == spatial.len() + 2
            && kernel[0] == *channels
            && kernel[2..] == all(&|taps| taps, *size)
            && matches!((size, stride), (3 | 5, 1 | 2))
            && geometry.groups == *channels
            && geometry.stride == all(&|_| 1, *stride)
            && geometry.dilation == all(&|_| 1, *dilation)
            && geometry.padding == all(&|taps| taps / 2, size / 2 * dilation);
        known.then_some(RawMoves { stride: *stride as i64, dilation: *dilation as i64 })
    }
}
