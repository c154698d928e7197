//! MobileNetV3: inverted residuals with gates and hard non-linearities.
//!
//! # Source
//! arXiv 1905.02244; torchvision's `mobilenet_v3_large` for names, shapes, eps and the positions of the gates.
//! The choice of what is slimmed is ours: everything but the first linear layer of the classifier, which is the same at every width,
//! like MobileNetV2's last convolution in the reference.

use mutualnet_core::network::{Activation, BatchNorm, ChannelRule, NetworkBuilder, Rank, make_divisible};
use mutualnet_core::{Network, NodeId};

use crate::NetworkConfig;
use crate::inverted_residual::{Block, Style};
use crate::layers::dense;
use crate::output_stride::{OutputStride, Strides};

/// The name of the network in recipes.
pub const NAME: &str = "mobilenet_v3_large";

/// Channels after the stem.
const STEM_CHANNELS: u32 = 16;

/// Channels after the last 1×1 convolution.
const LAST_CHANNELS: u32 = 960;

/// The block that first reaches an eighth of the side, counted from 1: LR-ASPP reads it.
const LOW_BLOCK: usize = 4;

/// Blocks at the end that are dilated for segmentation, and have half the channels for detection.
const N_LAST: usize = 3;

/// Features before the last linear layer; the same number at every width.
const HIDDEN_FEATURES: usize = 1280;

const STYLE: Style =
    Style { norm: BatchNorm { eps: 1e-3 }, gate: [Activation::Relu, Activation::HardSigmoid] };

/// Kernel, hidden channels, channels, gate, non-linearity and stride of a block.
type Spec = (u32, u32, u32, bool, Activation, u32);

const BLOCKS: [Spec; 15] = {
    use Activation::{HardSwish, Relu};
    [
        (3, 16, 16, false, Relu, 1),
        (3, 64, 24, false, Relu, 2),
        (3, 72, 24, false, Relu, 1),
        (5, 72, 40, true, Relu, 2),
        (5, 120, 40, true, Relu, 1),
        (5, 120, 40, true, Relu, 1),
        (3, 240, 80, false, HardSwish, 2),
        (3, 200, 80, false, HardSwish, 1),
        (3, 184, 80, false, HardSwish, 1),
        (3, 184, 80, false, HardSwish, 1),
        (3, 480, 112, true, HardSwish, 1),
        (3, 672, 112, true, HardSwish, 1),
        (5, 672, 160, true, HardSwish, 2),
        (5, 960, 160, true, HardSwish, 1),
        (5, 960, 160, true, HardSwish, 1),
    ]
};

/// Builds the network: stem, 15 blocks, a 1×1 convolution, pooling, a classifier of two linear layers.
///
/// At width 1 the first convolution of a gate has a quarter of the hidden channels, rounded to a multiple of 8. It follows
/// the width like any other layer with that number of channels.
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn mobilenet_v3_large(config: &NetworkConfig) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let input = net.input(3);
    let (_, x) = backbone(&mut net, "features", input, Moves::Strided(config.output_stride));
    let x = net.global_pool("avgpool", x);
    let x = net.linear("classifier.0", x, HIDDEN_FEATURES);
    let x = net.activation("classifier.1", x, Activation::HardSwish);
    net.linear("classifier.3", x, config.classes);
    net.finish()
}

/// A block as published, for an input of so many channels.
fn block((kernel, hidden, out, gate, activation, stride): Spec, channels: u32) -> Block {
    Block {
        hidden: ChannelRule::slim(hidden),
        expands: hidden != channels,
        kernel,
        stride,
        dilation: 1,
        activation,
        squeeze: gate.then(|| ChannelRule::slim(make_divisible(f64::from(hidden / 4), 8))),
        out: ChannelRule::slim(out),
    }
}

/// How the blocks move over their input.
#[derive(Clone, Copy)]
pub(crate) enum Moves {
    /// As in classification.
    Strided(Option<OutputStride>),
    /// The last three blocks have a dilation of 2 and no stride: the last feature map has a sixteenth of the side.
    Dilated,
}

/// Appends everything up to the last convolution under `path`; returns the last node with an eighth of the side, and the
/// last one.
pub(crate) fn backbone(
    net: &mut NetworkBuilder,
    path: &str,
    input: NodeId,
    moves: Moves,
) -> (NodeId, NodeId) {
    let layers = layers(STYLE, net, (path, input), moves);
    (layers[LOW_BLOCK], layers[BLOCKS.len() + 1])
}

