//! The parameters at full width, their slices, and how gradients of slices are added up.

use std::ops::Range;

use mutualnet_core::network::{Network, Parameter, ParameterKind, ParameterSlice};
use mutualnet_core::{Weights, Width};
use mutualnet_engine::{Device, Tensor};

use crate::init::first_values;
use crate::{Error, Result};

/// All parameters of a network at its full width, under the names of the reference.
///
/// The weights of convolutions are in channels-last memory.
#[derive(Debug)]
pub struct Parameters {
    parameters: Vec<Parameter>,
    tensors: Vec<Tensor>,
}

impl Parameters {
    /// Creates random initial weights, which depend only on the seed.
    ///
    /// # Errors
    /// Fails if the engine does not have enough memory.
    pub fn init(network: &Network, seed: u64, device: Device) -> Result<Self> {
        let shapes = network.parameter_shapes(network.widths().full())?;
        let parameters = network.parameters();
        let results = network.results();
        let tensors = parameters.iter().zip(shapes).enumerate().map(|(index, (parameter, shape))| {
            let is_last = results.contains(&parameter.node);
            on_device(&first_values((parameter.kind, is_last), &shape, seed, index), &shape, device)
        });
        Ok(Self { tensors: tensors.collect::<Result<_>>()?, parameters })
    }

    /// Silences every residual branch, so that each block starts as its shortcut.
    ///
    /// Zeroes the scale of the batch norm that ends the branch, or the weight of the convolution that does.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn zero_residual_branches(&mut self, network: &Network) -> Result<()> {
        let ends = network.residual_ends();
        for (parameter, tensor) in self.parameters.iter().zip(&mut self.tensors) {
            let silences = match parameter.kind {
                ParameterKind::Shift | ParameterKind::Bias => false,
                ParameterKind::Scale
                | ParameterKind::ConvWeight
                | ParameterKind::DepthwiseWeight
                | ParameterKind::TransposedConvWeight
                | ParameterKind::LinearWeight => ends.contains(&parameter.node),
            };
            if silences {
                *tensor = tensor.zeros_like()?;
            }
        }
        Ok(())
    }

    /// Uses given weights, which are matched by name.
    ///
    /// # Errors
    /// Fails if a weight is missing, unknown, or has the wrong shape.
    pub fn from_weights(network: &Network, weights: &Weights, device: Device) -> Result<Self> {
        let shapes = network.parameter_shapes(network.widths().full())?;
        let parameters = network.parameters();
        if let Some(name) = weights.keys().find(|name| !parameters.iter().any(|p| p.name == **name)) {
            return Err(Error::ExtraWeight { name: name.clone() });
        }
        let tensors = parameters.iter().zip(shapes).map(|(Parameter { name, .. }, expected)| {
            let weight = weights.get(name).ok_or_else(|| Error::MissingWeight { name: name.clone() })?;
            if weight.shape != expected {
                return Err(Error::WeightShape { name: name.clone(), expected, got: weight.shape.clone() });
            }
            on_device(&weight.data, &weight.shape, device)
        });
        Ok(Self { tensors: tensors.collect::<Result<_>>()?, parameters })
    }

    /// A copy of every parameter, by name.
    ///
    /// # Errors
    /// Fails if the engine cannot copy.
    pub fn to_weights(&self) -> Result<Weights> {
        self.name(&self.tensors)
    }

    /// A copy of `tensors`, one for every parameter in order, by the parameters' names.
    ///
    /// # Errors
    /// Fails if the engine cannot copy.
    pub fn name(&self, tensors: &[Tensor]) -> Result<Weights> {
        let named = self.parameters.iter().zip(tensors).map(|(parameter, tensor)| {
            let plain = mutualnet_core::Tensor { shape: tensor.shape(), data: tensor.to_vec_f32()? };
            Ok((parameter.name.clone(), plain))
        });
        named.collect()
    }

    /// Moves the fraction `weight` of the way to `other`, which are parameters of the same network, in place.
    ///
    /// # Errors
    /// Fails if the engine reports an error.
    pub fn follow(&mut self, other: &Self, weight: f64) -> Result<()> {
        for (tensor, end) in self.tensors.iter_mut().zip(&other.tensors) {
            tensor.lerp_(end, weight)?;
        }
        Ok(())
    }

    /// A description of every tensor, in the order of the network.
    pub fn list(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The tensors, in the same order as [`Self::list`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The part that `width` uses, as separate leaves that collect gradients.
    ///
    /// # Errors
    /// Fails if the width is outside the range of the network.
    pub(crate) fn slice(&self, network: &Network, width: Width) -> Result<Slice> {
        let slices = network.parameter_slices(width)?;
        let leaves = self.tensors.iter().zip(&slices).map(|(tensor, slice)| leaf(tensor, slice));
        let leaves = leaves.collect::<Result<_>>()?;
        Ok(Slice { leaves, blocks: slices.into_iter().map(|slice| slice.blocks).collect() })
    }
}

fn on_device(values: &[f32], shape: &[usize], device: Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape)?.to_device(device)?.channels_last()?)
}

