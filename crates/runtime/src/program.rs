//! The program of a row: which kernels run on which feature maps, where those lie in the arena, and folded batch norms.
//!
//! Invariant: every size that a kernel relies on is set here, from [`Network::costs`], and the arena is long enough for
//! all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use mutualnet_core::network::{
    Activation, AvgPool, Conv, Extent, Groups, List, MaxPool, NodeCost, Op, Rank, Resize, TransposedConv,
};
use mutualnet_core::{Network, NodeId, Subnet};

use crate::fuse::Fused;
use crate::kernels::{Buffer, Curve, Filter, padded, pays};
use crate::place::Placer;
use crate::{Convolution, Error, Precision, Result};

/// A size along height and along width.
pub(crate) type Pair = [usize; 2];

/// The most bytes that one image or clip may need in the arena.
const MAX_ARENA: u64 = 1 << 32;

/// Where the value of a node lies for one image or clip. For a pass over several of them, `start` and length are multiplied
/// by their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Feature {
    /// Its first byte in the arena.
    pub(crate) start: usize,
    /// Frames of a clip, which lie one after another; 1 of an image.
    pub(crate) frames: usize,
    /// Height and width.
    pub(crate) size: Pair,
    pub(crate) channels: usize,
    /// Distance from one pixel to the next, in numbers.
    pub(crate) stride_c: usize,
    /// Bytes of a number.
    pub(crate) bytes: usize,
}

impl Feature {
    /// Number of pixels of one frame.
    pub(crate) fn frame_pixels(self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Number of pixels of one image or clip.
    pub(crate) fn pixels(self) -> usize {
        self.frames * self.frame_pixels()
    }

    /// How many numbers one frame takes.
    pub(crate) fn frame_len(self) -> usize {
        self.frame_pixels() * self.stride_c
    }

    /// How many numbers one image or clip takes.
    pub(crate) fn len(self) -> usize {
        self.pixels() * self.stride_c
    }

    /// The byte behind it, for one image.
    #[cfg(test)]
    pub(crate) fn end(self) -> usize {
        self.start + self.len() * self.bytes
    }
}

/// Size of a convolution or pooling window, and how it moves over the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel: Pair,
    pub(crate) stride: Pair,
    pub(crate) padding: Pair,
    /// Distance between two taps; 1 along an axis with a single tap.
    pub(crate) dilation: Pair,
    /// The same along time.
    pub(crate) time: Axis,
}

/// Size of a window along one axis, and how it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    /// Distance between two taps; 1 if there is a single one.
    pub(crate) dilation: usize,
}

impl Axis {
    /// Of a window without extent, for which frames are images.
    pub(crate) const POINT: Self = Self { kernel: 1, stride: 1, padding: 0, dilation: 1 };

    /// The position that a tap reads for an output. One in front of the input wraps to a large number.
    pub(crate) fn source(self, at: usize, tap: usize) -> usize {
        (at * self.stride + tap * self.dilation).wrapping_sub(self.padding)
    }
}

impl Window {
    const POINT: Self =
        Self { kernel: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2], time: Axis::POINT };

    /// Whether each output pixel depends on the input pixel at the same position only, so that scanlines do not matter.
    pub(crate) fn is_point(self) -> bool {
        self == Self::POINT
    }

    /// Whether each output pixel depends on the input pixels at the same position of some frames only, so that scanlines do
    /// not matter within a frame.
    pub(crate) fn is_point_of_frames(self) -> bool {
        Self { time: Axis::POINT, ..self }.is_point()
    }

    pub(crate) fn taps(self) -> usize {
        self.time.kernel * self.kernel[0] * self.kernel[1]
    }

    /// The window along lines, axis 0, or along columns, axis 1.
    pub(crate) fn along(self, axis: usize) -> Axis {
        let Self { kernel, stride, padding, dilation, .. } = self;
        Axis { kernel: kernel[axis], stride: stride[axis], padding: padding[axis], dilation: dilation[axis] }
    }

    /// Of a transposed convolution: the input position that tap `tap` of the kernel brings to output position `at` along
    /// an axis; far outside the input if there is none.
    pub(crate) fn transposed_source(self, axis: usize, at: usize, tap: usize) -> usize {
        let shifted = (at + self.padding[axis]).wrapping_sub(tap);
        if shifted.is_multiple_of(self.stride[axis]) { shifted / self.stride[axis] } else { usize::MAX }
    }
}

