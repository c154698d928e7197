//! What is known about a family besides its list: names here and elsewhere, and its samples.
//!
//! Separate from [`FAMILIES`](crate::FAMILIES), so that adding a network changes only the entry there.
//! Invariant: a fact that tests, scripts or docs need about a network is a field here, not a list of theirs.

use mutualnet_core::network::{Extent, Rank};
use mutualnet_core::{Frames, InputSize, Network, Resolution, Task};

use crate::golden::Folder;
use crate::{Error, NetworkConfig, Variant};

/// The networks that are defined in one file.
#[derive(Debug)]
pub struct Family {
    /// The names of the networks; for families with numbers in their names, of the common ones.
    pub names: &'static [&'static str],
    /// The task that they have the outputs for.
    pub task: Task,
    /// What they read.
    pub reads: Reads,
    /// The number of classes, the background included if there is one, of the data that they are published for.
    pub classes: usize,
    /// Whose names our parameters have, and so the checkpoints of `origin` without renaming.
    pub origin: Origin,
    /// Those of the networks that torchvision has, under the same name.
    pub torchvision: &'static [&'static str],
    /// Those that timm has, and what it calls them.
    pub timm: &'static [(&'static str, &'static str)],
    /// The backbones of the networks that begin with one of the networks that classify.
    pub backbones: &'static [Backbone],
    /// Where another program's results are: for [`Folder::Steps`] of every sample, else of every network.
    pub results: Folder,
    /// Networks that together have all layers of the family. The first is small, or smaller than the others, and is used by
    /// all tests that must hold for every family of a task.
    pub samples: &'static [Sample],
    /// Builds a variant of the network of a name; `None` if it does not belong to the family. Of a network that classifies,
    /// all variants are the same.
    pub build: fn(&str, &NetworkConfig, Variant) -> Option<Result<Network, Error>>,
}

/// What networks read, and at which sizes they are published.
#[derive(Debug, Clone, Copy)]
pub enum Reads {
    /// Images.
    Images {
        /// The length of the shorter side, in pixels.
        side: u32,
    },
    /// Clips, of which each network of the family has its own.
    Clips(&'static [Clip]),
}

/// The layers that a network has in common with one that classifies, so that training can start from their weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backbone {
    /// The network's name.
    pub network: &'static str,
    /// The name of the network that classifies.
    pub classifier: &'static str,
    /// What the names of the backbone's parameters begin with. Behind it they are torchvision's names in the classifier.
    pub path: &'static str,
    /// The eps of the frozen batch norms for which torchvision publishes the weights of the whole network, if it is not the one
    /// here.
    pub published_eps: Option<f64>,
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

    /// Whether the networks read images or clips.
    pub fn rank(&self) -> Rank {
        match self.reads {
            Reads::Images { .. } => Rank::Image,
            Reads::Clips(_) => Rank::Clip,
        }
    }

    /// The clips that the networks are published for; none if they read images.
    pub fn clips(&self) -> &'static [Clip] {
        match self.reads {
            Reads::Images { .. } => &[],
            Reads::Clips(clips) => clips,
        }
    }

    /// The clips that a network is published for, if it reads clips.
    pub fn clip(&self, name: &str) -> Option<Clip> {
        self.clips().iter().find(|clip| clip.name == name).copied()
    }

    /// The size of the square images or clips that a network is published for; `None` if it is not one of the common networks.
    ///
    /// # Errors
    /// Fails if an image or clip could not be so large.
    pub fn input(&self, name: &str) -> mutualnet_core::Result<Option<InputSize>> {
        match self.reads {
            Reads::Images { side } => Ok(Some(InputSize::image(Resolution::new(side)?))),
            Reads::Clips(_) => self.clip(name).map(Clip::input).transpose(),
        }
    }

    /// Whether the networks read two clips.
    pub fn reads_two(&self) -> bool {
        self.clips().iter().any(|clip| clip.fast.is_some())
    }

    /// The backbone of a network, if it begins with a network that classifies.
    pub fn backbone(&self, name: &str) -> Option<Backbone> {
        self.backbones.iter().find(|backbone| backbone.network == name).copied()
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