/// The part of a tensor that a width uses, as a leaf.
fn leaf(tensor: &Tensor, slice: &ParameterSlice) -> Result<Tensor> {
    if slice.blocks.is_empty() {
        return Ok(tensor.leaf_prefix(&slice.shape)?);
    }
    let outputs = tensor.narrow(0, 0, slice.shape[0])?;
    let blocks = slice.blocks.iter().map(|block| Ok(outputs.narrow(1, block.start, block.len())?));
    let blocks: Vec<_> = blocks.collect::<Result<_>>()?;
    Ok(Tensor::concatenate(&blocks.iter().collect::<Vec<_>>(), 1)?.to_leaf()?)
}

/// The parameters of one sub-network: prefixes of the full ones, or prefixes in blocks of input channels.
#[derive(Debug)]
pub struct Slice {
    leaves: Vec<Tensor>,
    /// For every tensor, its [`ParameterSlice::blocks`].
    blocks: Vec<Vec<Range<usize>>>,
}

impl Slice {
    /// The tensors, in the order of the network's parameters.
    pub fn tensors(&self) -> &[Tensor] {
        &self.leaves
    }

    /// The gradients that it collected, zero where it has none, so that all processes have tensors of the same shapes.
    ///
    /// # Errors
    /// Fails if the engine does not have enough memory.
    pub fn into_gradients(self) -> Result<SliceGradients> {
        let of = |leaf: &Tensor| leaf.grad()?.map_or_else(|| leaf.detach()?.zeros_like(), Ok);
        let tensors = self.leaves.iter().map(of).collect::<Result<_, _>>()?;
        Ok(SliceGradients { tensors, blocks: self.blocks })
    }
}

/// The gradients of one sub-network, with its shapes.
#[derive(Debug)]
pub struct SliceGradients {
    /// One for every parameter, in order.
    pub tensors: Vec<Tensor>,
    blocks: Vec<Vec<Range<usize>>>,
}

/// Adds a gradient to the blocks of input channels that it belongs to.
fn add_blocks(sum: &Tensor, gradient: &Tensor, blocks: &[Range<usize>]) -> Result<()> {
    let mut start = 0;
    for block in blocks {
        let mut place = sum.narrow(1, block.start, block.len())?;
        place.add_prefix_(&gradient.narrow(1, start, block.len())?)?;
        start += block.len();
    }
    Ok(())
}

/// Adds the gradient of a slice to the sum of a parameter, which has the shape of `full`.
fn add_one(sum: &mut Option<Tensor>, gradient: Tensor, blocks: &[Range<usize>], full: &Tensor) -> Result<()> {
    match sum {
        sum if !blocks.is_empty() => {
            if sum.is_none() {
                *sum = Some(full.zeros_like()?);
            }
            add_blocks(sum.as_ref().expect("just made"), &gradient, blocks)?;
        }
        Some(sum) => sum.add_prefix_(&gradient)?,
        // The first gradient of the full network becomes the sum without a copy.
        None if gradient.shape() == full.shape() => *sum = Some(gradient),
        None => sum.insert(full.zeros_like()?).add_prefix_(&gradient)?,
    }
    Ok(())
}

/// The sum of the gradients of all sub-networks of a step, at full width.
#[derive(Debug)]
pub struct Gradients {
    sums: Vec<Option<Tensor>>,
}

impl Gradients {
    /// Starts without a gradient for any of `parameters`.
    pub fn none(parameters: &Parameters) -> Self {
        Self { sums: parameters.tensors.iter().map(|_| None).collect() }
    }

    /// Starts with a sum for each of the parameters, in order.
    pub fn of(sums: Vec<Tensor>) -> Self {
        Self { sums: sums.into_iter().map(Some).collect() }
    }

    /// Adds the gradients that `slice` collected to the leading channels of the sums, and consumes the slice.
    ///
    /// # Errors
    /// Fails if the engine does not have enough memory.
    pub fn add(&mut self, parameters: &Parameters, slice: Slice) -> Result<()> {
        let sliced = slice.leaves.iter().zip(&slice.blocks);
        for ((sum, (leaf, blocks)), full) in self.sums.iter_mut().zip(sliced).zip(&parameters.tensors) {
            if let Some(gradient) = leaf.grad()? {
                add_one(sum, gradient, blocks, full)?;
            }
        }
        Ok(())
    }

    /// Adds the gradients of a sub-network to the leading channels of the sums.
    ///
    /// # Errors
    /// Fails if the engine does not have enough memory.
    pub fn add_sliced(&mut self, parameters: &Parameters, sliced: SliceGradients) -> Result<()> {
        let SliceGradients { tensors, blocks } = sliced;
        let sliced = tensors.into_iter().zip(&blocks);
        for ((sum, (gradient, blocks)), full) in self.sums.iter_mut().zip(sliced).zip(&parameters.tensors) {
            add_one(sum, gradient, blocks, full)?;
        }
        Ok(())
    }

    /// The sums in the order of the parameters; they are zero where no sub-network had a gradient.
    ///
    /// # Errors
    /// Fails if the engine does not have enough memory.
    pub fn into_tensors(self, parameters: &Parameters) -> Result<Vec<Tensor>> {
        let sums = self.sums.into_iter().zip(&parameters.tensors);
        sums.map(|(sum, full)| sum.map_or_else(|| Ok(full.zeros_like()?), Ok)).collect()
    }
}
