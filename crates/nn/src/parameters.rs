//! The parameters at full width, slices of them, and the way of gradients back.

use std::collections::BTreeMap;

use mutualnet_core::Width;
use mutualnet_core::network::{Network, Parameter};
use mutualnet_engine::{Device, Tensor};

use crate::init::first_values;
use crate::{Error, Result};

/// A tensor outside of the engine: shape and numbers in row-major order.
pub type NamedTensor = (Vec<usize>, Vec<f32>);

/// All parameters of a network at its full width, under the reference's names.
///
/// Convolution weights lie in channels-last memory.
#[derive(Debug)]
pub struct Parameters {
    parameters: Vec<Parameter>,
    tensors: Vec<Tensor>,
}

impl Parameters {
    /// Random first weights; they depend on the seed alone.
    ///
    /// # Errors
    /// The engine has no memory for them.
    pub fn init(network: &Network, seed: u64, device: Device) -> Result<Self> {
        let shapes = network.parameter_shapes(network.widths().full())?;
        let parameters = network.parameters();
        let tensors = parameters.iter().zip(shapes).enumerate().map(|(index, (parameter, shape))| {
            on_device(&first_values(parameter.kind, &shape, seed, index), &shape, device)
        });
        Ok(Self { tensors: tensors.collect::<Result<_>>()?, parameters })
    }

    /// Given weights, by name.
    ///
    /// # Errors
    /// A weight is missing, too many, or of another shape.
    pub fn from_named(
        network: &Network,
        named: &BTreeMap<String, NamedTensor>,
        device: Device,
    ) -> Result<Self> {
        let shapes = network.parameter_shapes(network.widths().full())?;
        let parameters = network.parameters();
        if let Some(name) = named.keys().find(|name| !parameters.iter().any(|p| p.name == **name)) {
            return Err(Error::ExtraWeight { name: name.clone() });
        }
        let tensors = parameters.iter().zip(shapes).map(|(Parameter { name, .. }, expected)| {
            let (shape, values) =
                named.get(name).ok_or_else(|| Error::MissingWeight { name: name.clone() })?;
            if *shape != expected {
                return Err(Error::WeightShape { name: name.clone(), expected, got: shape.clone() });
            }
            on_device(values, shape, device)
        });
        Ok(Self { tensors: tensors.collect::<Result<_>>()?, parameters })
    }

    /// A copy of every parameter, by name.
    ///
    /// # Errors
    /// The engine refused to copy.
    pub fn to_named(&self) -> Result<BTreeMap<String, NamedTensor>> {
        self.name(&self.tensors)
    }

    /// A copy of `tensors`, one for every parameter in order, by the parameters' names.
    ///
    /// # Errors
    /// The engine refused to copy.
    pub fn name(&self, tensors: &[Tensor]) -> Result<BTreeMap<String, NamedTensor>> {
        let named = self.parameters.iter().zip(tensors);
        named.map(|(p, tensor)| Ok((p.name.clone(), (tensor.shape(), tensor.to_vec_f32()?)))).collect()
    }

    /// Goes the share `weight` of the way to `other`, parameters of the same network, in place.
    ///
    /// # Errors
    /// The engine refused.
    pub fn follow(&mut self, other: &Self, weight: f64) -> Result<()> {
        for (tensor, end) in self.tensors.iter_mut().zip(&other.tensors) {
            tensor.lerp_(end, weight)?;
        }
        Ok(())
    }

    /// What the tensors are, in the order of the network.
    pub fn list(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The tensors, in the same order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The part that `width` uses, as leaves that collect gradients of their own.
    ///
    /// # Errors
    /// The width is outside of the network's range.
    pub fn slice(&self, network: &Network, width: Width) -> Result<Slice> {
        let shapes = network.parameter_shapes(width)?;
        let leaves = self.tensors.iter().zip(shapes).map(|(tensor, shape)| Ok(tensor.leaf_prefix(&shape)?));
        Ok(Slice { leaves: leaves.collect::<Result<_>>()? })
    }
}

fn on_device(values: &[f32], shape: &[usize], device: Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape)?.to_device(device)?.channels_last()?)
}

/// The parameters of one sub-network: prefixes of the full ones.
#[derive(Debug)]
pub struct Slice {
    leaves: Vec<Tensor>,
}

impl Slice {
    /// The tensors, in the order of the network's parameters.
    pub fn tensors(&self) -> &[Tensor] {
        &self.leaves
    }
}

/// The sum of the gradients of a step's sub-networks, at full width.
#[derive(Debug)]
pub struct Gradients {
    sums: Vec<Option<Tensor>>,
}

impl Gradients {
    /// No gradient yet for any of `parameters`.
    pub fn none(parameters: &Parameters) -> Self {
        Self { sums: parameters.tensors.iter().map(|_| None).collect() }
    }

    /// Adds what `slice` collected to the leading channels of the sums; the slice is spent.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn add(&mut self, parameters: &Parameters, slice: Slice) -> Result<()> {
        for ((sum, leaf), full) in self.sums.iter_mut().zip(&slice.leaves).zip(&parameters.tensors) {
            let Some(gradient) = leaf.grad()? else { continue };
            match sum {
                Some(sum) => sum.add_prefix_(&gradient)?,
                // The first gradient of the full network becomes the sum: no copy.
                None if gradient.shape() == full.shape() => *sum = Some(gradient),
                None => sum.insert(full.zeros_like()?).add_prefix_(&gradient)?,
            }
        }
        Ok(())
    }

    /// The sums, in the order of the parameters; zeros where no sub-network reached.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn into_tensors(self, parameters: &Parameters) -> Result<Vec<Tensor>> {
        let sums = self.sums.into_iter().zip(&parameters.tensors);
        sums.map(|(sum, full)| sum.map_or_else(|| Ok(full.zeros_like()?), Ok)).collect()
    }
}
