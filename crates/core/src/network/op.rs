//! The operations that nodes perform.

use serde::{Deserialize, Serialize};

use super::ChannelRule;
use crate::Width;

/// Defines a name for every variant and the list of all names together, so that neither can miss one.
macro_rules! names {
    ($name:ident, $all:ident: $($variant:pat => $text:literal,)*) => {
        /// All that
        #[doc = concat!("[`Self::", stringify!($name), "`] returns.")]
        pub const $all: &[&str] = &[$($text),*];

        /// The lower-case name, as in files and listings.
        pub fn $name(&self) -> &'static str {
            match self {
                $($variant => $text,)*
            }
        }
    };
}

/// The most inputs that a convolution or a linear layer may read.
const MAX_INPUTS: usize = 64;

/// A size along time, height and width. For images, time is 1 in sizes and strides, and 0 in padding.
pub type Extent = [u32; 3];

/// What a node computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Op {
    /// An input: normalized pixels, or what a task has computed before it runs the list.
    Input {
        /// Channels; the same number at every width.
        channels: u32,
        /// Time, height and width if they are the same for every sub-network; otherwise the input has those of the
        /// sub-network.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<Extent>,
    },
    /// Convolution.
    Conv(Conv),
    /// Transposed convolution, which enlarges its input.
    TransposedConv(TransposedConv),
    /// Batch normalization over all channels of its input.
    BatchNorm(BatchNorm),
    /// Elementwise non-linearity.
    Activation(Activation),
    /// Elementwise sum of two inputs of the same shape.
    Add,
    /// Product of the first input with the second one, which has a single position: a factor per channel.
    Multiply,
    /// Max pooling: the largest value in a window, channel by channel.
    MaxPool(MaxPool),
    /// Average pooling: the mean of a window, channel by channel.
    AvgPool(AvgPool),
    /// The first input, resized to the time, height and width of the second one. Clips are resized with
    /// [`Resize::Nearest`] only.
    ResizeLike(Resize),
    /// Mean over all positions: `[n, c, …]` to `[n, c, 1…]`.
    GlobalPool,
    /// Fully connected layer over pooled inputs.
    Linear(Linear),
}

/// A convolution. It has as many input channels as its inputs together, which have the same size: several inputs are
/// read as if they were concatenated along their channels, as in PyTorch's `cat(inputs, 1)`. A narrower network has the
/// leading channels of each input, so its part of the weight is a prefix in each block of input channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Output channels.
    pub out: ChannelRule,
    /// Kernel size.
    pub kernel: Extent,
    /// Stride.
    pub stride: Extent,
    /// Zero padding on both sides.
    pub padding: Extent,
    /// Distance between two taps of the kernel.
    #[serde(default = "Conv::dense_taps", skip_serializing_if = "Conv::has_dense_taps")]
    pub dilation: Extent,
    /// Which input channels an output channel depends on.
    pub groups: Groups,
    /// Whether a bias is added to every output channel. It would have no effect before a batch norm.
    #[serde(default)]
    pub bias: bool,
}

impl Conv {
    /// The dilation of a kernel without gaps.
    pub const NO_DILATION: Extent = [1; 3];

    fn dense_taps() -> Extent {
        Self::NO_DILATION
    }

    fn has_dense_taps(dilation: &Extent) -> bool {
        *dilation == Self::NO_DILATION
    }

    /// How far the kernel reaches along each axis, gaps included. It saturates, because a file may ask for anything.
    pub fn reach(&self) -> Extent {
        let mut reach = self.kernel;
        for (reach, dilation) in reach.iter_mut().zip(self.dilation) {
            *reach = reach.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        }
        reach
    }
}

/// A dense transposed convolution of one input, as PyTorch's `ConvTranspose2d`: every input position adds its channels,
/// multiplied by the kernel, to the outputs under it, and neighbors are `stride` outputs apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransposedConv {
    /// Output channels.
    pub out: ChannelRule,
    /// Kernel size.
    pub kernel: Extent,
    /// Distance between the outputs of neighboring inputs.
    pub stride: Extent,
    /// Outputs that are cut off on both sides.
    #[serde(default)]
    pub padding: Extent,
    /// Outputs that are added at the end, which only the bias and the inputs nearby reach; less than the stride.
    #[serde(default)]
    pub output_padding: Extent,
    /// Whether a bias is added to every output channel.
    #[serde(default)]
    pub bias: bool,
}

