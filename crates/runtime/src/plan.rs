//! One row, ready to run: sizes, places in the arena, folded batch norms.
//!
//! Invariant: every size that a kernel relies on is set here, from [`Network::costs`], and the arena's length covers
//! all of them.

use mutualnet_core::network::{Activation, Extent, Groups, NodeCost, Op};
use mutualnet_core::{Network, NodeId, Subnet};

use crate::fuse::Fused;
use crate::kernels::{Buffer, Curve, padded};
use crate::place::Placer;
use crate::{Error, Result};

/// Sizes along height and width.
pub(crate) type Pair = [usize; 2];

/// Most numbers that one image may need in the arena: 4 GiB.
const MAX_ARENA: usize = 1 << 30;

/// Where a node's value lies, for one image; everything is multiplied by the images of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Feature {
    /// First number in the arena.
    pub(crate) start: usize,
    /// Height and width.
    pub(crate) size: Pair,
    pub(crate) channels: usize,
    /// Numbers from one pixel to the next.
    pub(crate) stride_c: usize,
}

impl Feature {
    /// Pixels of one image.
    pub(crate) fn pixels(self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Numbers of one image.
    pub(crate) fn len(self) -> usize {
        self.pixels() * self.stride_c
    }
}

/// How a kernel moves over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel: Pair,
    pub(crate) stride: Pair,
    pub(crate) padding: Pair,
}

impl Window {
    const POINT: Self = Self { kernel: [1; 2], stride: [1; 2], padding: [0; 2] };

    /// Whether outputs and inputs correspond one to one, so that rows need not be told apart.
    pub(crate) fn is_point(self) -> bool {
        self == Self::POINT
    }

    pub(crate) fn taps(self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Dense convolution or linear layer; weights are the node's.
    Dense {
        weights: NodeId,
        window: Window,
    },
    Depthwise {
        weights: NodeId,
        window: Window,
    },
    MaxPool {
        window: Window,
    },
    /// The epilogue alone, after a gate if there is one.
    Pointwise,
    /// The mean of all positions.
    Pool,
}

/// One kernel over one feature map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) work: Work,
    pub(crate) input: Feature,
    /// A factor per channel and image, of pointwise work only.
    pub(crate) gate: Option<Feature>,
    pub(crate) residual: Option<Feature>,
    pub(crate) output: Feature,
    /// Scale, then shift, in the plan's coefficients; each as long as the output's channel stride.
    pub(crate) coefficients: usize,
    /// Bounds of the clamp before the residual.
    pub(crate) pre: [f32; 2],
    /// Bounds of the clamp after it.
    pub(crate) post: [f32; 2],
    /// Applied last.
    pub(crate) curve: Option<Curve>,
}

/// One row of the table, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) subnet: Subnet,
    pub(crate) input: Feature,
    pub(crate) output: Feature,
    pub(crate) steps: Vec<Step>,
    pub(crate) coefficients: Buffer,
    /// Numbers that one image needs.
    pub(crate) arena_len: usize,
}

