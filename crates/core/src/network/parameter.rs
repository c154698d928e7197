//! The learnable tensors of a network, under the names of the reference.

use std::ops::Range;

use super::{Conv, Extent, Groups, Network, NodeId, Op, Rank};
use crate::{Result, Width};

/// What a parameter means to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// Weight of a dense convolution, `[out, in, (t,) h, w]`.
    ConvWeight,
    /// Weight of a depthwise convolution, `[out, 1, (t,) h, w]`.
    DepthwiseWeight,
    /// Weight of a transposed convolution, `[in, out, (t,) h, w]`.
    TransposedConvWeight,
    /// Scale of a batch norm, `[c]`.
    Scale,
    /// Shift of a batch norm, `[c]`.
    Shift,
    /// Weight of a linear layer, `[out, in]`.
    LinearWeight,
    /// Bias of a linear layer or a convolution, `[out]`.
    Bias,
}

impl ParameterKind {
    /// Whether weight decay applies. It applies to the weights of dense convolutions, transposed ones too, and linear
    /// layers, and not to depthwise convolutions, batch norms and biases.
    ///
    /// # Source
    /// `[MN-code train.py get_optimizer]`, ImageNet branch.
    pub fn decays(self) -> bool {
        matches!(self, Self::ConvWeight | Self::TransposedConvWeight | Self::LinearWeight)
    }

    /// Whether the second axis is that of the input channels.
    fn has_input_axis(self) -> bool {
        matches!(self, Self::ConvWeight | Self::LinearWeight)
    }
}

/// The part of a learnable tensor that a width uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSlice {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Input channels of the full tensor that it has, along the second axis: one range for each input of the node. Empty
    /// if the part is a prefix along every axis, as that of a node with one input is.
    pub blocks: Vec<Range<usize>>,
}

/// One learnable tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name in the reference's state dict, for example `features.0.0.weight`.
    pub name: String,
    /// The node that it belongs to.
    pub node: NodeId,
    /// What it means to that node.
    pub kind: ParameterKind,
    /// Whether only [`Output::AUXILIARY`](super::Output::AUXILIARY) depends on it, which only training has.
    pub is_auxiliary: bool,
}

impl Network {
    /// All learnable tensors in the order of the nodes, weight before bias. Those that nodes share are listed once.
    pub fn parameters(&self) -> Vec<Parameter> {
        let auxiliary = self.auxiliary();
        let mut parameters = Vec::new();
        let own = self.nodes().iter().enumerate().filter(|(_, node)| node.shares.is_none());
        for (idx, node) in own {
            let mut push = |suffix: &str, kind| {
                parameters.push(Parameter {
                    name: format!("{}.{suffix}", node.path),
                    node: NodeId(idx),
                    kind,
                    is_auxiliary: auxiliary.contains(&NodeId(idx)),
                });
            };
            match &node.op {
                Op::Conv(Conv { groups, bias, .. }) => {
                    let kind = match groups {
                        Groups::Dense => ParameterKind::ConvWeight,
                        Groups::Depthwise => ParameterKind::DepthwiseWeight,
                    };
                    push("weight", kind);
                    if *bias {
                        push("bias", ParameterKind::Bias);
                    }
                }
                Op::TransposedConv(conv) => {
                    push("weight", ParameterKind::TransposedConvWeight);
                    if conv.bias {
                        push("bias", ParameterKind::Bias);
                    }
                }
                Op::BatchNorm(_) => {
                    push("weight", ParameterKind::Scale);
                    push("bias", ParameterKind::Shift);
                }
                Op::Linear(_) => {
                    push("weight", ParameterKind::LinearWeight);
                    push("bias", ParameterKind::Bias);
                }
                Op::Input { .. }
                | Op::Activation(_)
                | Op::Add
                | Op::Multiply
                | Op::MaxPool(_)
                | Op::AvgPool(_)
                | Op::ResizeLike(_)
                | Op::GlobalPool => {}
            }
        }
        parameters
    }

    /// The part of every tensor of [`Self::parameters`] that a width uses.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::channels`].
    pub fn parameter_slices(&self, width: Width) -> Result<Vec<ParameterSlice>> {
        let (channels, full) = (self.channels(width)?, self.channels(self.widths().full())?);
        let shapes = self.parameter_shapes(width)?;
        let slices = self.parameters().into_iter().zip(shapes).map(|(parameter, shape)| {
            let inputs = &self.node(parameter.node).inputs;
            let mut start = 0;
            let blocks = inputs.iter().map(|input| {
                let block = start..start + channels[input.0];
                start += full[input.0];
                block
            });
            let blocks: Vec<_> = blocks.collect();
            let is_one = blocks.windows(2).all(|pair| pair[0].end == pair[1].start);
            let blocks = if parameter.kind.has_input_axis() && !is_one { blocks } else { Vec::new() };
            ParameterSlice { shape, blocks }
        });
        Ok(slices.collect())
    }

    /// The shape that every tensor of [`Self::parameters`] has at a width.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::channels`].
    pub fn parameter_shapes(&self, width: Width) -> Result<Vec<Vec<usize>>> {
        let channels = self.channels(width)?;
        let shapes = self.parameters().into_iter().map(|parameter| {
            let node = self.node(parameter.node);
            let out = channels[parameter.node.0];
            let input = node.inputs.iter().map(|input| channels[input.0]).sum();
            match (&node.op, parameter.kind) {
                (_, ParameterKind::Bias) => vec![out],
                (Op::Conv(conv), kind) => {
                    let input = if kind == ParameterKind::ConvWeight { input } else { 1 };
                    [out, input].into_iter().chain(self.taps(conv.kernel)).collect()
                }
                (Op::TransposedConv(conv), _) => {
                    [input, out].into_iter().chain(self.taps(conv.kernel)).collect()
                }
                (_, ParameterKind::LinearWeight) => vec![out, input],
                _ => vec![out],
            }
        });
        Ok(shapes.collect())
    }

    /// A kernel's size along the axes that tensors of this network have.
    fn taps(&self, kernel: Extent) -> impl Iterator<Item = usize> {
        let first_axis = match self.rank() {
            Rank::Image => 1,
            Rank::Clip => 0,
        };
        kernel.into_iter().skip(first_axis).map(|n| n as usize)
    }

    /// The batch norms in the order of the nodes. Each has a mean and a variance per channel and row.
    pub fn batch_norms(&self) -> impl Iterator<Item = NodeId> + '_ {
        let norms = self.nodes().iter().enumerate().filter(|(_, node)| matches!(node.op, Op::BatchNorm(_)));
        norms.map(|(idx, _)| NodeId(idx))
    }
}
