//! ResNets for ImageNet, with the stride in the 3×3 convolution ("v1.5", as in torchvision).
//!
//! # Source
//! arXiv 1512.03385; `[MN-code models/resnet.py]` for the names of ResNet-50, 101 and 152 and for what is slimmed.
//! ResNet-18 and 34, which the reference does not have, are written in the same way.

use mutualnet_core::Network;
use mutualnet_core::NodeId;
use mutualnet_core::network::{Activation, ChannelRule, Conv, NetworkBuilder, Rank};

use crate::layers::{along_time, dense, max_pool};
use crate::output_stride::{OutputStride, Strides};
use crate::{Error, NetworkConfig};

/// The names of the networks in recipes.
pub const NAMES: &[&str] = &["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"];

/// Channels of the stem and of the 3×3 convolutions in the first stage; every later stage has twice as many.
pub(crate) const CHANNELS: u32 = 64;

/// The kind of block that a network repeats.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Block {
    /// 3×3 – 3×3. All channel counts are rounded to multiples of 8.
    Basic,
    /// 1×1 – 3×3 – 1×1, where the last has four times the channels. The outer channel counts are rounded to multiples of
    /// 8; all others, including the stem's, are `ratio` times such a multiple, a quarter for the authors.
    Bottleneck { ratio: f64 },
    /// As `Bottleneck`, with this share of the channels, all of them at every width.
    Whole { divided_by: u32 },
}

impl Block {
    /// The kind of block and the repeats per stage of a network.
    pub(crate) fn of(name: &str) -> Option<(Self, [usize; 4])> {
        const AUTHORS: Block = Block::Bottleneck { ratio: 0.25 };
        match name {
            "resnet18" => Some((Self::Basic, [2, 2, 2, 2])),
            "resnet34" => Some((Self::Basic, [3, 4, 6, 3])),
            "resnet50" => Some((AUTHORS, [3, 4, 6, 3])),
            "resnet101" => Some((AUTHORS, [3, 4, 23, 3])),
            "resnet152" => Some((AUTHORS, [3, 8, 36, 3])),
            _ => None,
        }
    }

    /// Channels of the inner convolutions and of the stem.
    fn inner(self, channels: u32) -> ChannelRule {
        match self {
            Self::Basic => ChannelRule::slim(channels),
            Self::Bottleneck { ratio } => ChannelRule::slim_by(channels, ratio),
            Self::Whole { divided_by } => ChannelRule::whole((channels / divided_by) as usize),
        }
    }

    /// Channels of a block's output.
    fn outer(self, channels: u32) -> ChannelRule {
        match self {
            Self::Basic => ChannelRule::slim(channels),
            Self::Bottleneck { .. } => ChannelRule::slim(4 * channels),
            Self::Whole { divided_by } => ChannelRule::whole((4 * channels / divided_by) as usize),
        }
    }

    /// Kernel, stride, dilation and channels of each convolution of a block whose 3×3 convolutions have `channels` channels.
    fn convolutions(self, channels: u32, [stride, dilation]: [u32; 2]) -> Vec<Conv> {
        let inner = self.inner(channels);
        match self {
            Self::Basic => vec![spaced(inner, stride, dilation), spaced(inner, 1, 1)],
            Self::Bottleneck { .. } | Self::Whole { .. } => {
                vec![dense(inner, 1, 1), spaced(inner, stride, dilation), dense(self.outer(channels), 1, 1)]
            }
        }
    }
}

/// A 3×3 convolution that keeps the size at stride 1.
fn spaced(out: ChannelRule, stride: u32, dilation: u32) -> Conv {
    Conv { dilation: [1, dilation, dilation], padding: [0, dilation, dilation], ..dense(out, 3, stride) }
}