/// What the numbers of a sum are scaled and shifted by, per channel.
pub(crate) struct ScaleShift {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl Plan {
    /// Plans a row; `scale_shift` gives what batch norm and bias of a fused node do to the row's channels.
    ///
    /// # Errors
    /// The network refuses the row, has a layer without kernel, or a layer would need more memory than is allowed.
    pub(crate) fn new(
        network: &Network,
        fused: &[Fused],
        subnet: Subnet,
        scale_shift: impl Fn(&Fused, usize) -> Result<ScaleShift>,
    ) -> Result<Self> {
        let costs = network.costs(subnet)?;
        let mut layout = Layout::new(network, fused, &costs)?;
        let mut coefficients = Vec::new();
        let mut steps = Vec::with_capacity(fused.len());
        for (time, fused) in fused.iter().enumerate() {
            let output = layout.place(fused.output, time + 1)?;
            steps.push(Step {
                work: work(network, fused)?,
                input: layout.features[fused.input.0],
                gate: fused.gate.map(|node| layout.features[node.0]),
                residual: fused.residual.map(|node| layout.features[node.0]),
                output,
                coefficients: append(&mut coefficients, scale_shift(fused, output.channels)?, output),
                pre: bounds(network, fused.pre)?,
                post: bounds(network, fused.post)?,
                curve: fused.curve.map(|activation| curve(network, activation)).transpose()?,
            });
        }
        let mut buffer = Buffer::zeroed(coefficients.len())?;
        buffer[..coefficients.len()].copy_from_slice(&coefficients);
        let output = steps.last().map_or(Feature::default(), |step| step.output);
        let (input, arena_len) = (layout.features[0], layout.placer.high_water);
        Ok(Self { subnet, input, output, steps, coefficients: buffer, arena_len })
    }
}

/// The kernel of a fused node.
fn work(network: &Network, fused: &Fused) -> Result<Work> {
    let Some(weights) = fused.producer else { return Ok(Work::Pointwise) };
    let node = network.node(weights);
    let unsupported = |what: &str| Error::Unsupported { what: what.to_owned(), path: node.path.clone() };
    match &node.op {
        Op::Conv(conv) if conv.kernel[0] != 1 => Err(unsupported("kernel along time")),
        Op::MaxPool(pool) if pool.kernel[0] != 1 => Err(unsupported("window along time")),
        Op::Conv(conv) => {
            let window = window(conv.kernel, conv.stride, conv.padding);
            Ok(match conv.groups {
                Groups::Dense => Work::Dense { weights, window },
                Groups::Depthwise => Work::Depthwise { weights, window },
            })
        }
        Op::Linear(_) => Ok(Work::Dense { weights, window: Window::POINT }),
        Op::MaxPool(pool) => Ok(Work::MaxPool { window: window(pool.kernel, pool.stride, pool.padding) }),
        Op::Multiply => Ok(Work::Pointwise),
        Op::GlobalPool => Ok(Work::Pool),
        op => Err(unsupported(op.name())),
    }
}

fn window(kernel: Extent, stride: Extent, padding: Extent) -> Window {
    let pair = |extent: Extent| [extent[1] as usize, extent[2] as usize];
    Window { kernel: pair(kernel), stride: pair(stride), padding: pair(padding) }
}

/// A non-linearity as a clamp.
fn bounds(network: &Network, activation: Option<Activation>) -> Result<[f32; 2]> {
    match activation {
        None => Ok([f32::NEG_INFINITY, f32::INFINITY]),
        Some(Activation::Relu) => Ok([0.0, f32::INFINITY]),
        Some(Activation::Relu6) => Ok([0.0, 6.0]),
        Some(other) => Err(unknown(network, other)),
    }
}

/// A non-linearity that is not a clamp.
fn curve(network: &Network, activation: Activation) -> Result<Curve> {
    match activation {
        Activation::Sigmoid => Ok(Curve::Sigmoid),
        Activation::HardSigmoid => Ok(Curve::HardSigmoid),
        Activation::Swish => Ok(Curve::Swish),
        Activation::HardSwish => Ok(Curve::HardSwish),
        other => Err(unknown(network, other)),
    }
}

fn unknown(network: &Network, activation: Activation) -> Error {
    Error::Unsupported { what: activation.name().to_owned(), path: network.name().to_owned() }
}

/// Adds scale and shift, zeros in the tail, and returns where they begin.
fn append(coefficients: &mut Vec<f32>, folded: ScaleShift, output: Feature) -> usize {
    let start = coefficients.len();
    for numbers in [folded.scale, folded.shift] {
        let end = coefficients.len() + output.stride_c;
        coefficients.extend(numbers);
        coefficients.resize(end, 0.0);
    }
    start
}

/// Places features as they appear.
struct Layout<'a> {
    costs: &'a [NodeCost],
    /// Index of the last fused node that reads a node, plus 1; the input is written at time 0.
    last_use: Vec<usize>,
    features: Vec<Feature>,
    placer: Placer,
}

impl<'a> Layout<'a> {
    fn new(network: &Network, fused: &[Fused], costs: &'a [NodeCost]) -> Result<Self> {
        let mut last_use = vec![usize::MAX; costs.len()];
        let mut input_is_dense_only = true;
        for (time, fused) in fused.iter().enumerate() {
            for node in std::iter::once(fused.input).chain(fused.gate).chain(fused.residual) {
                last_use[node.0] = time + 1;
            }
            let dense = matches!(work(network, fused)?, Work::Dense { .. });
            let first = Some(NodeId(0));
            input_is_dense_only &=
                (dense || fused.input.0 != 0) && fused.gate != first && fused.residual != first;
        }
        let features = vec![Feature::default(); costs.len()];
        let mut layout = Self { costs, last_use, features, placer: Placer::default() };
        let channels = costs[0].shape.channels;
        layout.insert(NodeId(0), if input_is_dense_only { channels } else { padded(channels) }, 0)?;
        Ok(layout)
    }

    fn place(&mut self, node: NodeId, time: usize) -> Result<Feature> {
        self.insert(node, padded(self.costs[node.0].shape.channels), time)
    }

    fn insert(&mut self, node: NodeId, stride_c: usize, time: usize) -> Result<Feature> {
        let shape = self.costs[node.0].shape;
        let size = [shape.extent[1] as usize, shape.extent[2] as usize];
        let mut feature = Feature { start: 0, size, channels: shape.channels, stride_c };
        let len = size[0].checked_mul(size[1]).and_then(|pixels| pixels.checked_mul(stride_c));
        // Every block begins on a cache line, the narrow input's successor too.
        let len = len.filter(|&len| len <= MAX_ARENA).map(padded);
        let len = len.ok_or(Error::Memory { numbers: len.unwrap_or(usize::MAX) })?;
        feature.start = self.placer.place(len, time, self.last_use[node.0]);
        if self.placer.high_water > MAX_ARENA {
            return Err(Error::Memory { numbers: self.placer.high_water });
        }
        self.features[node.0] = feature;
        Ok(feature)
    }
}
