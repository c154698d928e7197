//! The methods that a recipe can name: mutual learning, and what it is compared with.

use mutualnet_core::sample::ResolutionChoice;
use serde::{Deserialize, Serialize};

/// Which sub-networks a step trains, and at which resolutions.
///
/// In all of them the full network learns from the labels; where there are students, they learn from its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Students of all widths, each at a resolution of its own `[MN-ECCV §3.3]`.
    #[default]
    Mutual,
    /// Students of all widths, all at the largest resolution: a universally slimmable network `[US-Net]`.
    Us,
    /// As [`Us`](Self::Us), with one resolution for the whole step, drawn anew for each `[MN-ECCV Fig. 7]`.
    UsMultiScale,
    /// The full network alone, at a resolution drawn for each step `[MN-ECCV Table 3]`.
    MultiScale,
    /// The full network alone, at the largest resolution: ordinary training.
    Plain,
    /// One sub-network alone, at its width and its resolution `[MN-ECCV Fig. 5]`.
    Independent,
}

impl Method {
    /// The name, as in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutual => "mutual",
            Self::Us => "us",
            Self::UsMultiScale => "us-multi-scale",
            Self::MultiScale => "multi-scale",
            Self::Plain => "plain",
            Self::Independent => "independent",
        }
    }

    /// Whether narrower networks learn from the full one.
    pub fn has_students(self) -> bool {
        matches!(self, Self::Mutual | Self::Us | Self::UsMultiScale)
    }

    /// Which network sees which resolution.
    pub fn resolution_choice(self) -> ResolutionChoice {
        match self {
            Self::Mutual => ResolutionChoice::Own,
            Self::UsMultiScale | Self::MultiScale => ResolutionChoice::Common,
            Self::Us | Self::Plain | Self::Independent => ResolutionChoice::Largest,
        }
    }
}
