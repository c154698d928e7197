//! Turns the parts of a bundle into what a team executes: weights that are packed once, and one program per row.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use mutualnet_core::network::{BatchNorm, Conv, Groups, List, Node, Op, Parameter, ParameterKind};
use mutualnet_core::{Network, NodeId, Subnet};

use crate::fuse::{Fused, fuse};
use crate::kernels::{Buffer, Kernels, taps_of_largest_kernel, workspace_len, zeros_needed};
use crate::pack::{self, Packed};
use crate::program::{How, Program, ScaleShift};
use crate::{Convolution, Error, ModelConfig, Precision, Result};

/// Everything that the sessions of a model share.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// One for each precision.
    pub(crate) variants: Vec<Variant>,
    /// Zeros, which are read for taps that fall on padding.
    pub(crate) zeros: Buffer,
    pub(crate) network: Network,
    /// Those of the main list.
    pub(crate) fused: Vec<Fused>,
    /// For every precision one program of the main list per row, for square images or clips of its resolution.
    pub(crate) programs: Vec<Arc<Program>>,
    /// One program per row of each other list, by its name.
    pub(crate) others: BTreeMap<String, Vec<Arc<Program>>>,
    /// Number of taps of the largest dense kernel.
    pub(crate) taps: usize,
    /// How many numbers every thread needs besides feature maps.
    pub(crate) workspace: usize,
    pub(crate) convolution: Convolution,
}

/// What is different between precisions, besides programs.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) precision: Precision,
    pub(crate) kernels: &'static Kernels,
    /// Packed weights by node, one for each input of a dense node; none for nodes whose kernels read no weights.
    pub(crate) weights: Vec<Vec<Packed>>,
}

/// A tensor of the source, as shape and numbers.
pub(crate) type Numbers<'a> = (&'a [usize], &'a [f32]);

/// Mean and variance of one batch norm.
pub(crate) type Moments<'a> = (&'a [f32], &'a [f32]);

/// The network, its rows, and where their numbers come from.
pub(crate) struct Source<'a> {
    pub(crate) network: &'a Network,
    pub(crate) rows: &'a [Subnet],
    /// Returns a parameter at full width by its name.
    pub(crate) weight: &'a dyn Fn(&str) -> Option<Numbers<'a>>,
    /// Returns the statistics of a row, in the order of [`Network::batch_norms`].
    pub(crate) statistics: &'a dyn Fn(Subnet) -> Option<Vec<Moments<'a>>>,
}

/// The parameters of a network at full width, with the shapes that the network prescribes.
struct Parameters<'a> {
    /// Weights and scales.
    factors: BTreeMap<NodeId, (Vec<usize>, &'a [f32])>,
    /// Biases and shifts.
    addends: BTreeMap<NodeId, &'a [f32]>,
}

impl Prepared {
    /// Packs the weights and makes the program of every row.
    ///
    /// # Errors
    /// Fails if the network has a layer without a kernel, if a weight or the statistics of a row are missing or do not fit,
    /// or if there is not enough memory.
    pub(crate) fn new(source: &Source<'_>, config: &ModelConfig) -> Result<Self> {
        if source.rows.is_empty() {
            return Err(Error::NoRows);
        }
        if config.precisions.is_empty() {
            return Err(Error::NoPrecisions);
        }
        let parameters = Parameters::collect(source)?;
        let norms: Vec<_> = source.network.batch_norms().collect();
        let convolution = config.convolution;
        let hows = || config.precisions.iter().map(|&precision| How { precision, convolution });
        let of_list = |(idx, list): (usize, &List)| {
            let fused = fuse(source.network, list);
            let rows = hows().flat_map(|how| source.rows.iter().map(move |&row| (row, how)));
            let programs = rows.map(|row| program(source, &parameters, (idx, &fused), &norms, row));
            let programs: Vec<_> = programs.map(|program| Ok(Arc::new(program?))).collect::<Result<_>>()?;
            Ok((list.name().to_owned(), (fused, programs)))
        };
        let mut lists =
            source.network.lists().iter().enumerate().map(of_list).collect::<Result<BTreeMap<_, _>>>()?;
        let (fused, programs) = lists.remove(List::MAIN).expect("every network has this list");
        let others: BTreeMap<_, _> =
            lists.into_iter().map(|(name, (_, programs))| (name, programs)).collect();
        let variants = config.precisions.iter().map(|&precision| {
            let weights = pack(source.network, &parameters, precision)?;
            Ok(Variant { precision, kernels: Kernels::of(config.isa, precision), weights })
        });
        let variants: Vec<_> = variants.collect::<Result<_>>()?;
        let calls = || programs.iter().chain(others.values().flatten()).flat_map(|program| &program.calls);
        let workspace = match convolution {
            Convolution::Fast => workspace_len(variants[0].kernels, calls()),
            Convolution::Direct => 0,
        };
        Ok(Self {
            variants,
            zeros: Buffer::zeroed(calls().map(zeros_needed).max().unwrap_or(0))?,
            taps: taps_of_largest_kernel(calls()),
            workspace,
            convolution,
            network: source.network.clone(),
            fused,
            programs,
            others,
        })
    }

    /// How many bytes one image or clip needs in the arena for the row that needs most.
    pub(crate) fn arena_bytes(&self) -> usize {
        self.all_programs().map(|program| program.arena_bytes).max().unwrap_or(0)
    }

    /// What is particular to a precision that the model was prepared for.
    pub(crate) fn variant(&self, precision: Precision) -> &Variant {
        let variant = self.variants.iter().find(|variant| variant.precision == precision);
        variant.expect("a program has one of the precisions")
    }

