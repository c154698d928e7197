//! ResNets for ImageNet, with the stride in the 3×3 convolution ("v1.5", as in torchvision).
//!
//! # Source
//! arXiv 1512.03385; `[MN-code models/resnet.py]` for the names of ResNet-50, 101 and 152 and for what is slimmed.
//! ResNet-18 and 34, which the reference does not have, are written in the same way.

use mutualnet_core::Network;
use mutualnet_core::network::{Activation, ChannelRule, NetworkBuilder, NodeId, Rank};

use crate::layers::{Sequential, dense, max_pool};
use crate::output_stride::Strides;
use crate::{Error, NetworkConfig};

/// The names of the networks in recipes.
pub const NAMES: &[&str] = &["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"];

/// Channels of the stem and of the 3×3 convolutions in the first stage; every later stage has twice as many.
const CHANNELS: u32 = 64;

/// The kind of block that a network repeats.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// 3×3 – 3×3. All channel counts are rounded to multiples of 8.
    Basic,
    /// 1×1 – 3×3 – 1×1, where the last has four times the channels. The outer channel counts are rounded to multiples of
    /// 8; all others, including the stem's, are a quarter of such a multiple.
    Bottleneck,
}

impl Block {
    /// The kind of block and the repeats per stage of a network.
    fn of(name: &str) -> Option<(Self, [usize; 4])> {
        match name {
            "resnet18" => Some((Self::Basic, [2, 2, 2, 2])),
            "resnet34" => Some((Self::Basic, [3, 4, 6, 3])),
            "resnet50" => Some((Self::Bottleneck, [3, 4, 6, 3])),
            "resnet101" => Some((Self::Bottleneck, [3, 4, 23, 3])),
            "resnet152" => Some((Self::Bottleneck, [3, 8, 36, 3])),
            _ => None,
        }
    }

    /// Channels of the inner convolutions and of the stem.
    fn inner(self, channels: u32) -> ChannelRule {
        match self {
            Self::Basic => ChannelRule::slim(channels),
            Self::Bottleneck => ChannelRule::slim_by(channels, 0.25),
        }
    }

    /// Channels of a block's output.
    fn outer(self, channels: u32) -> ChannelRule {
        match self {
            Self::Basic => ChannelRule::slim(channels),
            Self::Bottleneck => ChannelRule::slim(4 * channels),
        }
    }

    /// Appends the body of a block; `channels` are those of the 3×3 convolutions.
    fn append(
        self,
        net: &mut NetworkBuilder,
        path: &str,
        input: NodeId,
        [channels, stride]: [u32; 2],
    ) -> NodeId {
        let inner = self.inner(channels);
        let mut body = Sequential::new(net, &format!("{path}.body"), input);
        match self {
            Self::Basic => {
                body.conv(dense(inner, 3, stride)).batch_norm().activation(Activation::Relu);
                body.conv(dense(inner, 3, 1)).batch_norm().last
            }
            Self::Bottleneck => {
                body.conv(dense(inner, 1, 1)).batch_norm().activation(Activation::Relu);
                body.conv(dense(inner, 3, stride)).batch_norm().activation(Activation::Relu);
                body.conv(dense(self.outer(channels), 1, 1)).batch_norm().last
            }
        }
    }
}

/// Builds the network: a 7×7 stem, max pooling, four stages of blocks, pooling, a classifier slimmed at its input.
///
/// `None` for a name that is not one of [`NAMES`].
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn resnet(name: &str, config: &NetworkConfig) -> Option<Result<Network, Error>> {
    let (block, repeats) = Block::of(name)?;
    let mut net = NetworkBuilder::new(name, Rank::Image, config.widths);
    let mut strides = Strides::new(config.output_stride);

    let input = net.input(3);
    let mut stem = Sequential::new(&mut net, "features.0", input);
    stem.conv(dense(block.inner(CHANNELS), 7, strides.next(2))).batch_norm().activation(Activation::Relu);
    let mut x = stem.max_pool(max_pool(3, strides.next(2), 1)).last;
    let mut idx = 1;
    for (stage, repeats) in repeats.into_iter().enumerate() {
        let channels = CHANNELS << stage;
        for repeat in 0..repeats {
            let first = repeat == 0;
            let stride = if first && stage > 0 { strides.next(2) } else { 1 };
            let path = format!("features.{idx}");
            let y = block.append(&mut net, &path, x, [channels, stride]);
            // As published, whatever the stride: every stage but the first one of basic blocks begins with a projection.
            if first && (stage > 0 || block == Block::Bottleneck) {
                let mut shortcut = Sequential::new(&mut net, &format!("{path}.shortcut"), x);
                x = shortcut.conv(dense(block.outer(channels), 1, stride)).batch_norm().last;
            }
            x = net.add(&format!("{path}.add"), y, x);
            x = net.activation(&format!("{path}.post_relu"), x, Activation::Relu);
            idx += 1;
        }
    }
    let x = net.global_pool(&format!("features.{idx}"), x);
    net.linear("classifier.0", x, config.classes);
    Some(net.finish().map_err(Error::from))
}
