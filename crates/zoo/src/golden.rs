//! Which golden files a network must have: what other programs say about it, with which tests compare ours.
//!
//! Separate because three crates keep such files. Each folder also has the `make.py` that writes them.
//! Invariant: `cargo xtask golden NETWORK` makes all files that are listed here, and a test fails while one is missing.

use mutualnet_core::network::Rank;

use crate::{family, segment, ssdlite, two_stage};

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
}

/// The folders that must have a file of a network.
pub fn folders(network: &str) -> Vec<Folder> {
    if segment::NAMES.contains(&network) {
        return vec![Folder::Segment];
    }
    if network == ssdlite::NAME {
        return vec![Folder::Detect];
    }
    if two_stage().any(|name| name == network) {
        return vec![Folder::Regions];
    }
    let Some(family) = family(network) else { return Vec::new() };
    if family.rank() == Rank::Clip {
        return vec![Folder::Clips];
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
