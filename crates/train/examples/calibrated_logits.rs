//! Logits of given weights on given images at some sub-networks, for comparisons with other programs.
//!
//!     calibrated_logits NETWORK LOW,HIGH WEIGHTS IMAGES OUT SUBNET...
//!
//! IMAGES is a safetensors file with `test` and, for the statistics of the batch norms, `calibrate.0`, `calibrate.1`,
//! … in this order, all `[n, 3, r, r]` at the largest resolution. Without the latter every batch norm uses the
//! statistics of the test images themselves. OUT gets one tensor `[n, classes]` per sub-network, by its name.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;

use mutualnet_core::{Network, Subnet, WidthRange};
use mutualnet_engine::{Device, Tensor, no_grad};
use mutualnet_nn::{NamedTensor, Net, Norm, Parameters};
use mutualnet_train::calibrate::Calibration;
use mutualnet_zoo::NetworkConfig;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, widths, weights, images, out, subnets @ ..] = &arguments[..] else {
        return Err("usage: calibrated_logits NETWORK LOW,HIGH WEIGHTS IMAGES OUT SUBNET...".into());
    };
    let weights = read(weights.as_ref())?;
    let net = Net::new(build(network, widths, &weights)?);
    let parameters = Parameters::from_named(net.network(), &weights, Device::Cpu)?;
    let subnets: Vec<Subnet> =
        subnets.iter().map(|subnet| subnet.parse()).collect::<mutualnet_core::Result<_>>()?;
    let logits = no_grad(|| logits(&net, &parameters, &read(images.as_ref())?, &subnets))?;
    let views = logits.iter().map(|(name, (shape, bytes))| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes)
                .expect("shape and numbers come from one tensor"),
        )
    });
    Ok(serialize_to_file(views, None::<HashMap<String, String>>, out.as_ref())?)
}

/// The tensors of a file.
fn read(path: &Path) -> Result<BTreeMap<String, NamedTensor>> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let tensors = file.iter().map(|(name, view)| {
        let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (name.to_owned(), (view.shape().to_vec(), numbers.collect()))
    });
    Ok(tensors.collect())
}

/// The network with as many classes as the weights have.
fn build(name: &str, widths: &str, weights: &BTreeMap<String, NamedTensor>) -> Result<Network> {
    let (low, high) = widths.split_once(',').ok_or("widths are LOW,HIGH")?;
    let widths = WidthRange::new(low.parse()?, high.parse()?)?;
    let config = NetworkConfig { classes: 1, widths, output_stride: None };
    let probe = mutualnet_zoo::build(name, &config)?;
    let head = probe.parameters().pop().ok_or("the network has no parameters")?.name;
    let classes = weights.get(&head).ok_or("the weights have no classifier")?.0[0];
    Ok(mutualnet_zoo::build(name, &NetworkConfig { classes, ..config })?)
}

type Bytes = (Vec<usize>, Vec<u8>);

fn logits(
    net: &Net,
    parameters: &Parameters,
    images: &BTreeMap<String, NamedTensor>,
    subnets: &[Subnet],
) -> Result<BTreeMap<String, Bytes>> {
    let image = |name: &str| -> Result<Option<Tensor>> {
        let Some((shape, values)) = images.get(name) else { return Ok(None) };
        Ok(Some(Tensor::from_slice(values, shape)?.channels_last()?))
    };
    let test = image("test")?.ok_or("there are no test images")?;
    let mut calibration = Calibration::new(net, subnets, Device::Cpu)?;
    let mut n_batches = 0;
    while let Some(batch) = image(&format!("calibrate.{n_batches}"))? {
        calibration.add(net, parameters, &batch)?;
        n_batches += 1;
    }
    let statistics = calibration.finish();
    let mut all = BTreeMap::new();
    for &subnet in subnets {
        let side = subnet.resolution.get() as usize;
        let slice = parameters.slice(net.network(), subnet.width)?;
        let norm = if n_batches == 0 { Norm::Batch } else { Norm::Fixed(&statistics[&subnet]) };
        let logits = net.forward(&slice, &test.resize_bilinear(side)?, norm)?;
        let bytes = logits.to_vec_f32()?.into_iter().flat_map(f32::to_le_bytes).collect();
        all.insert(subnet.to_string(), (logits.shape(), bytes));
    }
    Ok(all)
}
