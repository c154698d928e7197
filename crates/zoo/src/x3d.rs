//! X3D: inverted residuals with channel-wise convolutions over space and time, every other one with a gate.
//!
//! All names are the same list. They differ in the number of frames and in the side of their clips.
//!
//! # Source
//! `[X3D]`; `[pytorchvideo]`'s `x3d_m` for names and shapes.
//! What is slimmed is our choice: everything but the last 1×1×1 convolution, as for MobileNetV2 in the reference. How channels
//! are rounded follows from the figures of `[MN-TPAMI]`: `docs/decisions/0018-networks-that-read-clips.md`.

use mutualnet_core::network::{Activation, ChannelRule, Conv, Groups, NetworkBuilder, Rank};
use mutualnet_core::{Network, NodeId};

use crate::layers::{along_time, conv, dense};
use crate::output_stride::Strides;
use crate::{Error, NetworkConfig};

/// The names of the networks in recipes.
pub const NAMES: &[&str] = &["x3d_xs", "x3d_s", "x3d_m"];

/// Channels after the stem.
const STEM_CHANNELS: u32 = 24;

/// Channels after the last 1×1×1 convolution; the same number at every width.
const HEAD_CHANNELS: usize = 2048;

/// Channels, those of a gate's first convolution, and repeats of every stage, each of which begins with a stride of 2.
const STAGES: [(u32, u32, u32); 4] = [(24, 8, 3), (48, 8, 5), (96, 16, 11), (192, 32, 7)];

/// Channels of the channel-wise convolution of a block with this many output channels, 2.25 times as many.
fn hidden(channels: u32) -> ChannelRule {
    ChannelRule::slim_by(channels * 9 / 4, 0.25)
}

/// Builds the network: stem, 26 blocks in four stages, a 1×1×1 convolution, pooling over all frames and positions, another
/// one to 2048 channels at every width, classifier.
///
/// Outputs of blocks have multiples of 8 channels; channel-wise convolutions, and the first convolutions of gates as in
/// EfficientNet, a quarter of such a multiple.
/// `None` for a name that is not one of [`NAMES`].
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn x3d(name: &str, config: &NetworkConfig) -> Option<Result<Network, Error>> {
    if !NAMES.contains(&name) {
        return None;
    }
    let mut net = NetworkBuilder::new(name, Rank::Clip, config.widths);
    let mut strides = Strides::new(config.output_stride);
    let mut x = net.input(3);
    x = stem(&mut net, x, strides.next(2));
    let mut before = STEM_CHANNELS;
    for (stage, (channels, squeezed, repeats)) in (1..).zip(STAGES) {
        for repeat in 0..repeats {
            let block = Block {
                channels,
                stride: if repeat == 0 { strides.next(2) } else { 1 },
                squeezed: (repeat % 2 == 0).then_some(squeezed),
                shortcut: match repeat {
                    0 if channels == before => Shortcut::Strided,
                    0 => Shortcut::Projected,
                    _ => Shortcut::Identity,
                },
            };
            x = block.append(&mut net, &format!("blocks.{stage}.res_blocks.{repeat}"), x);
        }
        before = channels;
    }
    let x = head(&mut net, x, hidden(before));
    net.linear("blocks.5.proj", x, config.classes);
    Some(net.finish().map_err(Error::from))
}

/// A convolution over space, and one over time for each channel.
fn stem(net: &mut NetworkBuilder, input: NodeId, stride: u32) -> NodeId {
    let out = ChannelRule::slim(STEM_CHANNELS);
    // pytorchvideo's names are swapped: `conv_t` looks over space.
    let x = net.conv("blocks.0.conv.conv_t", input, dense(out, 3, stride));
    let x = net.conv("blocks.0.conv.conv_xy", x, along_time(conv(out, 1, 1, Groups::Depthwise), 5));
    let x = net.batch_norm("blocks.0.norm", x);
    net.activation("blocks.0.activation", x, Activation::Relu)
}

