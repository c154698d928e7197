//! MNASNet-B1: inverted residuals with linear bottlenecks, found by a search.
//!
//! # Source
//! arXiv 1807.11626; torchvision's `mnasnet0_5` to `mnasnet1_3` for names and shapes.
//! The choice of what is slimmed is ours: everything but the last 1×1 convolution, as for MobileNetV2 in the reference, and
//! but the 8 channels that `mnasnet0_5` begins with, which cannot be fewer and still a multiple of 8.

use mutualnet_core::network::{Activation, ChannelRule, Groups, NetworkBuilder, Rank, make_divisible};
use mutualnet_core::{Network, NodeId};

use crate::layers::{Sequential, conv, dense};
use crate::output_stride::Strides;
use crate::{Error, NetworkConfig};

/// The names of the networks in recipes.
pub const NAMES: &[&str] = &["mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"];

/// Channels of the stem and of the block after it, which does not expand.
const FIRST_CHANNELS: [u32; 2] = [32, 16];

/// Channels after the last 1×1 convolution; the same number at every width.
const HEAD_CHANNELS: usize = 1280;

/// The number of the first stack in the names: three convolutions with their batch norms and two activations come before.
const FIRST_STACK: usize = 8;

/// Channels, kernel, first stride, expansion and repeats of every stack of blocks.
const STACKS: [(u32, u32, u32, u32, u32); 6] = [
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
];

/// The factor of all channels in a name, which is the network's own and has nothing to do with its widths.
fn factor(name: &str) -> Option<f64> {
    NAMES.contains(&name).then(|| name.strip_prefix("mnasnet")?.replace('_', ".").parse().ok())?
}

/// Builds the network: stem, 17 blocks, a 1×1 convolution to 1280 channels at every width, pooling, classifier.
///
/// `None` for a name that is not one of [`NAMES`].
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn mnasnet(name: &str, config: &NetworkConfig) -> Option<Result<Network, Error>> {
    factor(name).map(|factor| list(name, factor, config).map_err(Error::from))
}

fn list(name: &str, factor: f64, config: &NetworkConfig) -> mutualnet_core::Result<Network> {
    let scaled = |channels: u32| make_divisible(f64::from(channels) * factor, ChannelRule::DIVISOR);
    let mut net = NetworkBuilder::new(name, Rank::Image, config.widths);
    let mut strides = Strides::new(config.output_stride);
    let [stem, mut channels] = FIRST_CHANNELS.map(scaled);

    let mut x = first_layers(&mut net, [stem, channels], strides.next(2));
    for (layer, (out, kernel, stride, expansion, repeats)) in (FIRST_STACK..).zip(STACKS) {
        for repeat in 0..repeats {
            let published = if repeat == 0 { stride } else { 1 };
            let block =
                Block { channels, expansion, kernel, stride: strides.next(published), out: scaled(out) };
            let path = format!("layers.{layer}.{repeat}");
            let y = block.append(&mut net, &format!("{path}.layers"), x);
            // The shortcut depends on the published stride.
            let residual = channels == block.out && published == 1;
            x = if residual { net.add(&format!("{path}.add"), y, x) } else { y };
            channels = block.out;
        }
    }
    let head = FIRST_STACK + STACKS.len();
    x = net.conv(&format!("layers.{head}"), x, dense(ChannelRule::whole(HEAD_CHANNELS), 1, 1));
    x = net.batch_norm(&format!("layers.{}", head + 1), x);
    x = net.activation(&format!("layers.{}", head + 2), x, Activation::Relu);
    let x = net.global_pool("pool", x);
    net.linear("classifier.1", x, config.classes);
    net.finish()
}

/// `expansion` times as many channels as a layer with `channels` of them, which follow the width if there are enough.
fn slim(channels: u32, expansion: u32) -> ChannelRule {
    let expanded = channels * expansion;
    if channels <= ChannelRule::DIVISOR {
        return ChannelRule::whole(expanded as usize);
    }
    ChannelRule::slim_by(expanded, f64::from(expansion))
}

/// A convolution with a stride, and a depthwise and a 1×1 convolution.
fn first_layers(net: &mut NetworkBuilder, [stem, out]: [u32; 2], stride: u32) -> NodeId {
    let stem = slim(stem, 1);
    let input = net.input(3);
    let mut layers = Sequential::new(net, "layers", input);
    layers.conv(dense(stem, 3, stride)).batch_norm().activation(Activation::Relu);
    layers.conv(conv(stem, 3, 1, Groups::Depthwise)).batch_norm().activation(Activation::Relu);
    layers.conv(dense(slim(out, 1), 1, 1)).batch_norm();
    layers.last
}

/// One inverted residual without its shortcut.
struct Block {
    channels: u32,
    expansion: u32,
    kernel: u32,
    stride: u32,
    out: u32,
}

impl Block {
    fn append(&self, net: &mut NetworkBuilder, path: &str, input: NodeId) -> NodeId {
        let hidden = slim(self.channels, self.expansion);
        let mut body = Sequential::new(net, path, input);
        body.conv(dense(hidden, 1, 1)).batch_norm().activation(Activation::Relu);
        let depthwise = conv(hidden, self.kernel, self.stride, Groups::Depthwise);
        body.conv(depthwise).batch_norm().activation(Activation::Relu);
        body.conv(dense(slim(self.out, 1), 1, 1)).batch_norm();
        body.last
    }
}