/// Batch normalization.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// The number that is added to the variance before the square root is taken.
    pub eps: f64,
}

impl BatchNorm {
    /// The eps that almost every network uses, which is PyTorch's default.
    pub const EPS: f64 = 1e-5;
}

/// Max pooling. Positions outside the input are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool {
    /// Size of the window.
    pub kernel: Extent,
    /// Stride.
    pub stride: Extent,
    /// Padding on both sides, at most half of the window.
    pub padding: Extent,
}

/// Average pooling. Positions outside the input count as zeros, as with PyTorch's `count_include_pad`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool {
    /// Size of the window.
    pub kernel: Extent,
    /// Stride.
    pub stride: Extent,
    /// Padding on both sides, at most half of the window.
    pub padding: Extent,
}

/// How values between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resize {
    /// The nearest pixel, and of clips the nearest frame: `floor(output · input size / output size)` along each axis, as
    /// PyTorch's `nearest`. To the same size it changes nothing.
    Nearest,
    /// Bilinear without aligned corners, as PyTorch's `bilinear` with `align_corners=False`.
    Bilinear,
}

/// Which input channels an output channel of a convolution depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Groups {
    /// All of them.
    Dense,
    /// Only the one with the same index.
    Depthwise,
}

/// Elementwise non-linearities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
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
    names! { name, NAMES:
        Self::Relu => "relu",
        Self::Relu6 => "relu6",
        Self::Sigmoid => "sigmoid",
        Self::HardSigmoid => "hard_sigmoid",
        Self::Swish => "swish",
        Self::HardSwish => "hard_swish",
    }
}

/// A fully connected layer with bias. It has the same number of outputs at every width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Number of outputs.
    pub out_features: usize,
}

impl Op {
    names! { kind, KINDS:
        Self::Input { .. } => "input",
        Self::Conv(Conv { groups: Groups::Dense, .. }) => "conv",
        Self::Conv(Conv { groups: Groups::Depthwise, .. }) => "depthwise_conv",
        Self::TransposedConv(_) => "transposed_conv",
        Self::BatchNorm(_) => "batch_norm",
        Self::Activation(_) => "activation",
        Self::Add => "add",
        Self::Multiply => "multiply",
        Self::MaxPool(_) => "max_pool",
        Self::AvgPool(_) => "avg_pool",
        Self::ResizeLike(_) => "resize_like",
        Self::GlobalPool => "global_pool",
        Self::Linear(_) => "linear",
    }