/// The kernel of a call, with what it needs besides feature maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A dense convolution or a linear layer, with the weights of the given node for one of its inputs.
    Dense {
        weights: NodeId,
        block: usize,
        window: Window,
    },
    /// A dense convolution in tiles of 4×4 outputs.
    Winograd {
        weights: NodeId,
        block: usize,
        window: Window,
    },
    Depthwise {
        weights: NodeId,
        window: Window,
    },
    /// A transposed convolution. It runs as a dense one over zeros between the inputs, so that a stride of 2 costs four
    /// times what it needs.
    Transposed {
        weights: NodeId,
        window: Window,
    },
    MaxPool {
        window: Window,
    },
    AvgPool {
        window: Window,
    },
    /// The input at the size of the output.
    Resize {
        filter: Filter,
    },
    /// Only the epilogue, after a gate if there is one.
    Pointwise,
    /// The mean of all positions.
    Pool,
}

/// One kernel applied to one feature map; a team cuts it into tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelCall {
    pub(crate) work: Work,
    pub(crate) input: Feature,
    /// A factor per channel and image; only pointwise work has one.
    pub(crate) gate: Option<Feature>,
    pub(crate) residual: Option<Feature>,
    pub(crate) output: Feature,
    /// Index of the scale within the program's coefficients. The shift follows it, and each is as long as the output's
    /// channel stride.
    pub(crate) coefficients: usize,
    /// Bounds of the clamp before the residual is added.
    pub(crate) pre: [f32; 2],
    /// Bounds of the clamp after the residual is added.
    pub(crate) post: [f32; 2],
    /// A non-linearity that is not a clamp, applied last.
    pub(crate) curve: Option<Curve>,
}

/// One row of the query table, ready to run on images or clips of one size.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) subnet: Subnet,
    pub(crate) precision: Precision,
    /// Index of the list in the network.
    pub(crate) list: usize,
    /// The inputs of the list, at least one.
    pub(crate) inputs: Vec<Feature>,
    /// The outputs of the list, in the network's order.
    pub(crate) outputs: Vec<Feature>,
    pub(crate) calls: Vec<KernelCall>,
    /// The node that each call computes, without those that are fused with it.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) coefficients: Arc<Coefficients>,
    /// How many bytes one image or clip needs in the arena.
    pub(crate) arena_bytes: usize,
}

/// How a program computes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) precision: Precision,
    pub(crate) convolution: Convolution,
}

/// The scale and the shift of each channel, which are applied to the sums of a kernel.
pub(crate) struct ScaleShift {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

/// The folded batch norms and biases of a row, which do not depend on the size of the image.
#[derive(Debug)]
pub(crate) struct Coefficients {
    numbers: Buffer,
    /// For every fused node, where those of each of its calls begin.
    starts: Vec<Vec<usize>>,
}

impl Program {
    /// Makes the program of a list at a row, for square images. `scale_shift` returns the scale and the shift that stand for the batch
    /// norm and the bias of a fused node, for the channels that the row has.
    ///
    /// # Errors
    /// Fails if the network refuses the row or has a layer without a kernel, or if a layer needs too much memory.
    pub(crate) fn new(
        network: &Network,
        (list, fused): (usize, &[Fused]),
        (subnet, how): (Subnet, How),
        scale_shift: impl Fn(&Fused, usize) -> Result<ScaleShift>,
    ) -> Result<Self> {
        let costs = network.costs(subnet)?;
        let mut numbers = Vec::new();
        let mut starts = Vec::with_capacity(fused.len());
        for fused in fused {
            let channels = costs[fused.output.0].shape.channels;
            let scale_shift = scale_shift(fused, channels)?;
            let mut of_node = vec![append(&mut numbers, &scale_shift)];
            // What further inputs add is scaled as well, and shifted once in all.
            let scale_only = ScaleShift { shift: vec![0.0; channels], ..scale_shift };
            of_node.extend(fused.inputs[1..].iter().map(|_| append(&mut numbers, &scale_only)));
            starts.push(of_node);
        }
        let mut buffer = Buffer::zeroed(numbers.len())?;
        buffer[..numbers.len()].copy_from_slice(&numbers);
        let coefficients = Arc::new(Coefficients { numbers: buffer, starts });
        Self::lay_out(network, (list, fused), (subnet, &costs), (coefficients, how))
    }