/// The backbone of Faster R-CNN under `path`, whose batch norms have the usual eps; returns the last strided block, which has no
/// non-linearity at its end, and the last convolution.
pub(crate) fn two_maps(net: &mut NetworkBuilder, path: &str, input: NodeId) -> [NodeId; 2] {
    let style = Style { norm: BatchNorm { eps: BatchNorm::EPS }, ..STYLE };
    let layers = layers(style, net, (path, input), Moves::Strided(None));
    [layers[BLOCKS.len() + 1 - N_LAST], layers[BLOCKS.len() + 1]]
}

/// Appends everything up to the last convolution; returns the stem, every block and that convolution.
fn layers(
    style: Style,
    net: &mut NetworkBuilder,
    (path, input): (&str, NodeId),
    moves: Moves,
) -> Vec<NodeId> {
    let mut strides = Strides::new(match moves {
        Moves::Strided(output_stride) => output_stride,
        Moves::Dilated => None,
    });
    let last_activation = Some(Activation::HardSwish);
    let stem = dense(ChannelRule::slim(STEM_CHANNELS), 3, strides.next(2));
    let mut x = style.layer(net, &format!("{path}.0"), input, (stem, last_activation));
    let (mut channels, mut layers) = (STEM_CHANNELS, vec![x]);
    for (idx, spec) in (1..).zip(BLOCKS) {
        let block_path = format!("{path}.{idx}");
        let is_dilated = matches!(moves, Moves::Dilated) && idx > BLOCKS.len() - N_LAST;
        let (.., out, _, _, stride) = spec;
        let block = Block {
            stride: if is_dilated { 1 } else { strides.next(stride) },
            dilation: if is_dilated { 2 } else { 1 },
            ..block(spec, channels)
        };
        let y = style.block(net, &block_path, x, &block);
        // The shortcut depends on the published stride.
        let residual = channels == out && stride == 1;
        x = if residual { net.add(&format!("{block_path}.add"), y, x) } else { y };
        channels = out;
        layers.push(x);
    }
    let last = dense(ChannelRule::slim(LAST_CHANNELS), 1, 1);
    let path = format!("{path}.{}", BLOCKS.len() + 1);
    layers.push(style.layer(net, &path, x, (last, last_activation)));
    layers
}

/// Appends the backbone of SSDlite under `path`, in two parts: up to the expansion of the last strided block, and up to the
/// last convolution, with half the channels behind that expansion. Returns the last node of both.
pub(crate) fn halved_backbone(net: &mut NetworkBuilder, path: &str, input: NodeId) -> [NodeId; 2] {
    let stem = dense(ChannelRule::slim(STEM_CHANNELS), 3, 2);
    let last_activation = Some(Activation::HardSwish);
    let mut x = STYLE.layer(net, &format!("{path}.0.0"), input, (stem, last_activation));
    let (mut channels, mut expanded) = (STEM_CHANNELS, x);
    let strided = BLOCKS.len() - N_LAST + 1;
    for (idx, spec) in (1..).zip(BLOCKS) {
        let (kernel, mut hidden, mut out, gate, activation, stride) = spec;
        if idx >= strided {
            out /= 2;
        }
        if idx > strided {
            hidden /= 2;
        }
        let block = block((kernel, hidden, out, gate, activation, stride), channels);
        let y = if idx == strided {
            expanded = STYLE.expand(net, &format!("{path}.0.{idx}"), x, &block);
            STYLE.narrow(net, (&format!("{path}.1.0"), 1), expanded, &block)
        } else {
            let number = if idx < strided { format!("0.{idx}") } else { format!("1.{}", idx - strided) };
            STYLE.block(net, &format!("{path}.{number}"), x, &block)
        };
        let residual = channels == out && stride == 1;
        x = if residual { net.add(&format!("{path}.add{idx}"), y, x) } else { y };
        channels = out;
    }
    let last = dense(ChannelRule::slim(LAST_CHANNELS / 2), 1, 1);
    let path = format!("{path}.1.{N_LAST}");
    [expanded, STYLE.layer(net, &path, x, (last, last_activation))]
}
