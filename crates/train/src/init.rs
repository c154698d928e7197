//! Warm start: the first weights, read from a file.

use std::path::Path;

use mutualnet_bundle::{Bundle, safetensors};
use mutualnet_core::network::Op;
use mutualnet_core::{Network, Weights};
use mutualnet_engine::Device;
use mutualnet_nn::Parameters;

use crate::{Error, Result};

/// The network's parameters from a safetensors file with its names, or from a bundle (`.mnb`).
///
/// With `new_head`, a seed, the last layer is not taken from the file but random, as without a warm start.
///
/// # Errors
/// The file cannot be read, or does not fit the network.
pub(crate) fn read(
    network: &Network,
    path: &Path,
    new_head: Option<u64>,
    device: Device,
) -> Result<Parameters> {
    let mut weights = match path.extension() {
        Some(extension) if extension == "mnb" => Bundle::read(path)?.into_parts().weights,
        _ => safetensors::read(path)?,
    };
    if let Some(seed) = new_head {
        let random = Parameters::init(network, seed, device)?.to_weights()?;
        let head = head(network);
        weights.extend(random.into_iter().filter(|(name, _)| head.contains(name)));
    } else {
        check_head(network, &weights, path)?;
    }
    let fit = |source| Error::Init { path: path.to_owned(), source };
    Parameters::from_weights(network, &weights, device).map_err(fit)
}

/// Names of the parameters of the last layer.
fn head(network: &Network) -> Vec<String> {
    let last = network.nodes().last().expect("a network has nodes");
    debug_assert!(matches!(last.op, Op::Linear(_)), "checked at construction: the last node is linear");
    ["weight", "bias"].map(|part| format!("{}.{part}", last.path)).to_vec()
}

/// A classifier of other classes is the usual case in transfer learning, so it has an error of its own.
fn check_head(network: &Network, weights: &Weights, path: &Path) -> Result<()> {
    let bias = weights.get(&head(network)[1]);
    let found = bias.and_then(|tensor| tensor.shape.first().copied()).unwrap_or(0);
    if found == network.classes() {
        return Ok(());
    }
    Err(Error::OtherClasses { found, needed: network.classes(), path: path.to_owned() })
}
