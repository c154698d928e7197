//! Logits of given weights on given images at some sub-networks, for comparisons with other programs.
//!
//!     calibrated_logits NETWORK LOW,HIGH WEIGHTS IMAGES OUT SUBNET...
//!
//! IMAGES is a safetensors file with `test` and, for the statistics of the batch norms, `calibrate.0`, `calibrate.1`,
//! … in this order, all `[n, 3, r, r]` at the largest resolution. Without the latter every batch norm uses the
//! statistics of the test images themselves. OUT gets one tensor `[n, classes]` per sub-network, by its name.

use std::error::Error;

use mutualnet_bundle::safetensors;
use mutualnet_core::{Network, Subnet, Weights, WidthRange};
use mutualnet_engine::{Device, Tensor, no_grad};
use mutualnet_nn::{Net, Norm, Parameters};
use mutualnet_train::calibrate::Calibration;
use mutualnet_train::step_batch::Images;
use mutualnet_train::task::Classify;
use mutualnet_zoo::NetworkConfig;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, widths, weights, images, out, subnets @ ..] = &arguments[..] else {
        return Err("usage: calibrated_logits NETWORK LOW,HIGH WEIGHTS IMAGES OUT SUBNET...".into());
    };
    let weights = safetensors::read(weights.as_ref())?;
    let net = Net::new(build(network, widths, &weights)?);
    let parameters = Parameters::from_weights(net.network(), &weights, Device::Cpu)?;
    let subnets: Vec<Subnet> =
        subnets.iter().map(|subnet| subnet.parse()).collect::<mutualnet_core::Result<_>>()?;
    let logits = no_grad(|| logits(&net, &parameters, &safetensors::read(images.as_ref())?, &subnets))?;
    Ok(safetensors::write(&logits, out.as_ref())?)
}

/// The network with as many classes as the weights have.
fn build(name: &str, widths: &str, weights: &Weights) -> Result<Network> {
    let (low, high) = widths.split_once(',').ok_or("widths are LOW,HIGH")?;
    let widths = WidthRange::new(low.parse()?, high.parse()?)?;
    let config = NetworkConfig { classes: 1, widths, output_stride: None };
    let probe = mutualnet_zoo::build(name, &config)?;
    let head = probe.parameters().pop().ok_or("the network has no parameters")?.name;
    let classes = weights.get(&head).ok_or("the weights have no classifier")?.shape[0];
    Ok(mutualnet_zoo::build(name, &NetworkConfig { classes, ..config })?)
}

fn logits(net: &Net, parameters: &Parameters, images: &Weights, subnets: &[Subnet]) -> Result<Weights> {
    let image = |name: &str| -> Result<Option<Tensor>> {
        let Some(image) = images.get(name) else { return Ok(None) };
        Ok(Some(Tensor::from_slice(&image.data, &image.shape)?.channels_last()?))
    };
    let test = image("test")?.ok_or("there are no test images")?;
    let mut calibration = Calibration::new(net, subnets, Device::Cpu)?;
    let mut n_batches = 0;
    while let Some(batch) = image(&format!("calibrate.{n_batches}"))? {
        calibration.add::<Classify>(net, parameters, &Images::with_full_sides(batch))?;
        n_batches += 1;
    }
    let statistics = calibration.finish();
    let mut all = Weights::new();
    for &subnet in subnets {
        let side = subnet.input.resolution.get() as usize;
        let slice = net.slice(parameters, subnet.width)?;
        let norm = if n_batches == 0 { Norm::Batch } else { Norm::Fixed(&statistics[&subnet]) };
        let logits = net.forward(&slice, &test.resize_bilinear(side)?, norm)?;
        let plain = mutualnet_core::Tensor { shape: logits.shape(), data: logits.to_vec_f32()? };
        all.insert(subnet.to_string(), plain);
    }
    Ok(all)
}
