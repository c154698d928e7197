//! The weights that training starts from, as a file, for comparisons with other programs.
//!
//!     first_weights NETWORK LOW,HIGH CLASSES SEED OUT

use std::collections::HashMap;
use std::error::Error;

use mutualnet_core::WidthRange;
use mutualnet_engine::Device;
use mutualnet_nn::Parameters;
use mutualnet_zoo::NetworkConfig;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, widths, classes, seed, out] = &arguments[..] else {
        return Err("usage: first_weights NETWORK LOW,HIGH CLASSES SEED OUT".into());
    };
    let (low, high) = widths.split_once(',').ok_or("widths are LOW,HIGH")?;
    let widths = WidthRange::new(low.parse()?, high.parse()?)?;
    let config = NetworkConfig { classes: classes.parse()?, widths, output_stride: None };
    let network = mutualnet_zoo::build(network, &config)?;
    let weights = Parameters::init(&network, seed.parse()?, Device::Cpu)?.to_named()?;
    let tensors = weights.into_iter().map(|(name, (shape, values))| {
        (name, shape, values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes)
                .expect("shape and numbers come from one tensor"),
        )
    });
    Ok(serialize_to_file(views, None::<HashMap<String, String>>, out.as_ref())?)
}
