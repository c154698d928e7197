//! MobileNetV1: a chain of depthwise separable convolutions.
//!
//! # Source
//! arXiv 1704.04861; `[MN-code models/mobilenet_v1.py]` for names, ReLU6 and what is slimmed.

use mutualnet_core::Network;
use mutualnet_core::network::{Activation, ChannelRule, Groups, NetworkBuilder, Rank};

use crate::layers::conv;
use crate::output_stride::Strides;
use crate::{NetworkConfig, STEM_CHANNELS, mobile_stem};

/// The name of the network in recipes.
pub const NAME: &str = "mobilenet_v1";

/// Channels, repeats and first stride of every group of blocks.
const BLOCKS: [(u32, u32, u32); 5] = [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)];

/// Builds the network: stem, 13 blocks of depthwise 3×3 – 1×1, pooling, a classifier slimmed at its input.
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn mobilenet_v1(config: &NetworkConfig) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let mut strides = Strides::new(config.output_stride);

    let input = net.input(3);
    let mut x = mobile_stem(&mut net, ("features", input), strides.next(2));
    let (mut idx, mut channels) = (1, STEM_CHANNELS);
    for (out, repeats, stride) in BLOCKS {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { strides.next(stride) } else { 1 };
            let body = format!("features.{idx}.body");
            let depthwise = conv(ChannelRule::slim(channels), 3, stride, Groups::Depthwise);
            x = net.conv(&format!("{body}.0"), x, depthwise);
            x = net.batch_norm(&format!("{body}.1"), x);
            x = net.activation(&format!("{body}.2"), x, Activation::Relu6);
            x = net.conv(&format!("{body}.3"), x, conv(ChannelRule::slim(out), 1, 1, Groups::Dense));
            x = net.batch_norm(&format!("{body}.4"), x);
            x = net.activation(&format!("{body}.5"), x, Activation::Relu6);
            (idx, channels) = (idx + 1, out);
        }
    }

    let x = net.global_pool(&format!("features.{idx}"), x);
    net.linear("classifier.0", x, config.classes);
    net.finish()
}
