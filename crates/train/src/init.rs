//! Warm starts: the first weights of a run, from a file.
//!
//! Invariant: the error for a file of another kind says what the file is and how to turn it into weights.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use mutualnet_bundle::{Bundle, safetensors};
use mutualnet_core::text::shown;
use mutualnet_core::{FileKind, Network, Wanted, Weights};
use mutualnet_engine::Device;
use mutualnet_nn::Parameters;
use mutualnet_zoo::BackboneNames;

use crate::recipe::Recipe;
use crate::{Error, Result};

/// Parameters to start with.
pub(crate) struct FirstWeights {
    pub(crate) parameters: Parameters,
    /// The sentence that says what comes from where, if not all of them are from the file.
    pub(crate) notice: Option<String>,
}

/// The network's parameters from a safetensors file with its names, or from a bundle.
///
/// A network that segments may start from the weights of its backbone's classification network. Then the layers behind the
/// backbone are random, as without a warm start; and so is the classifier if the recipe says so, and the auxiliary classifier,
/// which no bundle has, if the file does not have it.
///
/// # Errors
/// The file cannot be read, or does not fit the network.
pub(crate) fn read(recipe: &Recipe, network: &Network, path: &Path, device: Device) -> Result<FirstWeights> {
    let file = match kind(network, path)? {
        FileKind::Bundle => Bundle::read(path)?.into_parts().weights,
        _ => safetensors::read(path).map_err(|error| match &error {
            // As other programs write files of this kind.
            mutualnet_bundle::Error::File { cause, .. }
                if matches!(**cause, mutualnet_bundle::Error::Dtype { .. }) =>
            {
                let (reason, hint) = (cause.to_string(), import(network, "it"));
                Error::FirstWeights { reason, hint, path: path.to_owned() }
            }
            _ => error.into(),
        })?,
    };
    let n_file = file.len();
    let backbone =
        mutualnet_zoo::backbone_names(network).filter(|backbone| is_of_classifier(&file, network, backbone));
    let (mut weights, random) = match &backbone {
        Some(backbone) => (of_backbone(file, backbone, path)?, behind(network, backbone)),
        None => {
            let mut random = absent_auxiliary(network, &file);
            if recipe.train.new_head {
                random.extend(head(network));
            } else {
                check_head(network, &file, path)?;
            }
            (file, random)
        }
    };
    for name in &random {
        weights.remove(name);
    }
    let n_taken = weights.len();
    if !random.is_empty() {
        let all = Parameters::init(network, recipe.seed, device)?.to_weights()?;
        weights.extend(all.into_iter().filter(|(name, _)| random.contains(name)));
    }
    let fit = |source| Error::Init { path: path.to_owned(), source };
    let parameters = Parameters::from_weights(network, &weights, device).map_err(fit)?;
    let what = backbone.map_or(String::new(), |backbone| format!(" of the backbone {}", backbone.network));
    let (random, unused) = (random.len(), n_file - n_taken);
    let notice = format!(
        "train.init: {n_taken} tensors{what} are taken from {}, {random} start random; {unused} of the file are not used",
        shown(path)
    );
    Ok(FirstWeights { parameters, notice: Some(notice).filter(|_| random > 0) })
}

/// Whether a file has weights of the backbone's classification network, and none of the network itself.
fn is_of_classifier(file: &Weights, network: &Network, backbone: &BackboneNames) -> bool {
    let has_own = network.parameters().iter().any(|parameter| file.contains_key(&parameter.name));
    !has_own && backbone.names.iter().any(|(_, theirs)| file.contains_key(theirs))
}

/// The weights of the backbone, under the network's names.
fn of_backbone(mut file: Weights, backbone: &BackboneNames, path: &Path) -> Result<Weights> {
    let mut missing = Vec::new();
    let mut weights = Weights::new();
    for (ours, theirs) in &backbone.names {
        match file.remove(theirs) {
            Some(tensor) => drop(weights.insert(ours.clone(), tensor)),
            None => missing.push(theirs.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(weights);
    }
    let (n, all, name) = (missing.len(), backbone.names.len(), backbone.network);
    Err(Error::FirstWeights {
        reason: format!(
            "{n} of the {all} weights of the backbone {name} are not in the file: {}",
            first_few(&missing)
        ),
        hint: format!("give all weights of {name}; `mutualnet import --network {name}` converts checkpoints"),
        path: path.to_owned(),
    })
}

/// The first four, and whether there are more.
fn first_few(names: &[&str]) -> String {
    let more = if names.len() > 4 { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(4)].join(", "))
}

/// Names of the parameters that do not belong to the backbone.
fn behind(network: &Network, backbone: &BackboneNames) -> BTreeSet<String> {
    let names = network.parameters().into_iter().map(|parameter| parameter.name);
    names.filter(|name| !backbone.names.iter().any(|(ours, _)| ours == name)).collect()
}

/// Names of the parameters of the auxiliary classifier, if the file has none of them.
fn absent_auxiliary(network: &Network, file: &Weights) -> BTreeSet<String> {
    let auxiliary = network.auxiliary();
    let parameters = network.parameters().into_iter();
    let names: BTreeSet<_> = parameters.filter(|p| auxiliary.contains(&p.node)).map(|p| p.name).collect();
    if names.iter().any(|name| file.contains_key(name)) {
        return BTreeSet::new();
    }
    names
}

/// How a file of another program becomes one that is read.
fn import(network: &Network, what: &str) -> String {
    let name = network.name();
    format!(
        "turn {what} into weights: mutualnet import CHECKPOINT --network {name} --output weights.safetensors"
    )
}

/// What the file is, if it can hold weights.
fn kind(network: &Network, path: &Path) -> Result<FileKind> {
    let refuse =
        |reason: String, hint: String| Err(Error::FirstWeights { reason, hint, path: path.to_owned() });
    if !path.exists() {
        let hint =
            format!("name a safetensors file or a bundle, or {}", import(network, "a PyTorch checkpoint"));
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
            refuse(format!("this is {}", kind.name()), import(network, "it"))
        }
        other => {
            let hint = other
                .hint(Wanted::Checkpoint)
                .map_or_else(|| import(network, "a PyTorch checkpoint"), str::to_owned);
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
    let outputs = bias.and_then(|tensor| tensor.shape.first().copied()).unwrap_or(0);
    let found = outputs / network.boxes_per_position().unwrap_or(1);
    if found == network.classes() {
        return Ok(());
    }
    Err(Error::OtherClasses { found, needed: network.classes(), path: path.to_owned() })
}