    /// The first input, which is the only one of almost every list.
    pub(crate) fn input(&self) -> Feature {
        self.inputs[0]
    }

    /// The same row for images or clips of another height and width, with the row's frames.
    ///
    /// # Errors
    /// Fails if the network refuses the size, or if a layer needs too much memory.
    pub(crate) fn resized(
        &self,
        network: &Network,
        fused: &[Fused],
        (size, convolution): (Pair, Convolution),
    ) -> Result<Self> {
        let side = |n: usize| u32::try_from(n).map_err(|_| Error::Memory { numbers: usize::MAX });
        let extent = [self.subnet.input.frames.get(), side(size[0])?, side(size[1])?];
        let costs = network.costs_of_clip(self.subnet.width, extent)?;
        let coefficients = self.coefficients.clone();
        let how = How { precision: self.precision, convolution };
        Self::lay_out(network, (self.list, fused), (self.subnet, &costs), (coefficients, how))
    }

    fn lay_out(
        network: &Network,
        (list, fused): (usize, &[Fused]),
        (subnet, costs): (Subnet, &[NodeCost]),
        (coefficients, how): (Arc<Coefficients>, How),
    ) -> Result<Self> {
        let of_list = &network.lists()[list];
        let mut layout = Layout::new(network, (of_list, fused), (costs, how.precision))?;
        let (mut calls, mut nodes) = (Vec::with_capacity(fused.len()), Vec::with_capacity(fused.len()));
        for (time, (fused, starts)) in fused.iter().zip(&coefficients.starts).enumerate() {
            let output = layout.place(fused.output, time + 1)?;
            let call = KernelCall {
                work: work(network, fused)?,
                input: layout.features[fused.inputs[0].0],
                gate: fused.gate.map(|node| layout.features[node.0]),
                residual: fused.residual.map(|node| layout.features[node.0]),
                output,
                coefficients: starts[0],
                pre: bounds(network, fused.pre)?,
                post: bounds(network, fused.post)?,
                curve: fused.curve.map(|activation| curve(network, activation)).transpose()?,
            };
            let inputs = fused.inputs.iter().map(|node| layout.features[node.0]);
            calls.extend(call.over(inputs, &starts[1..]).into_iter().map(|call| call.by(how)));
            nodes.resize(calls.len(), fused.producer.unwrap_or(fused.output));
        }
        let outputs = network.outputs_of(of_list).map(|output| layout.features[output.node.0]).collect();
        let inputs = network.inputs(of_list).map(|input| layout.features[input.0]).collect();
        let arena_bytes = layout.placer.high_water;
        let precision = how.precision;
        Ok(Self { subnet, precision, list, inputs, outputs, calls, nodes, coefficients, arena_bytes })
    }
}

impl KernelCall {
    /// One call for each input. Every call but the first adds to what the one before it has stored, with coefficients of
    /// its own; only the last one clamps and bends the sum.
    fn over(self, inputs: impl Iterator<Item = Feature>, added: &[usize]) -> Vec<Self> {
        let Work::Dense { weights, window, .. } = self.work else { return vec![self] };
        if added.is_empty() {
            return vec![self];
        }
        let n = added.len();
        let of = |(block, input)| {
            let work = Work::Dense { weights, block, window };
            let (coefficients, residual) = match block {
                0 => (self.coefficients, None),
                _ => (added[block - 1], Some(self.output)),
            };
            let (post, curve) = if block == n { (self.pre, self.curve) } else { (UNBOUNDED, None) };
            Self { work, input, residual, coefficients, pre: UNBOUNDED, post, curve, ..self }
        };
        inputs.enumerate().map(of).collect()
    }
}

impl KernelCall {
    /// The same call by the kernel that computes it faster.
    fn by(mut self, how: How) -> Self {
        if let Work::Dense { weights, block, window } = self.work
            && how.convolution == Convolution::Fast
            && how.precision == Precision::F32
            && pays(window, self.input, self.output)
        {
            self.work = Work::Winograd { weights, block, window };
        }
        self
    }
}

/// The bounds of a clamp that changes nothing.
const UNBOUNDED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// The kernel of a fused node.
fn work(network: &Network, fused: &Fused) -> Result<Work> {
    let Some(producer) = fused.producer else { return Ok(Work::Pointwise) };
    let (node, weights) = (network.node(producer), network.owner(producer));
    let unsupported = |what: &str| Error::Unsupported { what: what.to_owned(), path: node.path.clone() };
    match &node.op {
        // The weights of an image network have no axis for it.
        Op::Conv(conv) if conv.kernel[0] != 1 && network.rank() == Rank::Image => {
            Err(unsupported("kernel along time"))
        }
        Op::MaxPool(MaxPool { kernel, .. }) | Op::AvgPool(AvgPool { kernel, .. })
            if kernel[0] != 1 && network.rank() == Rank::Image =>
        {
            Err(unsupported("window along time"))
        }
        Op::ResizeLike(Resize::Bilinear) if network.rank() == Rank::Clip => {
            Err(unsupported("bilinear resizing of clips"))
        }
        Op::Conv(Conv { kernel, stride, padding, dilation, groups, .. }) => {
            let window = window([*kernel, *stride, *padding, *dilation]);
            Ok(match groups {
                Groups::Dense => Work::Dense { weights, block: 0, window },
                Groups::Depthwise => Work::Depthwise { weights, window },
            })
        }
        Op::TransposedConv(conv)
            if [conv.kernel[0], conv.stride[0], conv.padding[0] + 1, conv.output_padding[0] + 1]
                != [1; 4] =>
        {
            Err(unsupported("transposed convolution along time"))
        }
        Op::TransposedConv(TransposedConv { kernel, stride, padding, .. }) => {
            let window = window([*kernel, *stride, *padding, Conv::NO_DILATION]);
            Ok(Work::Transposed { weights, window })
        }
        Op::Linear(_) => Ok(Work::Dense { weights, block: 0, window: Window::POINT }),
        Op::MaxPool(MaxPool { kernel, stride, padding }) => {
            Ok(Work::MaxPool { window: window([*kernel, *stride, *padding, Conv::NO_DILATION]) })
        }
        Op::AvgPool(AvgPool { kernel, stride, padding }) => {
            Ok(Work::AvgPool { window: window([*kernel, *stride, *padding, Conv::NO_DILATION]) })
        }
        Op::ResizeLike(Resize::Nearest) => Ok(Work::Resize { filter: Filter::Nearest }),
        Op::ResizeLike(Resize::Bilinear) => Ok(Work::Resize { filter: Filter::Bilinear }),
        Op::Multiply => Ok(Work::Pointwise),
        Op::GlobalPool => Ok(Work::Pool),
        op => Err(unsupported(op.name())),
    }
}

/// The window of a kernel, stride, padding and dilation.
fn window(extents: [Extent; 4]) -> Window {
    let along = |axis: usize| {
        let [kernel, stride, padding, dilation] = extents.map(|extent| extent[axis] as usize);
        Axis { kernel, stride, padding, dilation: if kernel == 1 { 1 } else { dilation } }
    };
    let [time, height, width] = [0, 1, 2].map(along);
    Window {
        kernel: [height.kernel, width.kernel],
        stride: [height.stride, width.stride],
        padding: [height.padding, width.padding],
        dilation: [height.dilation, width.dilation],
        time,
    }
}

/// The bounds of a non-linearity that is a clamp.
fn bounds(network: &Network, activation: Option<Activation>) -> Result<[f32; 2]> {
    match activation {
        None => Ok(UNBOUNDED),
        Some(Activation::Relu) => Ok([0.0, f32::INFINITY]),
        Some(Activation::Relu6) => Ok([0.0, 6.0]),
        Some(other) => Err(unknown(network, other)),
    }
}

/// The kernel of a non-linearity that is not a clamp.
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

impl Coefficients {
    /// Those of programs that are put together by hand.
    #[cfg(test)]
    pub(crate) fn of(numbers: Buffer) -> Self {
        Self { numbers, starts: Vec::new() }
    }

