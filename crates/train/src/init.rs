//! Warm starts: the first weights of a run, from a file.
//!
//! Invariant: the error for a file of another kind says what the file is and how to turn it into weights.

use std::io::Read;
use std::path::Path;

use mutualnet_bundle::{Bundle, safetensors};
use mutualnet_core::{FileKind, Network, Wanted, Weights};
use mutualnet_engine::Device;
use mutualnet_nn::Parameters;

use crate::{Error, Result};

/// The network's parameters from a safetensors file with its names, or from a bundle.
///
/// If `new_head` gives a seed, the classifier is not taken from the file but random, as without a warm start.
///
/// # Errors
/// The file cannot be read, or does not fit the network.
pub(crate) fn read(
    network: &Network,
    path: &Path,
    new_head: Option<u64>,
    device: Device,
) -> Result<Parameters> {
    let mut weights = match kind(network, path)? {
        FileKind::Bundle => Bundle::read(path)?.into_parts().weights,
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

/// What the file is, if it can hold weights.
fn kind(network: &Network, path: &Path) -> Result<FileKind> {
    let refuse =
        |reason: String, hint: String| Err(Error::FirstWeights { reason, hint, path: path.to_owned() });
    let name = network.name();
    let import = |what: &str| {
        format!(
            "turn {what} into weights: mutualnet import CHECKPOINT --network {name} --output weights.safetensors"
        )
    };
    if !path.exists() {
        let hint = format!("name a safetensors file or a bundle, or {}", import("a PyTorch checkpoint"));
        return refuse("no such file".to_owned(), hint);
    }
    if path.is_dir() {
        let bundle = path.join("model.mnb");
        let hint = if bundle.exists() {
            format!("for the weights of this run: train.init={}", bundle.display())
        } else {
            "name the file: a safetensors file or a bundle".to_owned()
        };
        return refuse("this is a directory".to_owned(), hint);
    }
    let read = || {
        let mut start = Vec::new();
        std::fs::File::open(path)?.take(FileKind::START_BYTES as u64).read_to_end(&mut start)?;
        Ok(start)
    };
    let kind = FileKind::of(&read().map_err(|source| Error::read(path, source))?);
    match kind {
        FileKind::Bundle | FileKind::Safetensors => Ok(kind),
        FileKind::TorchZip | FileKind::TorchLegacy | FileKind::Zip | FileKind::Tar => {
            refuse(format!("this is {}", kind.name()), import("it"))
        }
        other => {
            let hint =
                other.hint(Wanted::Checkpoint).map_or_else(|| import("a PyTorch checkpoint"), str::to_owned);
            refuse(format!("this is {}, not a safetensors file or a bundle", other.name()), hint)
        }
    }
}

/// Names of the parameters of the classifier, of each output the weight before the bias.
fn head(network: &Network) -> Vec<String> {
    let paths = network.heads().into_iter().map(|head| &network.node(head).path);
    paths.flat_map(|path| ["weight", "bias"].map(|part| format!("{path}.{part}"))).collect()
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
