//! MobileNetV2: inverted residuals with linear bottlenecks.
//!
//! # Source
//! arXiv 1801.04381; `[MN-code models/mobilenet_v2.py]` for names and what is slimmed.

use mutualnet_core::Network;
use mutualnet_core::network::{Activation, ChannelRule, Groups, NetworkBuilder, NodeId, Rank};

use crate::layers::conv;
use crate::output_stride::Strides;
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

/// Builds the network: stem, 17 inverted residuals, a 1×1 convolution to 1280 channels at every width, pooling, classifier.
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn mobilenet_v2(config: &NetworkConfig) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let mut strides = Strides::new(config.output_stride);

    let mut x = mobile_stem(&mut net, strides.next(2));
    let (mut idx, mut channels) = (1, STEM_CHANNELS);
    for (expansion, out, repeats, stride) in BLOCKS {
        for repeat in 0..repeats {
            // The shortcut depends on the published stride: removing a stride does not add a connection.
            let residual = channels == out && !(repeat == 0 && stride == 2);
            let stride = if repeat == 0 { strides.next(stride) } else { 1 };
            let block = Block { expansion, channels, out, stride };
            let y = block.append(&mut net, &format!("features.{idx}"), x);
            x = if residual { net.add(&format!("features.{idx}.add"), y, x) } else { y };
            (idx, channels) = (idx + 1, out);
        }
    }

    x = net.conv(
        &format!("features.{idx}.0"),
        x,
        conv(ChannelRule::whole(HEAD_CHANNELS), 1, 1, Groups::Dense),
    );
    x = net.batch_norm(&format!("features.{idx}.1"), x);
    x = net.activation(&format!("features.{idx}.2"), x, Activation::Relu6);
    x = net.global_pool(&format!("features.{}", idx + 1), x);
    net.linear("classifier.0", x, config.classes);
    net.finish()
}

/// One inverted residual without its shortcut.
struct Block {
    expansion: u32,
    channels: u32,
    out: u32,
    stride: u32,
}

impl Block {
    fn append(&self, net: &mut NetworkBuilder, path: &str, input: NodeId) -> NodeId {
        let hidden = ChannelRule::slim_by(self.channels * self.expansion, f64::from(self.expansion));
        let mut layer = 0;
        let mut next = || {
            layer += 1;
            format!("{path}.body.{}", layer - 1)
        };
        let mut x = input;
        if self.expansion != 1 {
            x = net.conv(&next(), x, conv(hidden, 1, 1, Groups::Dense));
            x = net.batch_norm(&next(), x);
            x = net.activation(&next(), x, Activation::Relu6);
        }
        x = net.conv(&next(), x, conv(hidden, 3, self.stride, Groups::Depthwise));
        x = net.batch_norm(&next(), x);
        x = net.activation(&next(), x, Activation::Relu6);
        x = net.conv(&next(), x, conv(ChannelRule::slim(self.out), 1, 1, Groups::Dense));
        net.batch_norm(&next(), x)
    }
}