    /// The programs of all lists.
    pub(crate) fn all_programs(&self) -> impl Iterator<Item = &Arc<Program>> {
        self.programs.iter().chain(self.others.values().flatten())
    }
}

impl<'a> Parameters<'a> {
    fn collect(source: &Source<'a>) -> Result<Self> {
        let network = source.network;
        let shapes = network.parameter_shapes(network.widths().full())?;
        let mut parameters = Self { factors: BTreeMap::new(), addends: BTreeMap::new() };
        for (Parameter { name, node, kind, .. }, expected) in network.parameters().into_iter().zip(shapes) {
            let found = (source.weight)(&name);
            let fits = |&(shape, numbers): &Numbers<'_>| {
                shape == expected && numbers.len() == expected.iter().product::<usize>()
            };
            let Some((_, numbers)) = found.filter(fits) else {
                return Err(Error::Weight { name, expected, got: found.map(|(shape, _)| shape.to_vec()) });
            };
            match kind {
                ParameterKind::Shift | ParameterKind::Bias => {
                    parameters.addends.insert(node, numbers);
                }
                _ => {
                    parameters.factors.insert(node, (expected, numbers));
                }
            }
        }
        Ok(parameters)
    }

    fn factor(&self, node: NodeId) -> (&[usize], &'a [f32]) {
        let (shape, numbers) = &self.factors[&node];
        (shape, numbers)
    }

    fn addend(&self, node: NodeId) -> &'a [f32] {
        self.addends[&node]
    }
}

type Dense = fn(&[f32], [usize; 3], Range<usize>) -> Result<Packed>;
type Depthwise = fn(&[f32], [usize; 2]) -> Result<Packed>;

fn pack(network: &Network, parameters: &Parameters<'_>, precision: Precision) -> Result<Vec<Vec<Packed>>> {
    let channels = network.channels(network.widths().full())?;
    let (dense, depthwise): (Dense, Depthwise) = match precision {
        Precision::F32 => (pack::dense, pack::depthwise),
        Precision::Bf16 => (pack::dense_pairs, pack::depthwise_rounded),
    };
    let pack = |(idx, node): (usize, &Node)| {
        let has_weights = matches!(node.op, Op::Conv(_) | Op::TransposedConv(_) | Op::Linear(_));
        if !has_weights || node.shares.is_some() {
            return Ok(Vec::new());
        }
        let (shape, numbers) = parameters.factor(NodeId(idx));
        let taps = shape[2..].iter().product();
        if let Op::TransposedConv(_) = node.op {
            let numbers = pack::turned(numbers, [shape[0], shape[1], taps]);
            return Ok(vec![dense(&numbers, [shape[1], shape[0], taps], 0..shape[0])?]);
        }
        if matches!(node.op, Op::Conv(Conv { groups: Groups::Depthwise, .. })) {
            return Ok(vec![depthwise(numbers, [shape[0], taps])?]);
        }
        let mut start = 0;
        let blocks = node.inputs.iter().map(|input| {
            let block = start..start + channels[input.0];
            start = block.end;
            dense(numbers, [shape[0], shape[1], taps], block)
        });
        blocks.collect()
    };
    network.nodes().iter().enumerate().map(pack).collect()
}

/// Makes the program of a list at one row. Kernels rely on its channels being a prefix of the full network's, and
/// `Network::channels` refuses any width for which they are not.
fn program(
    source: &Source<'_>,
    parameters: &Parameters<'_>,
    (list, fused): (usize, &[Fused]),
    norms: &[NodeId],
    (row, how): (Subnet, How),
) -> Result<Program> {
    let missing = || Error::Statistics { subnet: row };
    let statistics =
        if norms.is_empty() { Vec::new() } else { (source.statistics)(row).ok_or_else(missing)? };
    Program::new(source.network, (list, fused), (row, how), |fused, channels| {
        let bias = fused.producer.and_then(|node| parameters.addends.get(&source.network.owner(node)));
        let shift = bias.map_or(vec![0.0; channels], |bias| bias[..channels].to_vec());
        let plain = ScaleShift { scale: vec![1.0; channels], shift };
        let Some(node) = fused.norm else { return Ok(plain) };
        let Op::BatchNorm(BatchNorm { eps }) = source.network.node(node).op else {
            unreachable!("only batch norms are fused as one")
        };
        let position = norms.binary_search(&node).expect("the list of batch norms has all of them");
        let &(mean, variance) = statistics.get(position).ok_or_else(missing)?;
        if mean.len() != channels || variance.len() != channels {
            return Err(missing());
        }
        let affine = (parameters.factor(node).1, parameters.addend(node));
        Ok(fold(affine, (mean, variance), eps, &plain.shift))
    })
}

/// The scale and the shift that equal a bias followed by a batch norm with fixed statistics: `γ/√(var+eps)` and
/// `β + (bias − mean)·scale`.
fn fold(
    (gamma, beta): (&[f32], &[f32]),
    (mean, variance): (&[f32], &[f32]),
    eps: f64,
    bias: &[f32],
) -> ScaleShift {
    let of = |c: usize| {
        let scale = f64::from(gamma[c]) / (f64::from(variance[c]) + eps).sqrt();
        let centered = f64::from(bias[c]) - f64::from(mean[c]);
        (scale as f32, (f64::from(beta[c]) + centered * scale) as f32)
    };
    let (scale, shift) = (0..mean.len()).map(of).unzip();
    ScaleShift { scale, shift }
}
