//! Writing a network down, node by node.

use super::{Activation, Conv, Linear, Network, Node, NodeId, Op, Rank};
use crate::{Result, WidthRange};

/// Collects nodes; every method appends one and returns its id.
#[derive(Debug)]
pub struct NetworkBuilder {
    name: String,
    rank: Rank,
    widths: WidthRange,
    nodes: Vec<Node>,
}

impl NetworkBuilder {
    /// An empty list.
    pub fn new(name: &str, rank: Rank, widths: WidthRange) -> Self {
        Self { name: name.to_owned(), rank, widths, nodes: Vec::new() }
    }

    fn push(&mut self, path: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.nodes.push(Node { path: path.to_owned(), op, inputs: inputs.to_vec() });
        NodeId(self.nodes.len() - 1)
    }

    /// The input; the first node.
    pub fn input(&mut self, channels: u32) -> NodeId {
        self.push("input", Op::Input { channels }, &[])
    }

    /// A convolution, weight `path.weight`.
    pub fn conv(&mut self, path: &str, input: NodeId, conv: Conv) -> NodeId {
        self.push(path, Op::Conv(conv), &[input])
    }

    /// A batch norm, parameters `path.weight` and `path.bias`.
    pub fn batch_norm(&mut self, path: &str, input: NodeId) -> NodeId {
        self.push(path, Op::BatchNorm, &[input])
    }

    /// A non-linearity.
    pub fn activation(&mut self, path: &str, input: NodeId, activation: Activation) -> NodeId {
        self.push(path, Op::Activation(activation), &[input])
    }

    /// The sum of two nodes.
    pub fn add(&mut self, path: &str, a: NodeId, b: NodeId) -> NodeId {
        self.push(path, Op::Add, &[a, b])
    }

    /// The mean over all positions.
    pub fn global_pool(&mut self, path: &str, input: NodeId) -> NodeId {
        self.push(path, Op::GlobalPool, &[input])
    }

    /// A fully connected layer, parameters `path.weight` and `path.bias`.
    pub fn linear(&mut self, path: &str, input: NodeId, out_features: usize) -> NodeId {
        self.push(path, Op::Linear(Linear { out_features }), &[input])
    }

    /// The network, checked.
    ///
    /// # Errors
    /// The list is not a network; the error names the node.
    pub fn finish(self) -> Result<Network> {
        Network::checked(Network { name: self.name, rank: self.rank, widths: self.widths, nodes: self.nodes })
    }
}
