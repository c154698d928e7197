//! Runs the list of nodes on the tensor engine.

use mutualnet_core::Width;
use mutualnet_core::network::{self, Extent, Groups, List, Network, NodeId, Op, Rank};
use mutualnet_engine::{
    Activation, Affine, ConvGeometry, Device, Filter, NormStatistics, PoolGeometry, Tensor,
    TransposedGeometry,
};

use crate::{Dropout, Error, Parameters, Result, Slice};

/// The statistics that the batch norms of a forward pass use.
#[derive(Debug)]
pub enum Norm<'a> {
    /// Those of the batch, for training.
    Batch,
    /// Those of the batch, which are also averaged into `statistics` with weight `momentum`, for calibration.
    Collect {
        /// The average so far.
        statistics: &'a mut Statistics,
        /// Weight of this batch. 1 / (number of batches so far, including this one) gives the cumulative average.
        momentum: f64,
    },
    /// Given ones, for evaluation.
    Fixed(&'a Statistics),
}

/// Mean and unbiased variance of every batch norm of one sub-network, in the order of the network.
#[derive(Debug)]
pub struct Statistics {
    layers: Vec<LayerStatistics>,
}

#[derive(Debug)]
struct LayerStatistics {
    mean: Tensor,
    variance: Tensor,
}