/// What is added to the output of a block.
#[derive(Clone, Copy, PartialEq)]
enum Shortcut {
    /// The block's input.
    Identity,
    /// A 1×1×1 convolution of it, which has the block's stride; the first stage has no batch norm there.
    Strided,
    /// The same with a batch norm.
    Projected,
}

struct Block {
    /// Channels of the output.
    channels: u32,
    stride: u32,
    /// Channels of the gate's first convolution; `None` if there is no gate.
    squeezed: Option<u32>,
    shortcut: Shortcut,
}

impl Block {
    fn append(&self, net: &mut NetworkBuilder, path: &str, input: NodeId) -> NodeId {
        let hidden = hidden(self.channels);
        let y = net.conv(&format!("{path}.branch2.conv_a"), input, dense(hidden, 1, 1));
        let y = net.batch_norm(&format!("{path}.branch2.norm_a"), y);
        let y = net.activation(&format!("{path}.branch2.act_a"), y, Activation::Relu);
        let depthwise = along_time(conv(hidden, 3, self.stride, Groups::Depthwise), 3);
        let y = net.conv(&format!("{path}.branch2.conv_b"), y, depthwise);
        let mut y = net.batch_norm(&format!("{path}.branch2.norm_b.0"), y);
        if let Some(squeezed) = self.squeezed {
            y = gate(
                net,
                &format!("{path}.branch2.norm_b.1"),
                y,
                [ChannelRule::slim_by(squeezed, 0.25), hidden],
            );
        }
        let y = net.activation(&format!("{path}.branch2.act_b"), y, Activation::Swish);
        let out = ChannelRule::slim(self.channels);
        let y = net.conv(&format!("{path}.branch2.conv_c"), y, dense(out, 1, 1));
        let y = net.batch_norm(&format!("{path}.branch2.norm_c"), y);
        let mut x = input;
        if self.shortcut != Shortcut::Identity {
            x = net.conv(&format!("{path}.branch1_conv"), x, dense(out, 1, self.stride));
        }
        if self.shortcut == Shortcut::Projected {
            x = net.batch_norm(&format!("{path}.branch1_norm"), x);
        }
        let x = net.add(&format!("{path}.add"), y, x);
        net.activation(&format!("{path}.activation"), x, Activation::Relu)
    }
}

/// Appends a gate (squeeze and excitation): a factor per channel, computed from the means of all channels.
fn gate(net: &mut NetworkBuilder, path: &str, x: NodeId, [squeezed, channels]: [ChannelRule; 2]) -> NodeId {
    let gate = net.global_pool(&format!("{path}.pool"), x);
    let gate = net.conv(&format!("{path}.block.0"), gate, Conv { bias: true, ..dense(squeezed, 1, 1) });
    let gate = net.activation(&format!("{path}.block.1"), gate, Activation::Relu);
    let gate = net.conv(&format!("{path}.block.2"), gate, Conv { bias: true, ..dense(channels, 1, 1) });
    let gate = net.activation(&format!("{path}.block.3"), gate, Activation::Sigmoid);
    net.multiply(&format!("{path}.scale"), x, gate)
}

/// From the last block to the features that the classifier reads.
fn head(net: &mut NetworkBuilder, x: NodeId, hidden: ChannelRule) -> NodeId {
    let x = net.conv("blocks.5.pool.pre_conv", x, dense(hidden, 1, 1));
    let x = net.batch_norm("blocks.5.pool.pre_norm", x);
    let x = net.activation("blocks.5.pool.pre_act", x, Activation::Relu);
    let x = net.global_pool("blocks.5.pool.pool", x);
    let x = net.conv("blocks.5.pool.post_conv", x, dense(ChannelRule::whole(HEAD_CHANNELS), 1, 1));
    net.activation("blocks.5.pool.post_act", x, Activation::Relu)
}
