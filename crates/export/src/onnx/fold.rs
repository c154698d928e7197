//! Batch norms as factors and summands, and which of them become part of the layer before them.
//!
//! Invariant: a batch norm is folded only if nothing else reads what the layer before it computes.

use std::collections::HashMap;

use mutualnet_bundle::{BatchNormStats, RowStats};
use mutualnet_core::network::{NodeId, Op};
use mutualnet_core::{Network, Tensor};

/// The batch norms of a network at one row.
pub(super) struct Folds<'a> {
    stats: HashMap<NodeId, &'a BatchNormStats>,
    /// The batch norm that is folded into a layer, by layer.
    after: HashMap<NodeId, NodeId>,
}

impl<'a> Folds<'a> {
    pub(super) fn new(network: &Network, stats: &'a RowStats) -> Self {
        let stats: HashMap<_, _> = network.batch_norms().zip(stats).collect();
        let mut readers = vec![0; network.nodes().len()];
        let read = network.nodes().iter().flat_map(|node| &node.inputs);
        for NodeId(idx) in read.chain(network.outputs().iter().map(|output| &output.node)) {
            readers[*idx] += 1;
        }
        let mut after = HashMap::new();
        for norm in network.batch_norms() {
            let input = network.node(norm).inputs[0];
            if readers[input.0] == 1 && matches!(network.node(input).op, Op::Conv(_) | Op::Linear(_)) {
                after.insert(input, norm);
            }
        }
        Self { stats, after }
    }

    /// The batch norm that is folded into this layer.
    pub(super) fn after(&self, layer: NodeId) -> Option<NodeId> {
        self.after.get(&layer).copied()
    }

    pub(super) fn is_folded(&self, norm: NodeId) -> bool {
        self.after.values().any(|folded| *folded == norm)
    }

    pub(super) fn stats(&self, norm: NodeId) -> &'a BatchNormStats {
        self.stats[&norm]
    }
}

/// `scale · x + shift`, channel by channel, in double precision: what is folded is rounded once.
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

impl Affine {
    /// What a batch norm with these statistics and parameters does.
    pub(super) fn new(stats: &BatchNormStats, weight: &[f32], bias: &[f32], eps: f64) -> Self {
        let scale: Vec<f64> = weight
            .iter()
            .zip(&stats.var)
            .map(|(w, var)| f64::from(*w) / (f64::from(*var) + eps).sqrt())
            .collect();
        let shift = bias.iter().zip(&stats.mean).zip(&scale);
        let shift = shift.map(|((b, mean), scale)| f64::from(*b) - f64::from(*mean) * scale).collect();
        Self { scale, shift }
    }

    /// Weight and bias of a layer that computes this after what it computed before.
    ///
    /// # Shapes
    /// - `weight`: `[out, …]`, and `out` channels are scaled
    pub(super) fn fold_into(&self, weight: &Tensor, bias: Option<&Tensor>) -> (Vec<f32>, Vec<f32>) {
        let per_output = weight.data.len() / self.scale.len();
        let outputs = weight.data.chunks_exact(per_output).zip(&self.scale);
        let scaled =
            outputs.flat_map(|(taps, scale)| taps.iter().map(move |tap| (f64::from(*tap) * scale) as f32));
        let before = |channel: usize| bias.map_or(0.0, |bias| f64::from(bias.data[channel]));
        let both = self.scale.iter().zip(&self.shift).enumerate();
        let shifted = both.map(|(channel, (scale, shift))| (before(channel) * scale + shift) as f32);
        (scaled.collect(), shifted.collect())
    }
}