impl Statistics {
    /// Initial statistics for averaging: means of 0 and variances of 1.
    ///
    /// # Errors
    /// Fails if the width is outside the range of the network.
    pub fn new(network: &Network, width: Width, device: Device) -> Result<Self> {
        let channels = network.channels(width)?;
        let layers = network.batch_norms().map(|NodeId(idx)| {
            let shape = [channels[idx]];
            let (mean, variance) = (Tensor::zeros(&shape, device)?, Tensor::ones(&shape, device)?);
            Ok(LayerStatistics { mean, variance })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// Statistics with the given mean and variance of every batch norm.
    ///
    /// # Errors
    /// Fails if the engine does not have enough memory.
    pub fn from_vecs(layers: &[(Vec<f32>, Vec<f32>)], device: Device) -> Result<Self> {
        let tensor = |values: &[f32]| Tensor::from_slice(values, &[values.len()])?.to_device(device);
        let layers = layers
            .iter()
            .map(|(mean, variance)| Ok(LayerStatistics { mean: tensor(mean)?, variance: tensor(variance)? }));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// The mean and the variance of every batch norm.
    ///
    /// # Errors
    /// Fails if the engine cannot copy.
    pub fn to_vecs(&self) -> Result<Vec<(Vec<f32>, Vec<f32>)>> {
        let layers = self.layers.iter();
        layers.map(|layer| Ok((layer.mean.to_vec_f32()?, layer.variance.to_vec_f32()?))).collect()
    }
}

/// A network that the engine can run: the list of nodes, and what is known about it before any run.
#[derive(Debug)]
pub struct Net {
    network: Network,
    fused_nodes: Vec<Fused>,
    /// The outputs that are only a value resized to the input, each with that value.
    unresized: Vec<[NodeId; 2]>,
}

/// A node, or a batch norm fused with the activation and the convolution that follow it.
#[derive(Debug)]
struct Fused {
    node: NodeId,
    /// The last of the nodes that are run as one, whose value is the result.
    out: NodeId,
    activation: Activation,
    /// Index of the first parameter of the node.
    parameter: usize,
    /// Index of the weight of the convolution that is run together with a batch norm.
    kernel: Option<usize>,
    /// Index among the batch norms.
    norm: usize,
    /// Values that no node reads after this one.
    done_with: Vec<NodeId>,
}

/// How many parameters a node has.
fn n_parameters(op: &Op) -> usize {
    match op {
        Op::Conv(network::Conv { bias, .. }) | Op::TransposedConv(network::TransposedConv { bias, .. }) => {
            1 + usize::from(*bias)
        }
        Op::BatchNorm(_) | Op::Linear(_) => 2,
        _ => 0,
    }
}

impl Net {
    /// Looks the list over: which nodes are run as one, and when values can go.
    pub fn new(network: Network) -> Self {
        let last_uses = network.last_uses();
        let mut fused_nodes: Vec<Fused> = Vec::new();
        let (mut next, mut norm) = (0, 0);
        // The index of the first parameter of every node.
        let mut firsts: Vec<usize> = Vec::with_capacity(network.nodes().len());
        for (idx, node) in network.nodes().iter().enumerate() {
            let id = NodeId(idx);
            let parameter = node.shares.map_or(next, |owner| firsts[owner.0]);
            firsts.push(parameter);
            next += if node.shares.is_some() { 0 } else { n_parameters(&node.op) };
            // What only its successor reads is run with it.
            let previous = fused_nodes.last_mut().filter(|fused| {
                let follows = node.inputs == [fused.out] && last_uses[fused.out.0] == id;
                follows && fused.kernel.is_none() && matches!(network.node(fused.node).op, Op::BatchNorm(_))
            });
            match (&node.op, previous) {
                // A batch norm takes one activation; a second one is a node of its own.
                (Op::Activation(activation), Some(fused)) if fused.activation == Activation::Identity => {
                    (fused.out, fused.activation) = (id, engine_activation(*activation));
                    continue;
                }
                (Op::Conv(conv), Some(fused)) if !conv.bias => {
                    (fused.out, fused.kernel) = (id, Some(parameter));
                    continue;
                }
                _ => {}
            }
            fused_nodes.push(Fused {
                node: id,
                out: id,
                activation: Activation::Identity,
                parameter,
                kernel: None,
                norm,
                done_with: node.inputs.iter().copied().filter(|input| last_uses[input.0] == id).collect(),
            });
            norm += usize::from(matches!(node.op, Op::BatchNorm(_)));
        }
        let outputs = network.outputs().iter().map(|output| output.node);
        let unresized = outputs.filter_map(|output| Some([output, unresized(&network, output)?])).collect();
        Self { network, fused_nodes, unresized }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The part of `parameters` that `width` uses, as separate leaves that collect gradients.
    ///
    /// # Errors
    /// Fails if the width is outside the range of the network.
    pub fn slice(&self, parameters: &Parameters, width: Width) -> Result<Slice> {
        parameters.slice(&self.network, width)
    }

    /// Computes the logits of the sub-network whose parameters are in `slice`.
    ///
    /// # Shapes
    /// - `input`: `[n, 3, resolution, resolution]` f32, normalized, channels-last
    /// - output: `[n, classes]`
    ///
    /// # Errors
    /// Fails if the input does not fit, or if the engine does not have enough memory.
    pub fn forward(&self, slice: &Slice, input: &Tensor, norm: Norm<'_>) -> Result<Tensor> {
        self.forward_with_dropout(slice, input, norm, None)
    }

    /// Like [`Self::forward`], but with dropout before the layer that computes the logits.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::forward`].
    pub fn forward_with_dropout(
        &self,
        slice: &Slice,
        input: &Tensor,
        norm: Norm<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        Ok(self.run_all(slice, &[input], norm, dropout)?.swap_remove(0))
    }

    /// Computes all outputs of the sub-network whose parameters are in `slice`, in the order of
    /// [`Network::outputs_of`] the list [`List::MAIN`]. Dropout applies to the input of the node of the first output, or to
    /// all inputs of a linear layer.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::forward`].
    pub fn run_all(
        &self,
        slice: &Slice,
        inputs: &[&Tensor],
        norm: Norm<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Vec<Tensor>> {
        self.run_list(slice, (self.network.main(), inputs), norm, dropout)
    }

    /// Like [`Self::run_all`], but an output that the network ends by resizing bilinearly to its input, a map of scores,
    /// is given as it was before. Dropout then applies to it.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::forward`].
    pub fn run_unresized(
        &self,
        slice: &Slice,
        inputs: &[&Tensor],
        norm: Norm<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Vec<Tensor>> {
        self.run_to(&self.unresized, slice, (self.network.main(), inputs), norm, dropout)
    }

    /// As [`Self::run_all`], for any list of the network and any number of inputs. The inputs may be computed from outputs
    /// of another list; gradients then flow through both.
    ///
    /// # Shapes
    /// - each input: `[n, channels, (t,) h, w]` f32, channels-last; `n` need not be that of another list
    ///
    /// # Errors
    /// Fails if the number of inputs is not that of the list, and in the same cases as [`Self::forward`].
    pub fn run_list(
        &self,
        slice: &Slice,
        list_and_inputs: (&List, &[&Tensor]),
        norm: Norm<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Vec<Tensor>> {
        self.run_to(&[], slice, list_and_inputs, norm, dropout)
    }

    /// Computes the outputs of a list, or the second value of a pair of `ends` instead of the first.
    fn run_to(
        &self,
        ends: &[[NodeId; 2]],
        slice: &Slice,
        (list, inputs): (&List, &[&Tensor]),
        mut norm: Norm<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Vec<Tensor>> {
        let mut values = self.values(list, inputs)?;
        let outputs: Vec<_> = self.network.outputs_of(list).map(|output| output.node).collect();
        let end_of = |out| ends.iter().find(|[output, _]| *output == out).map(|[_, end]| *end);
        for fused in self.computed(list) {
            if let Some(dropout) = dropout.as_ref().filter(|_| fused.out == outputs[0]) {
                let node = self.network.node(fused.node);
                let inputs = if matches!(node.op, Op::Linear(_)) { &node.inputs } else { &node.inputs[..1] };
                let features: Vec<_> = inputs.iter().map(|id| value(&values, *id)).collect();
                for (id, features) in inputs.iter().zip(dropout.apply(&features)?) {
                    values[id.0] = Some(features);
                }
            }
            if end_of(fused.out).is_none() {
                self.run(fused, slice, &mut norm, &mut values)?;
            }
        }
        let output = |node: NodeId| values[node.0].as_ref().expect("outputs are never dropped").alias();
        Ok(outputs.into_iter().map(|node| output(end_of(node).unwrap_or(node))).collect())
    }

    /// The nodes of a list that compute something.
    fn computed(&self, list: &List) -> impl Iterator<Item = &Fused> {
        let range = list.nodes();
        let is_computed = |fused: &Fused| !matches!(self.network.node(fused.node).op, Op::Input { .. });
        self.fused_nodes.iter().filter(move |fused| range.contains(&fused.node.0) && is_computed(fused))
    }

    /// Path of the first layer of the list [`List::MAIN`], or of one of its inputs, whose output contains NaN or infinity. It
    /// runs in training mode.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::forward`].
    pub fn first_non_finite(&self, slice: &Slice, inputs: &[&Tensor]) -> Result<Option<&str>> {
        let main = self.network.main();
        for (id, input) in self.network.inputs(main).zip(inputs) {
            if !input.is_finite()? {
                return Ok(Some(&self.network.node(id).path));
            }
        }
        let mut values = self.values(main, inputs)?;
        for fused in self.computed(main) {
            self.run(fused, slice, &mut Norm::Batch, &mut values)?;
            let value = values[fused.out.0].as_ref().expect("just computed");
            if !value.is_finite()? {
                let broken_kernel = match fused.kernel {
                    Some(kernel) => !slice.tensors()[kernel].is_finite()?,
                    None => false,
                };
                let node = if broken_kernel { fused.out } else { fused.node };
                return Ok(Some(&self.network.node(node).path));
            }
        }
        Ok(None)
    }

    /// The value of every node before a list runs: its inputs.
    fn values(&self, list: &List, inputs: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        let ids: Vec<_> = self.network.inputs(list).collect();
        if ids.len() != inputs.len() {
            let (expected, got) = (ids.len(), inputs.len());
            return Err(Error::Inputs { list: list.name().to_owned(), expected, got });
        }
        let mut values: Vec<_> = self.network.nodes().iter().map(|_| None).collect();
        for (id, input) in ids.into_iter().zip(inputs) {
            values[id.0] = Some(input.alias());
        }
        Ok(values)
    }

    fn run(
        &self,
        fused: &Fused,
        slice: &Slice,
        norm: &mut Norm<'_>,
        values: &mut [Option<Tensor>],
    ) -> Result<()> {
        let node = self.network.node(fused.node);
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|id| value(values, *id)).collect();
        let input = |n: usize| inputs[n];
        let parameter = |n: usize| &slice.tensors()[fused.parameter + n];
        let out = match &node.op {
            Op::Input { .. } => unreachable!("inputs are given, not computed"),
            Op::Conv(conv) => {
                let geometry = Geometry::new(self.network.rank(), conv, parameter(0));
                let bias = conv.bias.then(|| parameter(1));
                concatenated(&inputs)?.convolution(parameter(0), bias, &geometry.engine())?
            }
            Op::TransposedConv(conv) => {
                let sizes = [&conv.stride, &conv.padding, &conv.output_padding].map(sizes);
                let first_axis = first_axis(self.network.rank());
                let [stride, padding, output_padding] = sizes.each_ref().map(|sizes| &sizes[first_axis..]);
                let geometry = TransposedGeometry { stride, padding, output_padding };
                let bias = conv.bias.then(|| parameter(1));
                input(0).transposed_convolution(parameter(0), bias, &geometry)?
            }
            Op::BatchNorm(norm_op) => {
                let affine = Affine { weight: parameter(0), bias: parameter(1), eps: norm_op.eps };
                let (statistics, activation) = (norm.layer(fused.norm), fused.activation);
                match (&self.network.node(fused.out).op, fused.kernel) {
                    (Op::Conv(conv), Some(kernel)) => {
                        let kernel = &slice.tensors()[kernel];
                        let geometry = Geometry::new(self.network.rank(), conv, kernel);
                        let geometry = geometry.engine();
                        input(0).batch_norm_activation_convolution(
                            affine, statistics, activation, kernel, &geometry,
                        )?
                    }
                    _ => input(0).batch_norm_activation(affine, statistics, activation)?,
                }
            }
            Op::Activation(activation) => input(0).activation(engine_activation(*activation))?,
            Op::Add => input(0).add(input(1))?,
            Op::Multiply => input(0).multiply(input(1))?,
            Op::MaxPool(network::MaxPool { kernel, stride, padding }) => {
                let pool = Pool::new(self.network.rank(), [kernel, stride, padding]);
                input(0).max_pool(&pool.engine())?
            }
            Op::AvgPool(network::AvgPool { kernel, stride, padding }) => {
                let pool = Pool::new(self.network.rank(), [kernel, stride, padding]);
                input(0).avg_pool(&pool.engine())?
            }
            Op::ResizeLike(resize) => input(0).resize_to(&input(1).shape()[2..], filter(*resize))?,
            Op::GlobalPool => input(0).global_average()?,
            Op::Linear(_) => {
                let features = parameter(0).shape()[1];
                let flat = concatenated(&inputs)?.reshape(&[input(0).shape()[0], features])?;
                flat.linear(parameter(0), Some(parameter(1)))?
            }
            op => unreachable!("no such operation: {op:?}"),
        };
        for id in &fused.done_with {
            values[id.0] = None;
        }
        values[fused.out.0] = Some(out);
        Ok(())
    }
}

/// The value that an output is resized from, if the network ends with resizing it to the input and nothing else reads it.
fn unresized(network: &Network, output: NodeId) -> Option<NodeId> {
    let node = network.node(output);
    let is_read = network.nodes().iter().any(|other| other.inputs.contains(&output));
    match (&node.op, &node.inputs[..]) {
        (Op::ResizeLike(network::Resize::Bilinear), &[value, NodeId(0)]) if !is_read => Some(value),
        _ => None,
    }
}

impl Norm<'_> {
    /// The same statistics, for another list of the same forward pass.
    pub fn again(&mut self) -> Norm<'_> {
        match self {
            Self::Batch => Norm::Batch,
            Self::Collect { statistics, momentum } => Norm::Collect { statistics, momentum: *momentum },
            Self::Fixed(statistics) => Norm::Fixed(statistics),
        }
    }

    fn layer(&mut self, idx: usize) -> NormStatistics<'_> {
        match self {
            Self::Batch => NormStatistics::Batch,
            Self::Collect { statistics, momentum } => {
                let LayerStatistics { mean, variance } = &mut statistics.layers[idx];
                NormStatistics::Collect { mean, variance, momentum: *momentum }
            }
            Self::Fixed(statistics) => {
                let LayerStatistics { mean, variance } = &statistics.layers[idx];
                NormStatistics::Fixed { mean, variance }
            }
        }
    }
}

fn engine_activation(activation: network::Activation) -> Activation {
    match activation {
        network::Activation::Relu => Activation::Relu,
        network::Activation::Relu6 => Activation::Relu6,
        network::Activation::Sigmoid => Activation::Sigmoid,
        network::Activation::HardSigmoid => Activation::HardSigmoid,
        network::Activation::Swish => Activation::Swish,
        network::Activation::HardSwish => Activation::HardSwish,
        other => unreachable!("no such activation: {other:?}"),
    }
}

fn filter(resize: network::Resize) -> Filter {
    match resize {
        network::Resize::Nearest => Filter::Nearest,
        network::Resize::Bilinear => Filter::Bilinear,
        other => unreachable!("no such way to resize: {other:?}"),
    }
}

fn value(values: &[Option<Tensor>], id: NodeId) -> &Tensor {
    values[id.0].as_ref().expect("inputs come before their users")
}

/// The inputs one behind the other along their channels; a single one is not copied.
fn concatenated(inputs: &[&Tensor]) -> Result<Tensor> {
    Ok(match inputs {
        [one] => one.alias(),
        several => Tensor::concatenate(several, 1)?,
    })
}

fn sizes(extent: &Extent) -> [usize; 3] {
    extent.map(|n| n as usize)
}

/// The first axis of an extent that tensors have; images have no time axis.
fn first_axis(rank: Rank) -> usize {
    match rank {
        Rank::Image => 1,
        Rank::Clip => 0,
    }
}

/// How a pooling window moves, in the form that the engine needs.
struct Pool {
    sizes: [[usize; 3]; 3],
    first_axis: usize,
}

impl Pool {
    /// `extents` are those of kernel, stride and padding.
    fn new(rank: Rank, extents: [&Extent; 3]) -> Self {
        Self { sizes: extents.map(sizes), first_axis: first_axis(rank) }
    }

    fn engine(&self) -> PoolGeometry<'_> {
        let [kernel, stride, padding] = &self.sizes;
        PoolGeometry {
            kernel: &kernel[self.first_axis..],
            stride: &stride[self.first_axis..],
            padding: &padding[self.first_axis..],
        }
    }
}

/// How a kernel moves, in the form that the engine needs.
struct Geometry {
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
    groups: usize,
    /// 0 for clips; 1 for images, which have no time axis.
    first_axis: usize,
}

impl Geometry {
    fn new(rank: Rank, conv: &network::Conv, weight: &Tensor) -> Self {
        Self {
            stride: sizes(&conv.stride),
            padding: sizes(&conv.padding),
            dilation: sizes(&conv.dilation),
            groups: match conv.groups {
                Groups::Dense => 1,
                Groups::Depthwise => weight.shape()[0],
            },
            first_axis: first_axis(rank),
        }
    }

    fn engine(&self) -> ConvGeometry<'_> {
        ConvGeometry {
            stride: &self.stride[self.first_axis..],
            padding: &self.padding[self.first_axis..],
            dilation: &self.dilation[self.first_axis..],
            groups: self.groups,
        }
    }
}
