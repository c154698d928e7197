//! SlowFast: a ResNet over few frames of a clip beside a thin one over many, which tells the first what it sees.
//!
//! A name has the number of layers of the ResNet, and the setting: its lateral convolutions have a stride along time that
//! is the ratio of the frames that it is published for, 32 to 4 or 32 to 8.
//! ResNet-14, one block per stage, is for small clips; it is published nowhere.
//!
//! # Source
//! `[SlowFast]` §3; `[pytorchvideo]`'s `create_slowfast` for names and shapes.
//! That only the Slow pathway is slimmed is known from `[MN-TPAMI]`. How its channels are rounded, and how the two grids
//! meet, is our choice: `docs/decisions/0020-slowfast.md`.

use mutualnet_core::network::{Activation, ChannelRule, Conv, Extent, NetworkBuilder, Rank, Resize};
use mutualnet_core::{Network, NodeId};

use crate::layers::{along_time, dense};
use crate::resnet::{Backbone, Block, CHANNELS, Moves, Names};
use crate::slow::{REPEATS, TAPS};
use crate::{Error, NetworkConfig};

/// The names of the networks in recipes.
pub const NAMES: &[&str] =
    &["slowfast_r50_4x16", "slowfast_r50_8x8", "slowfast_r14_4x16", "slowfast_r14_8x8"];

/// Frames, height and width of what the Fast pathway reads, whatever the sub-network, as published.
pub const FAST: Extent = [32, 224, 224];

/// The Fast pathway has this many times fewer channels than the Slow one.
const FEWER: u32 = 8;

/// Taps along time of the first convolution of every block of the Fast pathway, by stage, and of its stem.
const FAST_TAPS: ([u32; 4], u32) = ([3; 4], 5);

/// Builds the network with two inputs: `slow`, of the sub-network's frames and side, and `fast`, of the size [`FAST`] or of
/// another that [`Network::with_whole_clip`] gives it.
///
/// A lateral connection follows the stem and every stage but the last: a convolution along time over the Fast pathway,
/// resized to the grid of the Slow one, whose next stage reads both.
/// Each pathway is pooled over all frames and positions, and the classifier reads both.
///
/// `None` for a name that is not one of [`NAMES`].
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn slowfast(name: &str, config: &NetworkConfig) -> Option<Result<Network, Error>> {
    let (layers, setting) = name.strip_prefix("slowfast_r")?.split_once('_')?;
    let (repeats, lateral) = (repeats(layers)?, Lateral::of(setting)?);
    let mut net = NetworkBuilder::new(name, Rank::Clip, config.widths);
    let (slow, fast) = (net.stream("slow", 3, None), net.stream("fast", 3, Some(FAST)));
    let moves = Moves { taps: TAPS, ..Moves::strided(config.output_stride) };
    let (taps, stem_taps) = FAST_TAPS;
    let mut pathways = [
        Backbone::new(Block::Bottleneck { ratio: 1.0 }, Names::Pathway(0), moves),
        Backbone::new(
            Block::Whole { divided_by: FEWER },
            Names::Pathway(1),
            Moves { taps, stem_taps, ..moves },
        ),
    ];
    let [mut slow, mut fast] = [slow, fast];
    fast = pathways[1].stem(&mut net, fast);
    slow = pathways[0].stem(&mut net, slow);
    let mut channels = CHANNELS / FEWER;
    for (stage, repeats) in repeats.into_iter().enumerate() {
        let path = format!("blocks.{stage}.multipathway_fusion");
        let told = lateral.append(&mut net, &path, channels, [fast, slow]);
        fast = pathways[1].stage(&mut net, &[fast], repeats);
        slow = pathways[0].stage(&mut net, &[slow, told], repeats);
        channels = 4 * (CHANNELS << stage) / FEWER;
    }
    let fast = net.global_pool("blocks.5.pool.1", fast);
    let slow = net.global_pool("blocks.5.pool.0", slow);
    net.linear_over("blocks.6.proj", &[slow, fast], config.classes);
    Some(net.finish().map_err(Error::from))
}

/// A lateral connection, which has no part that is slimmed.
#[derive(Clone, Copy)]
struct Lateral {
    /// Taps of the convolution along time.
    taps: u32,
    /// How many frames of the Fast pathway there are for one of the Slow pathway, as published.
    stride: u32,
}

/// Blocks of every stage of a ResNet.
fn repeats(layers: &str) -> Option<[usize; 4]> {
    match layers {
        "14" => Some([1; 4]),
        "50" => Some(REPEATS),
        _ => None,
    }
}

impl Lateral {
    fn of(setting: &str) -> Option<Self> {
        match setting {
            "4x16" => Some(Self { taps: 5, stride: 8 }),
            "8x8" => Some(Self { taps: 7, stride: 4 }),
            _ => None,
        }
    }

    /// Tells the Slow pathway what the Fast one, which has `channels` channels, sees: twice as many of them on its grid.
    fn append(
        self,
        net: &mut NetworkBuilder,
        path: &str,
        channels: u32,
        [fast, slow]: [NodeId; 2],
    ) -> NodeId {
        let conv = along_time(dense(ChannelRule::whole(2 * channels as usize), 1, 1), self.taps);
        let conv = Conv { stride: [self.stride, 1, 1], ..conv };
        let x = net.conv(&format!("{path}.conv_fast_to_slow"), fast, conv);
        let x = net.batch_norm(&format!("{path}.norm"), x);
        let x = net.activation(&format!("{path}.activation"), x, Activation::Relu);
        net.resize_like(&format!("{path}.resized"), x, slow, Resize::Nearest)
    }
}