    /// The name in listings: that of the kind, and of an activation its own.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Activation(activation) => activation.name(),
            op => op.kind(),
        }
    }

    /// The rule for its output channels, if they do not follow from the inputs.
    pub fn rule(&self) -> Option<ChannelRule> {
        match self {
            Self::Conv(Conv { out, .. }) | Self::TransposedConv(TransposedConv { out, .. }) => Some(*out),
            _ => None,
        }
    }

    pub(super) fn rule_mut(&mut self) -> Option<&mut ChannelRule> {
        match self {
            Self::Conv(Conv { out, .. }) | Self::TransposedConv(TransposedConv { out, .. }) => Some(out),
            _ => None,
        }
    }

    /// Whether the operation can read this many inputs.
    pub(super) fn reads(&self, n_inputs: usize) -> bool {
        match self {
            Self::Input { .. } => n_inputs == 0,
            Self::Add | Self::Multiply | Self::ResizeLike(_) => n_inputs == 2,
            Self::Conv(Conv { groups: Groups::Dense, .. }) | Self::Linear(_) => {
                (1..=MAX_INPUTS).contains(&n_inputs)
            }
            _ => n_inputs == 1,
        }
    }

    /// Whether the output is a vector, which has no positions: what a linear layer computes, and what follows from it alone.
    /// `inputs` says which of the inputs are vectors.
    ///
    /// # Errors
    /// The operation cannot read such inputs.
    pub fn gives_vector(&self, inputs: &[bool]) -> Result<bool, &'static str> {
        let (all, any) = (!inputs.contains(&false), inputs.contains(&true));
        match self {
            _ if any && !all => Err("it reads the output of a linear layer together with a map"),
            Self::Linear(_) => Ok(true),
            Self::BatchNorm(_) | Self::Activation(_) | Self::Add | Self::Multiply => Ok(any),
            _ if any => Err("it reads the output of a linear layer, which has no positions"),
            _ => Ok(false),
        }
    }

    /// Checks the limits on what a file may ask for.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let channels_fit = |n: u32| (1..=ChannelRule::MAX_CHANNELS).contains(&n);
        match self {
            Self::Input { channels, .. } if !channels_fit(*channels) => Err("channels must be 1 to 65536"),
            Self::Input { size: Some([time, sides @ ..]), .. }
                if !(1..=1024).contains(time) || !sides.iter().all(|side| (1..=8192).contains(side)) =>
            {
                Err("an input must have 1 to 1024 frames, and 1 to 8192 pixels along a side")
            }
            Self::Linear(Linear { out_features }) if !(1..=1 << 20).contains(out_features) => {
                Err("outputs must be 1 to 1048576")
            }
            Self::Conv(conv) => {
                conv.out.check()?;
                if !conv.kernel.iter().chain(&conv.stride).all(|n| (1..=64).contains(n)) {
                    Err("kernel and stride must be 1 to 64")
                } else if !conv.dilation.iter().all(|n| (1..=64).contains(n)) {
                    Err("dilation must be 1 to 64")
                } else if conv.padding.iter().zip(conv.reach()).any(|(padding, reach)| *padding >= reach) {
                    Err("padding must be smaller than the kernel")
                } else {
                    Ok(())
                }
            }
            Self::TransposedConv(TransposedConv { out, kernel, stride, padding, output_padding, .. }) => {
                out.check()?;
                if !kernel.iter().chain(stride).all(|n| (1..=64).contains(n)) {
                    Err("kernel and stride must be 1 to 64")
                } else if padding.iter().zip(kernel).any(|(padding, kernel)| padding >= kernel) {
                    Err("padding must be smaller than the kernel")
                } else if output_padding.iter().zip(stride).any(|(added, stride)| added >= stride) {
                    Err("output padding must be smaller than the stride")
                } else {
                    Ok(())
                }
            }
            Self::BatchNorm(BatchNorm { eps }) if !(1e-12..=1.0).contains(eps) => {
                Err("eps of a batch norm must be 1e-12 to 1")
            }
            Self::MaxPool(MaxPool { kernel, stride, padding })
            | Self::AvgPool(AvgPool { kernel, stride, padding }) => {
                if !kernel.iter().chain(stride).all(|n| (1..=64).contains(n)) {
                    Err("window and stride must be 1 to 64")
                } else if padding.iter().zip(kernel).any(|(padding, kernel)| padding * 2 > *kernel) {
                    Err("padding must be at most half of the window")
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// The number of output channels at a width, given the channels of the inputs.
    pub(super) fn channels(&self, inputs: &[usize], width: Width) -> Result<usize, String> {
        match self {
            Self::Input { channels, .. } => Ok(*channels as usize),
            Self::Conv(conv) => match (conv.out.at(width), conv.groups) {
                (0, _) => Err("no channels left".to_owned()),
                (out, Groups::Depthwise) if out != inputs[0] => Err(format!(
                    "a depthwise convolution has {} input channels but {out} output channels",
                    inputs[0]
                )),
                (out, _) => Ok(out),
            },
            Self::TransposedConv(conv) => match conv.out.at(width) {
                0 => Err("no channels left".to_owned()),
                out => Ok(out),
            },
            Self::Add | Self::Multiply if inputs[0] != inputs[1] => {
                Err(format!("the inputs have {} and {} channels", inputs[0], inputs[1]))
            }
            Self::BatchNorm(_)
            | Self::Activation(_)
            | Self::Add
            | Self::Multiply
            | Self::MaxPool(_)
            | Self::AvgPool(_)
            | Self::ResizeLike(_)
            | Self::GlobalPool => Ok(inputs[0]),
            Self::Linear(linear) => Ok(linear.out_features),
        }
    }
}
