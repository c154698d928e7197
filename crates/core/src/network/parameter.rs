//! The learnable tensors of a network, under the names of the reference.

use super::{Conv, Groups, Network, NodeId, Op, Rank};
use crate::{Result, Width};

/// What a parameter means to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// Weight of a dense convolution, `[out, in, (t,) h, w]`.
    ConvWeight,
    /// Weight of a depthwise convolution, `[out, 1, (t,) h, w]`.
    DepthwiseWeight,
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
    /// Whether weight decay applies. It applies to the weights of dense convolutions and linear layers, and not to
    /// depthwise convolutions, batch norms and biases.
    ///
    /// # Source
    /// `[MN-code train.py get_optimizer]`, ImageNet branch.
    pub fn decays(self) -> bool {
        matches!(self, Self::ConvWeight | Self::LinearWeight)
    }
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
}

impl Network {
    /// All learnable tensors in the order of the nodes, weight before bias.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        for (idx, node) in self.nodes().iter().enumerate() {
            let mut push = |suffix: &str, kind| {
                parameters.push(Parameter {
                    name: format!("{}.{suffix}", node.path),
                    node: NodeId(idx),
                    kind,
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
                | Op::GlobalPool => {}
            }
        }
        parameters
    }

    /// The shape that every tensor of [`Self::parameters`] has at a width, which is a prefix of the full one along every
    /// axis.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::channels`].
    pub fn parameter_shapes(&self, width: Width) -> Result<Vec<Vec<usize>>> {
        let channels = self.channels(width)?;
        let shapes = self.parameters().into_iter().map(|parameter| {
            let node = self.node(parameter.node);
            let out = channels[parameter.node.0];
            let input = channels[node.inputs[0].0];
            match (&node.op, parameter.kind) {
                (_, ParameterKind::Bias) => vec![out],
                (Op::Conv(conv), kind) => {
                    let input = if kind == ParameterKind::ConvWeight { input } else { 1 };
                    let first_axis = match self.rank() {
                        Rank::Image => 1,
                        Rank::Clip => 0,
                    };
                    let kernel = conv.kernel[first_axis..].iter().map(|&n| n as usize);
                    [out, input].into_iter().chain(kernel).collect()
                }
                (_, ParameterKind::LinearWeight) => vec![out, input],
                _ => vec![out],
            }
        });
        Ok(shapes.collect())
    }

    /// The batch norms in the order of the nodes. Each has a mean and a variance per channel and row.
    pub fn batch_norms(&self) -> impl Iterator<Item = NodeId> + '_ {
        let norms = self.nodes().iter().enumerate().filter(|(_, node)| matches!(node.op, Op::BatchNorm(_)));
        norms.map(|(idx, _)| NodeId(idx))
    }
}
