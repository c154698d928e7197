//! EfficientNet: inverted residuals with gates and swish.
//!
//! Stochastic depth and dropout belong to training, so they are not part of the list.
//!
//! # Source
//! arXiv 1905.11946; torchvision's `efficientnet_b0` for names and shapes.
//! The choice of what is slimmed is ours: everything but the last 1×1 convolution, as for MobileNetV2 in
//! the reference.

use mutualnet_core::Network;
use mutualnet_core::network::{Activation, BatchNorm, ChannelRule, NetworkBuilder, Rank};

use crate::NetworkConfig;
use crate::inverted_residual::{Block, Style};
use crate::layers::dense;
use crate::output_stride::Strides;

/// The name of the network in recipes.
pub const NAME: &str = "efficientnet_b0";

/// Channels after the stem.
const STEM_CHANNELS: u32 = 32;

/// Channels after the last 1×1 convolution; the same number at every width.
const HEAD_CHANNELS: usize = 1280;

const STYLE: Style =
    Style { norm: BatchNorm { eps: BatchNorm::EPS }, gate: [Activation::Swish, Activation::Sigmoid] };

/// Expansion, kernel, first stride, channels and repeats of every stage.
const STAGES: [(u32, u32, u32, u32, u32); 7] = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
];

/// Builds the network: stem, 16 blocks in seven stages, a 1×1 convolution to 1280 channels at every width, pooling, classifier.
///
/// The first convolution of a gate has, at every width, a quarter of the block's input channels.
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn efficientnet_b0(config: &NetworkConfig) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let mut strides = Strides::new(config.output_stride);
    let swish = Some(Activation::Swish);

    let input = net.input(3);
    let stem = dense(ChannelRule::slim(STEM_CHANNELS), 3, strides.next(2));
    let mut x = STYLE.layer(&mut net, "features.0", input, (stem, swish));
    let mut channels = STEM_CHANNELS;
    for (stage, (expansion, kernel, stride, out, repeats)) in (1..).zip(STAGES) {
        for repeat in 0..repeats {
            let path = format!("features.{stage}.{repeat}");
            let first = repeat == 0;
            let block = Block {
                hidden: ChannelRule::slim_by(channels * expansion, f64::from(expansion)),
                expands: expansion != 1,
                kernel,
                stride: if first { strides.next(stride) } else { 1 },
                dilation: 1,
                activation: Activation::Swish,
                squeeze: Some(ChannelRule::slim_by(channels / 4, 0.25)),
                out: ChannelRule::slim(out),
            };
            let y = STYLE.block(&mut net, &path, x, &block);
            // The shortcut depends on the published stride.
            let residual = channels == out && !(first && stride == 2);
            x = if residual { net.add(&format!("{path}.add"), y, x) } else { y };
            channels = out;
        }
    }
    let head = dense(ChannelRule::whole(HEAD_CHANNELS), 1, 1);
    let x = STYLE.layer(&mut net, &format!("features.{}", STAGES.len() + 1), x, (head, swish));
    let x = net.global_pool("avgpool", x);
    net.linear("classifier.1", x, config.classes);
    net.finish()
}
