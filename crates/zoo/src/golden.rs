//! Which golden files a network must have: what other programs say about it, with which tests compare ours.
//!
//! Separate because three crates keep such files. Each folder also has the `make.py` that writes them.
//! Invariant: `cargo xtask golden NETWORK` makes all files that are listed here, and a test fails while one is missing.

use crate::{FAMILIES, family};

/// A folder of golden files, below `crates`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Parameters and MACs of torchvision's network.
    Torchvision,
    /// Names and shapes in the checkpoints of torchvision and timm.
    Names,
    /// Logits, losses, gradients and weights of a few training steps in PyTorch.
    Steps,
    /// Scores of torchvision's segmentation network.
    Segment,
    /// Scores and box codes of torchvision's one-stage detector.
    Detect,
    /// Maps, proposed boxes, and answers and masks for regions of torchvision's two-stage detector.
    Regions,
    /// Parameters, MACs, logits and gradients of pytorchvideo's network.
    Clips,
}

impl Folder {
    /// All folders.
    pub const ALL: [Self; 7] = [
        Self::Torchvision,
        Self::Names,
        Self::Steps,
        Self::Segment,
        Self::Detect,
        Self::Regions,
        Self::Clips,
    ];

    /// The path below `crates`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Torchvision => "zoo/golden/torchvision",
            Self::Names => "import/golden/names",
            Self::Steps => "train/golden/mutual_step",
            Self::Segment => "nn/golden/segment",
            Self::Detect => "nn/golden/detect",
            Self::Regions => "nn/golden/regions",
            Self::Clips => "nn/golden/clips",
        }
    }

    /// The path below `crates` of the file of a network.
    pub fn file(self, network: &str) -> String {
        let extension = if self == Self::Steps { "safetensors" } else { "json" };
        format!("{}/{network}.{extension}", self.path())
    }

    /// The networks of which the folder must have a file.
    pub fn networks(self) -> impl Iterator<Item = &'static str> {
        let listed = FAMILIES.iter().flat_map(|family| {
            let samples = family.samples.iter().map(|sample| sample.name);
            family.names.iter().copied().chain(samples.filter(|name| !family.names.contains(name)))
        });
        listed.filter(move |name| folders(name).contains(&self))
    }
}

/// The folders that must have a file of a network.
pub fn folders(network: &str) -> Vec<Folder> {
    let Some(family) = family(network) else { return Vec::new() };
    if family.results != Folder::Steps {
        return vec![family.results];
    }
    let in_torchvision = family.torchvision.contains(&network);
    let mut folders = Vec::new();
    if in_torchvision {
        folders.push(Folder::Torchvision);
    }
    if in_torchvision || family.timm(network).is_some() {
        folders.push(Folder::Names);
    }
    if family.sample(network).is_some() {
        folders.push(Folder::Steps);
    }
    folders
}
