//! VGG-16 with batch norm: a chain of 3×3 convolutions and max pools.
//!
//! Deviation: the classifier is a global pool and one linear layer. torchvision's flattens 7×7 positions into three linear
//! layers with 120 million weights, which tie the network to one resolution; the paper uses VGG-16 as a backbone, without
//! any of them.
//! Convolutions have no bias, because the batch norm after each would remove it again.
//!
//! # Source
//! arXiv 1409.1556; torchvision's `vgg16_bn` for names.

use mutualnet_core::Network;
use mutualnet_core::network::{Activation, ChannelRule, NetworkBuilder, NodeId, Rank};

use crate::NetworkConfig;
use crate::layers::{Sequential, dense, max_pool};
use crate::output_stride::Strides;

/// The name of the network in recipes.
pub const NAME: &str = "vgg16_bn";

/// Channels of the convolutions of every stage.
const STAGES: [&[u32]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// Builds the network: five stages that end in 2×2 max pooling, pooling, a classifier slimmed at its input.
///
/// If [`output_stride`](NetworkConfig::output_stride) removes a stride, the pool is left out.
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn vgg16_bn(config: &NetworkConfig) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let input = net.input(3);
    let [.., x] = backbone(&mut net, "features", input, Strides::new(config.output_stride));
    let x = net.global_pool("avgpool", x);
    net.linear("classifier", x, config.classes);
    net.finish()
}

/// Appends the five stages to the list at `path`, and returns their ends.
pub(crate) fn backbone(
    net: &mut NetworkBuilder,
    path: &'static str,
    input: NodeId,
    mut strides: Strides,
) -> [NodeId; STAGES.len()] {
    let mut features = Sequential::new(net, path, input);
    STAGES.map(|stage| {
        for &channels in stage {
            features.conv(dense(ChannelRule::slim(channels), 3, 1)).batch_norm().activation(Activation::Relu);
        }
        match strides.next(2) {
            2 => features.max_pool(max_pool(2, 2, 0)),
            _ => features.skip(),
        };
        features.last
    })
}
