//! Training methods: mutual learning, and the methods it is compared with.

use mutualnet_core::sample::InputChoice;
use serde::{Deserialize, Serialize};

/// Which sub-networks a step trains, and at which resolutions.
///
/// In all of them the full network learns from the labels. Students, where there are some, learn from its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Students of all widths, each at a resolution of its own `[MN-ECCV §3.3]`.
    #[default]
    Mutual,
    /// Students of all widths at the largest resolution, as in universally slimmable networks `[US-Net]`.
    Us,
    /// As `us`, with one resolution for all networks of a step, drawn for each step `[MN-ECCV Fig. 7]`.
    UsMultiScale,
    /// The full network alone, at a resolution drawn for each step `[MN-ECCV Table 3]`.
    MultiScale,
    /// The full network alone at the largest resolution: ordinary training.
    Plain,
    /// One sub-network alone, the one of `train.subnet` `[MN-ECCV Fig. 5]`.
    Independent,
}

impl Method {
    /// The name in recipes.
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

    /// Whether narrower networks are trained too, with the full one as their teacher.
    pub fn has_students(self) -> bool {
        matches!(self, Self::Mutual | Self::Us | Self::UsMultiScale)
    }

    /// How a step chooses the sizes of inputs.
    pub fn input_choice(self) -> InputChoice {
        match self {
            Self::Mutual => InputChoice::Own,
            Self::UsMultiScale | Self::MultiScale => InputChoice::Common,
            Self::Us | Self::Plain | Self::Independent => InputChoice::Largest,
        }
    }
}