    /// Pointer to the first number.
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.numbers.as_ptr()
    }
}

/// Appends scale and shift, each with zeros in the tail, and returns their index.
fn append(numbers: &mut Vec<f32>, folded: &ScaleShift) -> usize {
    let start = numbers.len();
    for part in [&folded.scale, &folded.shift] {
        let end = numbers.len() + padded(part.len());
        numbers.extend(part);
        numbers.resize(end, 0.0);
    }
    start
}

/// Places the value of every node in the arena, in the order of execution.
struct Layout<'a> {
    costs: &'a [NodeCost],
    precision: Precision,
    /// Outputs that no node reads; they hold f32 in any precision.
    ends: Vec<NodeId>,
    /// For every node, the index of the last fused node that reads it, plus 1. The input is written at time 0.
    last_use: Vec<usize>,
    features: Vec<Feature>,
    placer: Placer,
}

impl<'a> Layout<'a> {
    fn new(
        network: &Network,
        (list, fused): (&List, &[Fused]),
        (costs, precision): (&'a [NodeCost], Precision),
    ) -> Result<Self> {
        let mut last_use = vec![usize::MAX; costs.len()];
        // Nodes that something else than a dense kernel reads, which needs a tail.
        let mut with_tail: BTreeSet<NodeId> = BTreeSet::new();
        for (time, fused) in fused.iter().enumerate() {
            for node in fused.reads() {
                last_use[node.0] = time + 1;
            }
            let dense = matches!(work(network, fused)?, Work::Dense { .. } | Work::Transposed { .. });
            with_tail
                .extend(fused.inputs.iter().filter(|_| !dense).chain(&fused.gate).chain(&fused.residual));
        }
        // The sums of a layer over several nodes go through its output, so that this has to be what kernels read.
        let is_end = |fused: &&Fused| last_use[fused.output.0] == usize::MAX && fused.inputs.len() == 1;
        let ends = fused.iter().filter(is_end).map(|fused| fused.output).collect();
        for output in network.outputs() {
            last_use[output.node.0] = usize::MAX;
        }
        let features = vec![Feature::default(); costs.len()];
        let mut layout = Self { costs, precision, ends, last_use, features, placer: Placer::default() };
        for input in network.inputs(list) {
            let channels = costs[input.0].shape.channels;
            let stride_c = if with_tail.contains(&input) { padded(channels) } else { channels };
            layout.insert(input, stride_c, 0)?;
        }
        Ok(layout)
    }

    fn place(&mut self, node: NodeId, time: usize) -> Result<Feature> {
        self.insert(node, padded(self.costs[node.0].shape.channels), time)
    }

    fn insert(&mut self, node: NodeId, stride_c: usize, time: usize) -> Result<Feature> {
        let shape = self.costs[node.0].shape;
        let [frames, height, width] = shape.extent.map(|n| n as usize);
        let size = [height, width];
        let is_half = self.precision == Precision::Bf16 && !self.ends.contains(&node);
        let bytes = if is_half { size_of::<u16>() } else { size_of::<f32>() };
        let mut feature = Feature { start: 0, frames, size, channels: shape.channels, stride_c, bytes };
        let len = shape.positions().checked_mul(stride_c * bytes);
        let fits = |len: usize| len as u64 <= MAX_ARENA;
        let too_large = |len: usize| Error::Memory { numbers: len / size_of::<f32>() };
        let len = len.filter(|&len| fits(len)).ok_or(too_large(len.unwrap_or(usize::MAX)))?;
        // Every block begins on a cache line, including the one after a narrow input.
        let len = len.next_multiple_of(Buffer::ALIGNMENT);
        feature.start = self.placer.place(len, time, self.last_use[node.0]);
        if !fits(self.placer.high_water) {
            return Err(too_large(self.placer.high_water));
        }
        self.features[node.0] = feature;
        Ok(feature)
    }
}
