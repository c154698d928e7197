//! Wide ResNets for 32-pixel images, in which batch norm and activation precede the convolutions.
//!
//! # Source
//! arXiv 1605.07146; `[MN-code models/wideresnet.py]` for names, for what is slimmed, and for the shortcut, which is a
//! convolution of the activated input without a batch norm.

use mutualnet_core::Network;
use mutualnet_core::network::{Activation, ChannelRule, NetworkBuilder, NodeId, Rank};

use crate::layers::dense;
use crate::{Error, NetworkConfig};

/// How the names of these networks begin; depth and widening follow, as in `wide_resnet28_10`.
pub const PREFIX: &str = "wide_resnet";

/// The published members, which are listed when a name is unknown. There is a network for every depth and widening.
pub const NAMES: &[&str] =
    &["wide_resnet16_8", "wide_resnet28_2", "wide_resnet28_10", "wide_resnet40_2", "wide_resnet40_4"];

/// The factor between the sides of the input and of the last feature map.
const OUTPUT_STRIDE: u32 = 4;

/// The largest depth, far above any that was published.
const MAX_DEPTH: u32 = 1000;

/// Channels of the stem and, before widening, of the first group of blocks.
const CHANNELS: u32 = 16;

/// Builds the network: a 3×3 stem, three groups of `(depth - 4) / 6` blocks, batch norm, pooling, a classifier slimmed at its
/// input.
///
/// Returns `None` for a name that is not [`PREFIX`], depth, `_`, widening.
///
/// # Errors
/// Fails if the depth is not 6n + 4, if an output stride is given, or if the width range leaves a layer without channels.
pub fn wide_resnet(name: &str, config: &NetworkConfig) -> Option<Result<Network, Error>> {
    let (depth, widening) = name.strip_prefix(PREFIX)?.split_once('_')?;
    let (depth, widening) = (depth.parse().ok()?, widening.parse().ok()?);
    Some(list(name, depth, widening, config))
}

fn list(name: &str, depth: u32, widening: u32, config: &NetworkConfig) -> Result<Network, Error> {
    if !(10..=MAX_DEPTH).contains(&depth) || depth % 6 != 4 {
        return Err(Error::Depth { name: name.to_owned(), depth });
    }
    if config.output_stride.is_some() {
        return Err(Error::FixedOutputStride { name: name.to_owned(), stride: OUTPUT_STRIDE });
    }
    let mut net = NetworkBuilder::new(name, Rank::Image, config.widths);
    let x = net.input(3);
    let mut x = net.conv("conv1", x, dense(ChannelRule::slim(CHANNELS), 3, 1));
    let mut channels = CHANNELS;
    for group in 0..3 {
        let out = (CHANNELS << group).saturating_mul(widening);
        for repeat in 0..(depth - 4) / 6 {
            let stride = if group > 0 && repeat == 0 { 2 } else { 1 };
            let block = Block { out: ChannelRule::slim(out), stride, projects: channels != out };
            x = block.append(&mut net, &format!("block{}.layer.{repeat}", group + 1), x);
            channels = out;
        }
    }
    let x = net.batch_norm("bn1", x);
    let x = net.activation("relu", x, Activation::Relu);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, config.classes);
    Ok(net.finish()?)
}

/// Two 3×3 convolutions and a shortcut.
struct Block {
    out: ChannelRule,
    stride: u32,
    /// Whether the shortcut is a convolution.
    projects: bool,
}

impl Block {
    fn append(&self, net: &mut NetworkBuilder, path: &str, input: NodeId) -> NodeId {
        let at = |name: &str| format!("{path}.{name}");
        let x = net.batch_norm(&at("bn1"), input);
        let activated = net.activation(&at("relu1"), x, Activation::Relu);
        let x = net.conv(&at("conv1"), activated, dense(self.out, 3, self.stride));
        let x = net.batch_norm(&at("bn2"), x);
        let x = net.activation(&at("relu2"), x, Activation::Relu);
        let x = net.conv(&at("conv2"), x, dense(self.out, 3, 1));
        let shortcut = if self.projects {
            net.conv(&at("convShortcut"), activated, dense(self.out, 1, self.stride))
        } else {
            input
        };
        net.add(&at("add"), x, shortcut)
    }
}
