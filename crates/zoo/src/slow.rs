//! Slow-only: a ResNet-50 over the frames of a clip, whose last two stages look along time.
//!
//! Both names are the same list. They differ in how a clip is cut out of a video: 4 frames with a stride of 16, or 8 frames
//! with a stride of 8.
//!
//! # Source
//! `[SlowFast]` §4.1; `[pytorchvideo]`'s `slow_r50` for names and shapes.
//! That all channels are rounded to multiples of 8 follows from the figures of `[MN-TPAMI]`: `docs/decisions/0018-networks-that-read-clips.md`.

use mutualnet_core::Network;
use mutualnet_core::network::{NetworkBuilder, Rank};

use crate::resnet::{Block, Moves, Names, backbone};
use crate::{Error, NetworkConfig};

/// The names of the networks in recipes.
pub const NAMES: &[&str] = &["slow_r50_4x16", "slow_r50_8x8"];

/// Blocks of every stage, as in ResNet-50.
pub(crate) const REPEATS: [usize; 4] = [3, 4, 6, 3];

/// Taps along time of the first convolution of every block, by stage.
pub(crate) const TAPS: [u32; 4] = [1, 1, 3, 3];

/// Builds the network: the stem and the stages of a ResNet-50 without a stride along time, a pool over all frames and
/// positions, a classifier slimmed at its input.
///
/// `None` for a name that is not one of [`NAMES`].
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn slow(name: &str, config: &NetworkConfig) -> Option<Result<Network, Error>> {
    if !NAMES.contains(&name) {
        return None;
    }
    let blocks = (Block::Bottleneck { ratio: 1.0 }, REPEATS);
    let mut net = NetworkBuilder::new(name, Rank::Clip, config.widths);
    let input = net.input(3);
    let moves = Moves { taps: TAPS, ..Moves::strided(config.output_stride) };
    let [.., x] = backbone(&mut net, input, blocks, Names::Pytorchvideo, moves);
    let x = net.global_pool("blocks.5.pool", x);
    net.linear("blocks.5.proj", x, config.classes);
    Some(net.finish().map_err(Error::from))
}
