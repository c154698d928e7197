//! The weights that training starts from, as a file, for comparisons with other programs.
//!
//!     first_weights NETWORK LOW,HIGH CLASSES SEED OUT

use std::error::Error;

use mutualnet_bundle::safetensors;
use mutualnet_core::WidthRange;
use mutualnet_engine::Device;
use mutualnet_nn::Parameters;
use mutualnet_zoo::NetworkConfig;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, widths, classes, seed, out] = &arguments[..] else {
        return Err("usage: first_weights NETWORK LOW,HIGH CLASSES SEED OUT".into());
    };
    let (low, high) = widths.split_once(',').ok_or("widths are LOW,HIGH")?;
    let widths = WidthRange::new(low.parse()?, high.parse()?)?;
    let config = NetworkConfig { classes: classes.parse()?, widths, output_stride: None };
    let network = mutualnet_zoo::build(network, &config)?;
    let weights = Parameters::init(&network, seed.parse()?, Device::Cpu)?.to_weights()?;
    Ok(safetensors::write(&weights, out.as_ref())?)
}
