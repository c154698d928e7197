//! Times a row layer by layer, and says what each layer has to do at least.
//!
//! Separate from [`measure`](crate::measure), which times whole runs for the query table and reads the clock only twice.

use std::time::{Duration, Instant};

use mutualnet_core::NodeId;
use mutualnet_core::network::NodeCost;

use crate::program::Feature;
use crate::{Result, Session};

/// A layer as it is executed: a node of the network with the batch norm, activation and sum that are fused with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTime {
    /// Its node of the network.
    pub node: NodeId,
    /// Frames of its output; 1 of an image.
    pub frames: usize,
    /// Height and width of its output.
    pub size: [usize; 2],
    /// Channels of its output.
    pub channels: usize,
    /// Multiply-accumulates for all images of a run, as the network counts them. Winograd's method needs fewer, and so do
    /// convolutions with many taps on padding.
    pub macs: u64,
    /// The least number of bytes that a run moves: every input, every weight and every output once.
    pub bytes: u64,
    /// Median time of a run.
    pub time: Duration,
}

impl Session {
    /// Runs `n` images or clips `runs` times and returns the time of every layer, in the order of execution. Reading the clock
    /// adds a few tens of nanoseconds to each layer.
    ///
    /// # Shapes
    /// - `inputs`: for each input of the list [`List::MAIN`](mutualnet_core::network::List::MAIN) `[n, r, r, channels]` f32, or
    ///   of clips `[n, frames, r, r, channels]`, normalized; resolution `r` and frames are those of the current row, or what
    ///   the network states.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::run_list`].
    pub fn profile(&mut self, inputs: &[&[f32]], n: usize, runs: usize) -> Result<Vec<LayerTime>> {
        let program = self.program().clone();
        let mut times = vec![Vec::with_capacity(runs); program.calls.len()];
        let mut of_run = vec![Duration::ZERO; program.calls.len()];
        for _ in 0..runs {
            let mut last = Instant::now();
            of_run.fill(Duration::ZERO);
            // There may be several passes, which add up.
            self.run_observed(inputs, n, |call| {
                if let Some(call) = call {
                    of_run[call] += last.elapsed();
                }
                last = Instant::now();
            })?;
            for (times, &time) in times.iter_mut().zip(&of_run) {
                times.push(time);
            }
        }
        let costs = self.model().network().costs(program.subnet)?;
        let mut layers: Vec<LayerTime> = Vec::new();
        for ((call, &node), mut times) in program.calls.iter().zip(&program.nodes).zip(times) {
            times.sort_unstable();
            let time = times.get(times.len() / 2).copied().unwrap_or_default();
            match layers.last_mut() {
                // A convolution of several inputs makes a call for each.
                Some(layer) if layer.node == node => {
                    layer.time += time;
                    layer.bytes += bytes(n, [Some(call.input), None, None]);
                }
                _ => {
                    let NodeCost { macs, params, .. } = costs[node.0];
                    let written = bytes(n, [Some(call.output), None, None]);
                    let read = bytes(n, [Some(call.input), call.gate, call.residual]);
                    layers.push(LayerTime {
                        node,
                        frames: call.output.frames,
                        size: call.output.size,
                        channels: call.output.channels,
                        macs: n as u64 * macs.0,
                        bytes: read + written + params * self.precision().bytes() as u64,
                        time,
                    });
                }
            }
        }
        Ok(layers)
    }
}

/// The bytes of feature maps for `n` images.
fn bytes(n: usize, maps: [Option<Feature>; 3]) -> u64 {
    let of = |map: Feature| map.pixels() * map.channels * map.bytes;
    (n * maps.into_iter().flatten().map(of).sum::<usize>()) as u64
}