/// Whose names the layers have.
#[derive(Clone, Copy)]
pub(crate) enum Names {
    Authors,
    /// torchvision's, behind a prefix.
    Torchvision(&'static str),
    /// pytorchvideo's.
    Pytorchvideo,
    /// Those of one of several pathways in pytorchvideo.
    Pathway(usize),
}

impl Names {
    /// Convolution, batch norm, activation and pool of the stem.
    fn stem(self) -> [String; 4] {
        match self {
            Self::Authors => [0, 1, 2, 3].map(|layer| format!("features.0.{layer}")),
            Self::Torchvision(prefix) => {
                ["conv1", "bn1", "relu", "maxpool"].map(|name| format!("{prefix}{name}"))
            }
            Self::Pytorchvideo => {
                ["conv", "norm", "activation", "pool"].map(|name| format!("blocks.0.{name}"))
            }
            Self::Pathway(n) => ["conv", "norm", "activation", "pool"]
                .map(|name| format!("blocks.0.multipathway_blocks.{n}.{name}")),
        }
    }

    /// A block, which is the `repeat`-th of its stage and the `idx`-th of all, counted from 1.
    fn block(self, [stage, repeat, idx]: [usize; 3]) -> String {
        match self {
            Self::Authors => format!("features.{idx}"),
            Self::Torchvision(prefix) => format!("{prefix}layer{}.{repeat}", stage + 1),
            Self::Pytorchvideo => format!("blocks.{}.res_blocks.{repeat}", stage + 1),
            Self::Pathway(n) => format!("blocks.{}.multipathway_blocks.{n}.res_blocks.{repeat}", stage + 1),
        }
    }

    /// The n-th convolution of a block, its batch norm and the activation behind it.
    fn layer(self, block: &str, n: usize) -> [String; 3] {
        match self {
            Self::Authors => [0, 1, 2].map(|part| format!("{block}.body.{}", 3 * n + part)),
            Self::Torchvision(_) => ["conv", "bn", "relu"].map(|name| format!("{block}.{name}{}", n + 1)),
            Self::Pytorchvideo | Self::Pathway(_) => {
                let letter = ["a", "b", "c"][n];
                ["conv", "norm", "act"].map(|name| format!("{block}.branch2.{name}_{letter}"))
            }
        }
    }

    /// Convolution and batch norm of a shortcut.
    fn shortcut(self, block: &str) -> [String; 2] {
        match self {
            Self::Authors => [0, 1].map(|layer| format!("{block}.shortcut.{layer}")),
            Self::Torchvision(_) => [0, 1].map(|layer| format!("{block}.downsample.{layer}")),
            Self::Pytorchvideo | Self::Pathway(_) => {
                ["conv", "norm"].map(|name| format!("{block}.branch1_{name}"))
            }
        }
    }
}

/// How the stages of a network move over their input.
#[derive(Clone, Copy)]
pub(crate) struct Moves {
    pub(crate) output_stride: Option<OutputStride>,
    /// The first stage whose stride becomes a dilation, as torchvision's `replace_stride_with_dilation`; 4 is none.
    pub(crate) dilated_from: usize,
    /// Taps along time of the stem, and of the first convolution of every block, by stage; 1 in a network that reads images.
    pub(crate) stem_taps: u32,
    pub(crate) taps: [u32; 4],
}

impl Moves {
    /// Along time nothing moves, and no stride becomes a dilation.
    pub(crate) fn strided(output_stride: Option<OutputStride>) -> Self {
        Self { output_stride, dilated_from: 4, stem_taps: 1, taps: [1; 4] }
    }
}

/// Appends everything up to the last block, and returns the ends of the four stages.
pub(crate) fn backbone(
    net: &mut NetworkBuilder,
    input: NodeId,
    (block, repeats): (Block, [usize; 4]),
    names: Names,
    moves: Moves,
) -> [NodeId; 4] {
    let mut backbone = Backbone::new(block, names, moves);
    let mut x = backbone.stem(net, input);
    repeats.map(|repeats| {
        x = backbone.stage(net, &[x], repeats);
        x
    })
}

/// Appends a stem and then one stage after the other, between which there may be other layers.
pub(crate) struct Backbone {
    block: Block,
    names: Names,
    moves: Moves,
    strides: Strides,
    dilation: u32,
    /// Stages so far, and blocks so far plus 1.
    stage: usize,
    idx: usize,
}

impl Backbone {
    pub(crate) fn new(block: Block, names: Names, moves: Moves) -> Self {
        let strides = Strides::new(moves.output_stride);
        Self { block, names, moves, strides, dilation: 1, stage: 0, idx: 1 }
    }

