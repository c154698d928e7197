//! Builds a network node by node.

use super::{
    Activation, AvgPool, BatchNorm, Conv, Extent, Linear, MaxPool, Network, Node, NodeId, Op, Output, Rank,
    Resize, TransposedConv,
};
use crate::{Result, WidthRange};

/// Collects nodes. Every method but [`finish`](Self::finish) appends one and returns its id.
#[derive(Debug)]
pub struct NetworkBuilder {
    name: String,
    rank: Rank,
    widths: WidthRange,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    regions: Option<u32>,
}

impl NetworkBuilder {
    /// Starts with an empty list.
    pub fn new(name: &str, rank: Rank, widths: WidthRange) -> Self {
        Self { name: name.to_owned(), rank, widths, nodes: Vec::new(), outputs: Vec::new(), regions: None }
    }

    fn push(&mut self, path: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.nodes.push(Node { path: path.to_owned(), op, inputs: inputs.to_vec(), shares: None });
        NodeId(self.nodes.len() - 1)
    }

    /// The input, of the sub-network's size. Inputs must be the first nodes.
    pub fn input(&mut self, channels: u32) -> NodeId {
        self.push("input", Op::Input { channels, size: None }, &[])
    }

    /// The list is one that runs on regions of an image, and on so many at most once the network is trained.
    pub fn on_regions(&mut self, most: u32) {
        self.regions = Some(most);
    }

    /// One of several inputs, or the input of a list that a task runs on what it has computed.
    pub fn stream(&mut self, path: &str, channels: u32, size: Option<Extent>) -> NodeId {
        self.push(path, Op::Input { channels, size }, &[])
    }

    /// A convolution with the weight `path.weight` and, if it has one, the bias `path.bias`.
    pub fn conv(&mut self, path: &str, input: NodeId, conv: Conv) -> NodeId {
        self.push(path, Op::Conv(conv), &[input])
    }

    /// The convolution `owner` once more, with the same parameters, for another input.
    ///
    /// # Panics
    /// There is no node `owner`.
    pub fn conv_again(&mut self, path: &str, input: NodeId, owner: NodeId) -> NodeId {
        let op = self.nodes[owner.0].op.clone();
        self.nodes.push(Node { path: path.to_owned(), op, inputs: vec![input], shares: Some(owner) });
        NodeId(self.nodes.len() - 1)
    }

    /// A convolution that reads several nodes of the same size, as if they were concatenated along their channels.
    pub fn conv_over(&mut self, path: &str, inputs: &[NodeId], conv: Conv) -> NodeId {
        self.push(path, Op::Conv(conv), inputs)
    }

    /// A transposed convolution with the weight `path.weight` and, if it has one, the bias `path.bias`.
    pub fn transposed_conv(&mut self, path: &str, input: NodeId, conv: TransposedConv) -> NodeId {
        self.push(path, Op::TransposedConv(conv), &[input])
    }

    /// A batch norm with the usual eps and the parameters `path.weight` and `path.bias`.
    pub fn batch_norm(&mut self, path: &str, input: NodeId) -> NodeId {
        self.batch_norm_with(path, input, BatchNorm { eps: BatchNorm::EPS })
    }

    /// A batch norm with the parameters `path.weight` and `path.bias`.
    pub fn batch_norm_with(&mut self, path: &str, input: NodeId, norm: BatchNorm) -> NodeId {
        self.push(path, Op::BatchNorm(norm), &[input])
    }

    /// A non-linearity.
    pub fn activation(&mut self, path: &str, input: NodeId, activation: Activation) -> NodeId {
        self.push(path, Op::Activation(activation), &[input])
    }

    /// The sum of two nodes.
    pub fn add(&mut self, path: &str, a: NodeId, b: NodeId) -> NodeId {
        self.push(path, Op::Add, &[a, b])
    }

    /// `x` with every channel multiplied by its factor in `gate`, which has a single position.
    pub fn multiply(&mut self, path: &str, x: NodeId, gate: NodeId) -> NodeId {
        self.push(path, Op::Multiply, &[x, gate])
    }

    /// Max pooling over a window.
    pub fn max_pool(&mut self, path: &str, input: NodeId, pool: MaxPool) -> NodeId {
        self.push(path, Op::MaxPool(pool), &[input])
    }

    /// Average pooling over a window.
    pub fn avg_pool(&mut self, path: &str, input: NodeId, pool: AvgPool) -> NodeId {
        self.push(path, Op::AvgPool(pool), &[input])
    }

    /// `input` at the time, height and width of `like`.
    pub fn resize_like(&mut self, path: &str, input: NodeId, like: NodeId, resize: Resize) -> NodeId {
        self.push(path, Op::ResizeLike(resize), &[input, like])
    }

    /// Average pooling over all positions.
    pub fn global_pool(&mut self, path: &str, input: NodeId) -> NodeId {
        self.push(path, Op::GlobalPool, &[input])
    }

    /// A fully connected layer with the parameters `path.weight` and `path.bias`.
    pub fn linear(&mut self, path: &str, input: NodeId, out_features: usize) -> NodeId {
        self.push(path, Op::Linear(Linear { out_features }), &[input])
    }

    /// A fully connected layer that reads several pooled nodes, as if they were concatenated along their channels.
    pub fn linear_over(&mut self, path: &str, inputs: &[NodeId], out_features: usize) -> NodeId {
        self.push(path, Op::Linear(Linear { out_features }), inputs)
    }

    /// Names a node as an output. Without any, the last node is the output `logits`.
    pub fn output(&mut self, name: &str, node: NodeId) {
        self.outputs.push(Output { name: name.to_owned(), node });
    }

    /// Checks the list and returns the network.
    ///
    /// # Errors
    /// Fails if the list is not a valid network; the error names the node.
    pub fn finish(self) -> Result<Network> {
        let Self { name, rank, widths, nodes, outputs, regions } = self;
        Network::one_list((name, rank, widths), nodes, outputs, regions)
    }
}
