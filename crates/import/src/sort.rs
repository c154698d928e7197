//! Sorts channels by importance, so that the leading ones, which narrow widths use, are the best.
//!
//! Separate from matching because it changes the weights, although the full network computes the same.
//! Invariant: at full width the network computes the same function. Channels that are added, multiplied or run
//! through depthwise convolutions and norms together move together; inputs and outputs stay.

use mutualnet_core::network::{Conv, Groups, Node, NodeId, Op, ParameterKind};
use mutualnet_core::{Network, Tensor, Weights};

use crate::{Error, Result};

/// Sorts the channels of every group that follows the width; returns how many groups there were.
///
/// A channel is as important as the sum of the absolute weights that read it (dense convolutions and linear layers),
/// each times the scale of the batch norm before it, which estimates how large the channel is there.
///
/// # Errors
/// The network has an operation across which channels cannot be followed.
///
/// # Source
/// L1 norms of the weights that read a channel, as Once-for-All does before it trains narrower widths
/// (arXiv 1908.09791). Deviation: times the norm's scale, since after a norm the weights alone say little.
pub fn sort_channels(network: &Network, weights: &mut Weights) -> Result<usize> {
    let groups = ChannelGroups::new(network)?;
    let mut orders: Vec<Option<Vec<usize>>> = vec![None; network.nodes().len()];
    let importance = importance(network, weights, &groups)?;
    let mut n_sorted = 0;
    for (group, importance) in importance.into_iter().enumerate() {
        if let Some(importance) = importance {
            let mut order: Vec<usize> = (0..importance.len()).collect();
            // Stable: equally important channels keep their order.
            order.sort_by(|&a, &b| importance[b].total_cmp(&importance[a]));
            orders[group] = Some(order);
            n_sorted += 1;
        }
    }
    for parameter in network.parameters() {
        let node = network.node(parameter.node);
        let tensor = weights.get_mut(&parameter.name).ok_or_else(|| missing(&parameter.name))?;
        if let Some(order) = &orders[groups.of(parameter.node)] {
            permute(tensor, 0, order);
        }
        let reads_all = matches!(parameter.kind, ParameterKind::ConvWeight | ParameterKind::LinearWeight);
        if let (true, Some(order)) = (reads_all, &orders[groups.of(node.inputs[0])]) {
            permute(tensor, 1, order);
        }
    }
    Ok(n_sorted)
}

fn missing(name: &str) -> Error {
    Error::Tensor { name: name.to_owned(), reason: "it is missing".to_owned() }
}

/// Nodes whose channels move together; a group is named by its first node.
struct ChannelGroups {
    parents: Vec<usize>,
    /// Whether a group's channels may move: they follow the width and are neither input nor output.
    sortable: Vec<bool>,
}

impl ChannelGroups {
    fn new(network: &Network) -> Result<Self> {
        let nodes = network.nodes();
        let mut groups = Self { parents: (0..nodes.len()).collect(), sortable: vec![] };
        for (idx, node) in nodes.iter().enumerate() {
            if !begins_group(node)? {
                for input in &node.inputs {
                    groups.join(idx, input.0);
                }
            }
        }
        groups.sortable = vec![false; nodes.len()];
        for (idx, node) in nodes.iter().enumerate() {
            if node.op.rule().is_some_and(|rule| rule.slim) {
                let group = groups.of(NodeId(idx));
                groups.sortable[group] = true;
            }
        }
        for fixed in [0, nodes.len() - 1] {
            let group = groups.of(NodeId(fixed));
            groups.sortable[group] = false;
        }
        Ok(groups)
    }

    fn of(&self, NodeId(mut node): NodeId) -> usize {
        while self.parents[node] != node {
            node = self.parents[node];
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(NodeId(a)), self.of(NodeId(b)));
        self.parents[a.max(b)] = a.min(b);
    }
}

/// Whether a node makes channels of its own, instead of passing on those of its inputs.
fn begins_group(node: &Node) -> Result<bool> {
    match &node.op {
        _ if node.shares.is_some() => Err(Error::Tensor {
            name: node.path.clone(),
            reason: "channels cannot be sorted if layers share their weights".to_owned(),
        }),
        Op::Input { .. } => Ok(true),
        Op::Conv(Conv { groups: Groups::Dense, .. }) | Op::Linear(_) if node.inputs.len() == 1 => Ok(true),
        Op::Conv(Conv { groups: Groups::Depthwise, .. })
        | Op::BatchNorm(_)
        | Op::Activation(_)
        | Op::Add
        | Op::Multiply
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::GlobalPool => Ok(false),
        other => Err(Error::Tensor {
            name: node.path.clone(),
            reason: format!("channels cannot be sorted across `{}`", other.name()),
        }),
    }
}

/// For every sortable group, by the number of its first node, the importance of each channel.
fn importance(network: &Network, weights: &Weights, groups: &ChannelGroups) -> Result<Vec<Option<Vec<f64>>>> {
    let channels = network.channels(network.widths().full())?;
    let sizes = sizes(network, weights, &channels)?;
    let mut importance: Vec<Option<Vec<f64>>> = vec![None; network.nodes().len()];
    for parameter in network.parameters() {
        if !matches!(parameter.kind, ParameterKind::ConvWeight | ParameterKind::LinearWeight) {
            continue;
        }
        let input = network.node(parameter.node).inputs[0];
        let group = groups.of(input);
        if !groups.sortable[group] {
            continue;
        }
        let tensor = weights.get(&parameter.name).ok_or_else(|| missing(&parameter.name))?;
        let n_channels = channels[input.0];
        let sums = importance[group].get_or_insert_with(|| vec![0.0; n_channels]);
        let kernel: usize = tensor.shape[2..].iter().product();
        for (idx, taps) in tensor.data.chunks_exact(kernel.max(1)).enumerate() {
            let channel = idx % n_channels;
            let norm: f64 = taps.iter().map(|tap| f64::from(tap.abs())).sum();
            sums[channel] += norm * sizes[input.0][channel];
        }
    }
    Ok(importance)
}

/// The size of each channel of every node, estimated as the absolute scale of the last batch norm.
fn sizes(network: &Network, weights: &Weights, channels: &[usize]) -> Result<Vec<Vec<f64>>> {
    let mut sizes: Vec<Vec<f64>> = Vec::with_capacity(channels.len());
    for (node, &n_channels) in network.nodes().iter().zip(channels) {
        let size = match &node.op {
            Op::BatchNorm(_) => {
                let name = format!("{}.weight", node.path);
                let scale = weights.get(&name).ok_or_else(|| missing(&name))?;
                scale.data.iter().map(|scale| f64::from(scale.abs())).collect()
            }
            Op::Add => {
                let [a, b] = [&sizes[node.inputs[0].0], &sizes[node.inputs[1].0]];
                a.iter().zip(b).map(|(a, b)| a + b).collect()
            }
            _ if begins_group(node)? || matches!(node.op, Op::Conv(_)) => vec![1.0; n_channels],
            _ => sizes[node.inputs[0].0].clone(),
        };
        sizes.push(size);
    }
    Ok(sizes)
}

/// Entry `i` along `axis` becomes what entry `order[i]` was.
fn permute(tensor: &mut Tensor, axis: usize, order: &[usize]) {
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    let old = tensor.data.clone();
    for (new, old) in
        tensor.data.chunks_exact_mut(inner * order.len()).zip(old.chunks_exact(inner * order.len()))
    {
        for (new, &from) in new.chunks_exact_mut(inner).zip(order) {
            new.copy_from_slice(&old[from * inner..(from + 1) * inner]);
        }
    }
}

#[cfg(test)]
mod tests;