    pub(crate) fn stem(&mut self, net: &mut NetworkBuilder, input: NodeId) -> NodeId {
        let [path, bn, relu, pool] = self.names.stem();
        let conv = dense(self.block.inner(CHANNELS), 7, self.strides.next(2));
        let x = net.conv(&path, input, along_time(conv, self.moves.stem_taps));
        let x = net.batch_norm(&bn, x);
        let x = net.activation(&relu, x, Activation::Relu);
        net.max_pool(&pool, x, max_pool(3, self.strides.next(2), 1))
    }

    /// Appends the next stage, which reads `inputs` as if they were concatenated along their channels.
    pub(crate) fn stage(&mut self, net: &mut NetworkBuilder, inputs: &[NodeId], repeats: usize) -> NodeId {
        let mut stride = if self.stage > 0 { self.strides.next(2) } else { 1 };
        // The first block of a stage still has the dilation of the stage before.
        let dilation = self.dilation;
        if self.stage >= self.moves.dilated_from {
            (stride, self.dilation) = (1, self.dilation * stride);
        }
        let mut x = self.append(net, inputs, 0, [stride, dilation]);
        for repeat in 1..repeats {
            x = self.append(net, &[x], repeat, [1, self.dilation]);
        }
        self.stage += 1;
        x
    }

    /// Appends a block.
    fn append(
        &mut self,
        net: &mut NetworkBuilder,
        inputs: &[NodeId],
        repeat: usize,
        [stride, dilation]: [u32; 2],
    ) -> NodeId {
        let Self { block, names, stage, .. } = *self;
        let channels = CHANNELS << stage;
        let path = names.block([stage, repeat, self.idx]);
        self.idx += 1;
        let mut convolutions = block.convolutions(channels, [stride, dilation]);
        convolutions[0] = along_time(convolutions[0].clone(), self.moves.taps[stage]);
        let last = convolutions.len() - 1;
        let mut y = inputs.to_vec();
        for (n, conv) in convolutions.into_iter().enumerate() {
            let [conv_path, bn, relu] = names.layer(&path, n);
            let x = net.conv_over(&conv_path, &y, conv);
            let x = net.batch_norm(&bn, x);
            y = vec![if n < last { net.activation(&relu, x, Activation::Relu) } else { x }];
        }
        let mut x = inputs[0];
        // As published, whatever the stride: every stage but the first one of basic blocks begins with a projection.
        if repeat == 0 && (stage > 0 || block != Block::Basic) {
            let [conv, bn] = names.shortcut(&path);
            x = net.conv_over(&conv, inputs, dense(block.outer(channels), 1, stride));
            x = net.batch_norm(&bn, x);
        }
        let x = net.add(&format!("{path}.add"), y[0], x);
        net.activation(&format!("{path}.post_relu"), x, Activation::Relu)
    }
}

/// Builds the network: a 7×7 stem, max pooling, four stages of blocks, pooling, a classifier slimmed at its input.
///
/// `None` for a name that is not one of [`NAMES`].
///
/// # Errors
/// Fails if the width range leaves a layer without channels.
pub fn resnet(name: &str, config: &NetworkConfig) -> Option<Result<Network, Error>> {
    let (block, repeats) = Block::of(name)?;
    let mut net = NetworkBuilder::new(name, Rank::Image, config.widths);
    let input = net.input(3);
    let moves = Moves::strided(config.output_stride);
    let [.., x] = backbone(&mut net, input, (block, repeats), Names::Authors, moves);
    let pool = 1 + repeats.iter().sum::<usize>();
    let x = net.global_pool(&format!("features.{pool}"), x);
    net.linear("classifier.0", x, config.classes);
    Some(net.finish().map_err(Error::from))
}
