//! MobileNetV2: inverted residuals with linear bottlenecks.
//!
//! # Source
//! arXiv 1801.04381; `[MN-code models/mobilenet_v2.py]` for names and what is slimmed.

use mutualnet_core::Network;
use mutualnet_core::network::{Activation, ChannelRule, Conv, Groups, NetworkBuilder, NodeId, Rank};

use crate::layers::{conv, dense};
use crate::output_stride::Steps;
use crate::{NetworkConfig, STEM_CHANNELS, mobile_stem};

/// The name of the network in recipes.
pub const NAME: &str = "mobilenet_v2";

/// Channels after the last 1×1 convolution; the same number at every width.
const HEAD_CHANNELS: usize = 1280;

/// Expansion, channels, repeats and first stride of every group of blocks.
const BLOCKS: [(u32, u32, u32, u32); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// Whose names the layers have.
#[derive(Clone, Copy)]
pub(crate) enum Names {
    Authors,
    /// torchvision's, behind a prefix in place of `features`.
    Torchvision(&'static str),
}

impl Names {
    /// The list that the stem and the blocks are in.
    fn list(self) -> &'static str {
        match self {
            Self::Authors => "features",
            Self::Torchvision(prefix) => prefix,
        }
    }

    /// The n-th triple of convolution, batch norm and activation in the block at `path`; the last triple, of number
    /// `last`, has no activation.
    fn layer(self, path: &str, n: usize, last: usize) -> [String; 3] {
        match self {
            Self::Authors => [0, 1, 2].map(|part| format!("{path}.body.{}", 3 * n + part)),
            Self::Torchvision(_) if n == last => [0, 1, 2].map(|part| format!("{path}.conv.{}", n + part)),
            Self::Torchvision(_) => [0, 1, 2].map(|part| format!("{path}.conv.{n}.{part}")),
        }
    }
}

/// Builds the network: stem, 17 inverted residuals, a 1×1 convolution to 1280 channels at every width, pooling, classifier.
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn mobilenet_v2(config: &NetworkConfig) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let input = net.input(3);
    let [.., mut x] = four_maps(&mut net, (input, Names::Authors), Steps::strided(config.output_stride));
    let head = dense(ChannelRule::whole(HEAD_CHANNELS), 1, 1);
    x = net.conv("features.18.0", x, head);
    x = net.batch_norm("features.18.1", x);
    x = net.activation("features.18.2", x, Activation::Relu6);
    x = net.global_pool("features.19", x);
    net.linear("classifier.0", x, config.classes);
    net.finish()
}

/// Appends everything up to the last block.
pub(crate) fn backbone(net: &mut NetworkBuilder, input: NodeId, names: Names, steps: Steps) -> NodeId {
    let [.., last] = four_maps(net, (input, names), steps);
    last
}

/// Appends everything up to the last block, and returns the last maps with the published strides 4, 8, 16 and 32.
pub(crate) fn four_maps(
    net: &mut NetworkBuilder,
    (input, names): (NodeId, Names),
    mut steps: Steps,
) -> [NodeId; 4] {
    let list = names.list();
    let [stride, _] = steps.next(2);
    let mut x = mobile_stem(net, (list, input), stride);
    let (mut idx, mut channels) = (1, STEM_CHANNELS);
    let mut maps = [x; 5];
    let mut stage = 0;
    for (expansion, out, repeats, published) in BLOCKS {
        stage += usize::from(published == 2);
        for repeat in 0..repeats {
            let [stride, dilation] = steps.next(if repeat == 0 { published } else { 1 });
            let path = format!("{list}.{idx}");
            let block = Block { expansion, channels, out, stride, dilation };
            let y = block.append(net, &path, (x, names));
            // The shortcut depends on the published stride: removing a stride does not add a connection.
            let residual = channels == out && !(repeat == 0 && published == 2);
            x = if residual { net.add(&format!("{path}.add"), y, x) } else { y };
            (idx, channels) = (idx + 1, out);
        }
        maps[stage] = x;
    }
    let [_, maps @ ..] = maps;
    maps
}

/// One inverted residual without its shortcut.
struct Block {
    expansion: u32,
    channels: u32,
    out: u32,
    stride: u32,
    dilation: u32,
}

impl Block {
    fn append(&self, net: &mut NetworkBuilder, path: &str, (input, names): (NodeId, Names)) -> NodeId {
        let hidden = ChannelRule::slim_by(self.channels * self.expansion, f64::from(self.expansion));
        let (dilation, depthwise) = (self.dilation, conv(hidden, 3, self.stride, Groups::Depthwise));
        let spaced =
            Conv { dilation: [1, dilation, dilation], padding: [0, dilation, dilation], ..depthwise };
        let mut convolutions = vec![spaced, dense(ChannelRule::slim(self.out), 1, 1)];
        if self.expansion != 1 {
            convolutions.insert(0, dense(hidden, 1, 1));
        }
        let last = convolutions.len() - 1;
        let mut x = input;
        for (n, conv) in convolutions.into_iter().enumerate() {
            let [conv_path, norm, activation] = names.layer(path, n, last);
            x = net.conv(&conv_path, x, conv);
            x = net.batch_norm(&norm, x);
            x = if n < last { net.activation(&activation, x, Activation::Relu6) } else { x };
        }
        x
    }
}
