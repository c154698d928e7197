//! The inverted residual with a gate, which MobileNetV3 and EfficientNet share, under torchvision's names.
//!
//! Invariant: every channel count follows from the given rules, so that a gate, like everything else, uses a prefix at
//! every width.

use mutualnet_core::NodeId;
use mutualnet_core::network::{Activation, BatchNorm, ChannelRule, Conv, Groups, NetworkBuilder};

use crate::layers::{conv, dense};

/// What all blocks of a network share.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    pub(crate) norm: BatchNorm,
    /// The non-linearities after the first and the second convolution of a gate.
    pub(crate) gate: [Activation; 2],
}

/// One block without its shortcut.
pub(crate) struct Block {
    /// Channels of the depthwise convolution; without `expands` they must equal those of the input.
    pub(crate) hidden: ChannelRule,
    /// Whether a 1×1 convolution precedes the depthwise one.
    pub(crate) expands: bool,
    pub(crate) kernel: u32,
    pub(crate) stride: u32,
    /// Distance between the taps of the depthwise convolution.
    pub(crate) dilation: u32,
    pub(crate) activation: Activation,
    /// Channels of the gate's first convolution; `None` if there is no gate.
    pub(crate) squeeze: Option<ChannelRule>,
    pub(crate) out: ChannelRule,
}

impl Style {
    /// Appends a convolution, its batch norm and, if there is one, its non-linearity: torchvision's
    /// `Conv2dNormActivation`.
    pub(crate) fn layer(
        self,
        net: &mut NetworkBuilder,
        path: &str,
        input: NodeId,
        (conv, activation): (Conv, Option<Activation>),
    ) -> NodeId {
        let x = net.conv(&format!("{path}.0"), input, conv);
        let x = net.batch_norm_with(&format!("{path}.1"), x, self.norm);
        match activation {
            Some(activation) => net.activation(&format!("{path}.2"), x, activation),
            None => x,
        }
    }

    /// Appends a block: expansion, depthwise convolution, gate, projection.
    pub(crate) fn block(self, net: &mut NetworkBuilder, path: &str, input: NodeId, block: &Block) -> NodeId {
        let path = format!("{path}.block");
        if !block.expands {
            return self.narrow(net, (&path, 0), input, block);
        }
        let x = self.expand(net, &format!("{path}.0"), input, block);
        self.narrow(net, (&path, 1), x, block)
    }

    /// Appends the expansion of a block.
    pub(crate) fn expand(self, net: &mut NetworkBuilder, path: &str, input: NodeId, block: &Block) -> NodeId {
        self.layer(net, path, input, (dense(block.hidden, 1, 1), Some(block.activation)))
    }

    /// Appends what follows the expansion of a block, numbered from `first` on.
    pub(crate) fn narrow(
        self,
        net: &mut NetworkBuilder,
        (path, first): (&str, usize),
        input: NodeId,
        block: &Block,
    ) -> NodeId {
        let mut layer = first;
        let mut next = || {
            layer += 1;
            format!("{path}.{}", layer - 1)
        };
        let activation = Some(block.activation);
        let mut x = input;
        let (dilation, padding) = (block.dilation, block.kernel / 2 * block.dilation);
        let depthwise = Conv {
            dilation: [1, dilation, dilation],
            padding: [0, padding, padding],
            ..conv(block.hidden, block.kernel, block.stride, Groups::Depthwise)
        };
        x = self.layer(net, &next(), x, (depthwise, activation));
        if let Some(squeeze) = block.squeeze {
            x = self.gate(net, &next(), x, [squeeze, block.hidden]);
        }
        self.layer(net, &next(), x, (dense(block.out, 1, 1), None))
    }

    /// Appends a gate (squeeze and excitation): a factor per channel, computed from the means of all channels.
    fn gate(self, net: &mut NetworkBuilder, path: &str, x: NodeId, channels: [ChannelRule; 2]) -> NodeId {
        let mut gate = net.global_pool(&format!("{path}.avgpool"), x);
        let names = [("fc1", "activation"), ("fc2", "scale_activation")];
        for ((channels, activation), (name, activation_name)) in
            channels.into_iter().zip(self.gate).zip(names)
        {
            let conv = Conv { bias: true, ..dense(channels, 1, 1) };
            gate = net.conv(&format!("{path}.{name}"), gate, conv);
            gate = net.activation(&format!("{path}.{activation_name}"), gate, activation);
        }
        net.multiply(&format!("{path}.scale"), x, gate)
    }
}
