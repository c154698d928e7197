//! Naming schemes: what the authors, torchvision, timm, pytorchvideo and PySlowFast call each of our modules.
//!
//! One file per source. Whose names our own paths are is said in the entry of the family in the zoo, so that a network
//! under torchvision's names needs nothing here.
//! Invariant: a name follows from the family and the path alone, never from what a checkpoint happens to hold.

use mutualnet_core::Network;
use mutualnet_zoo::family::Origin;
use serde::Serialize;

mod pyslowfast;
mod timm;
mod torchvision;

/// A naming scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The authors of MutualNet, slimmable networks, and this project.
    Authors,
    /// torchvision.
    Torchvision,
    /// timm.
    Timm,
    /// pytorchvideo.
    Pytorchvideo,
    /// PySlowFast.
    #[serde(rename = "pyslowfast")]
    PySlowFast,
}

impl Source {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authors => "the authors",
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::Pytorchvideo => "pytorchvideo",
            Self::PySlowFast => "PySlowFast",
        }
    }

    /// The schemes that a network's checkpoint may use; the first one is our own.
    pub(crate) fn of(network: &Network) -> &'static [Self] {
        match mutualnet_zoo::origin(network.name()) {
            Origin::Authors => &[Self::Authors, Self::Torchvision, Self::Timm],
            Origin::Torchvision => &[Self::Torchvision, Self::Authors, Self::Timm],
            Origin::Pytorchvideo => &[Self::Pytorchvideo, Self::PySlowFast],
        }
    }

    /// What the module at `path` is called in this scheme, if it has it.
    pub(crate) fn module(self, network: &Network, path: &str) -> Option<String> {
        let own = || Some(path.to_owned());
        match (self, mutualnet_zoo::origin(network.name())) {
            (Self::Authors, _)
            | (Self::Torchvision, Origin::Torchvision)
            | (Self::Pytorchvideo, Origin::Pytorchvideo) => own(),
            (Self::PySlowFast, Origin::Pytorchvideo) => pyslowfast::module(path),
            (Self::Pytorchvideo | Self::PySlowFast, _) => None,
            (Self::Torchvision, _) => torchvision::module(network, path),
            (Self::Timm, _) => timm::module(network, path),
        }
    }

    /// Whether a tensor belongs to the classifier of this scheme.
    pub(crate) fn is_head(self, network: &Network, tensor: &str) -> bool {
        let heads = network.heads().into_iter().map(|head| &network.node(head).path);
        // VGG's classifier has three layers elsewhere: `classifier` in torchvision, `pre_logits` and `head` in timm.
        let modules: Vec<_> = match network.name() {
            "vgg16_bn" => ["classifier", "pre_logits", "head"].map(str::to_owned).into(),
            _ => heads.filter_map(|path| self.module(network, path)).collect(),
        };
        modules
            .iter()
            .any(|module| tensor.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('.')))
    }
}

/// Blocks per stage.
fn resnet_stages(name: &str) -> Option<[usize; 4]> {
    match name.strip_prefix("resnet")? {
        "18" => Some([2, 2, 2, 2]),
        "34" | "50" => Some([3, 4, 6, 3]),
        "101" => Some([3, 4, 23, 3]),
        "152" => Some([3, 8, 36, 3]),
        _ => None,
    }
}

/// The stage of block number `idx` of the network, and its index within the stage.
fn stage_of(stages: &[usize], mut idx: usize) -> Option<(usize, usize)> {
    for (stage, &blocks) in stages.iter().enumerate() {
        if idx < blocks {
            return Some((stage, idx));
        }
        idx -= blocks;
    }
    None
}

/// `layerS.K.…` of a ResNet, which torchvision and timm share.
fn resnet_module(stages: &[usize], path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('.').collect();
    match parts[..] {
        ["features", "0", "0"] => Some("conv1".to_owned()),
        ["features", "0", "1"] => Some("bn1".to_owned()),
        ["classifier", "0"] => Some("fc".to_owned()),
        ["features", block, part, layer] => {
            let (stage, block) = stage_of(stages, block.parse::<usize>().ok()?.checked_sub(1)?)?;
            let layer: usize = layer.parse().ok()?;
            let layer = match (part, layer % 3) {
                ("shortcut", _) => format!("downsample.{layer}"),
                ("body", 0) => format!("conv{}", layer / 3 + 1),
                ("body", 1) => format!("bn{}", layer / 3 + 1),
                _ => return None,
            };
            Some(format!("layer{}.{block}.{layer}", stage + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
