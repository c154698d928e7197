//! What is known about a family besides its list: names here and elsewhere, and its samples.
//!
//! Separate from [`FAMILIES`](crate::FAMILIES), so that adding a network changes only the entry there.
//! Invariant: a fact that tests, scripts or docs need about a network is a field here, not a list of theirs.

use mutualnet_core::network::{Extent, Rank};
use mutualnet_core::{Frames, InputSize, Network, Resolution};

use crate::{Error, NetworkConfig};

/// The networks that are defined in one file.
#[derive(Debug)]
pub struct Family {
    /// The names of the networks; for families with numbers in their names, of the common ones.
    pub names: &'static [&'static str],
    /// Whose names our parameters have, and so the checkpoints of `origin` without renaming.
    pub origin: Origin,
    /// Those of the networks that torchvision has, under the same name.
    pub torchvision: &'static [&'static str],
    /// Those that timm has, and what it calls them.
    pub timm: &'static [(&'static str, &'static str)],
    /// The clips that each network of `names` is published for; empty if the networks read images.
    pub clips: &'static [Clip],
    /// Networks that together have all layers of the family. The first is small, or smaller than the others, and is used by
    /// all tests that must hold for every family; all that read images are trained a few steps and compared with PyTorch.
    pub samples: &'static [Sample],
    /// Builds the network of a name; `None` if it does not belong to the family.
    pub build: fn(&str, &NetworkConfig) -> Option<Result<Network, Error>>,
}

/// A network for tests.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Its name, which need not be a common one.
    pub name: &'static str,
    /// Its smallest and full width in tests; the full width of a large network is narrow, so that a test takes seconds.
    pub widths: [f64; 2],
}

/// The clips that a network is published for.
#[derive(Debug, Clone, Copy)]
pub struct Clip {
    /// The network's name.
    pub name: &'static str,
    /// Frames of a clip.
    pub frames: u32,
    /// Side of the square crops in training, in pixels.
    pub side: u32,
    /// Frames, height and width of a second clip that the network reads, whatever the sub-network.
    pub fast: Option<Extent>,
}

impl Clip {
    /// The size of the input.
    ///
    /// # Errors
    /// Fails if a clip could not have as many frames or pixels.
    pub fn input(self) -> mutualnet_core::Result<InputSize> {
        Ok(InputSize { resolution: Resolution::new(self.side)?, frames: Frames::new(self.frames)? })
    }
}

/// Whose names the parameters of a network have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The authors of MutualNet, or of slimmable networks.
    Authors,
    /// torchvision, for networks that the authors do not have.
    Torchvision,
    /// pytorchvideo, for networks that read clips.
    Pytorchvideo,
}

impl Origin {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authors => "the authors",
            Self::Torchvision => "torchvision",
            Self::Pytorchvideo => "pytorchvideo",
        }
    }
}

impl Family {
    /// Whether a network is one of the common ones or of the samples.
    pub(crate) fn lists(&self, name: &str) -> bool {
        self.names.contains(&name) || self.sample(name).is_some()
    }

    /// What the networks read.
    pub fn rank(&self) -> Rank {
        if self.clips.is_empty() { Rank::Image } else { Rank::Clip }
    }

    /// The clips that a network is published for, if it reads clips.
    pub fn clip(&self, name: &str) -> Option<Clip> {
        self.clips.iter().find(|clip| clip.name == name).copied()
    }

    /// Whether the networks read two clips.
    pub fn reads_two(&self) -> bool {
        self.clips.iter().any(|clip| clip.fast.is_some())
    }

    /// The sample of a name.
    pub fn sample(&self, name: &str) -> Option<Sample> {
        self.samples.iter().find(|sample| sample.name == name).copied()
    }

    /// What timm calls a network, if it has it.
    pub fn timm(&self, name: &str) -> Option<&'static str> {
        self.timm.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs)
    }
}
