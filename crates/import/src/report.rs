//! The report of an import: what was imported and what was not.

use mutualnet_core::{Weights, WidthRange};
use serde::Serialize;

use crate::matching::Matching;
use crate::{Format, Source};

/// Weights of a network, and how they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// All learned tensors at full width, by our names; without the classifier where it was left out.
    pub weights: Weights,
    /// How they were found.
    pub report: Report,
}

/// How a checkpoint became a network's weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Kind of file.
    pub format: Format,
    /// The key in the file that was read; `None` if the tensors are at its top level.
    pub entry: Option<String>,
    /// Keys of further state dicts in the file, which were not read.
    pub other_entries: Vec<String>,
    /// Classes and functions in the file that were neither run nor read; the first hundred.
    pub not_read: Vec<String>,
    /// What the names of the network's tensors begin with, up to and including a dot, or empty.
    pub prefix: String,
    /// Other prefixes under which the network is found as well; not imported.
    pub other_prefixes: Vec<String>,
    /// Tensors that are not under the prefix, such as losses and copies; left out.
    pub outside: Vec<String>,
    /// The naming scheme of the checkpoint; `None` when matched by position.
    pub source: Option<Source>,
    /// How tensors were matched.
    pub matching: Matching,
    /// The network.
    pub network: String,
    /// The checkpoint's classes; `None` if the classifier was left out.
    pub classes: Option<usize>,
    /// Widths of the network.
    pub widths: WidthRange,
    /// Numbers in all weights.
    pub params: u64,
    /// The matched tensors, in the order of the network.
    pub matched: Vec<Matched>,
    /// Batch-norm statistics, left out because every row is calibrated.
    pub n_statistics: usize,
    /// Whether the batch norms were frozen: they have statistics, and do not count batches.
    #[serde(skip)]
    pub is_frozen: bool,
    /// Counters and other integers, left out.
    pub n_counters: usize,
    /// Biases before a batch norm, which would cancel them; left out.
    pub without_effect: Vec<String>,
    /// Tensors of the checkpoint's classifier, if it was left out.
    pub head_left_out: Vec<String>,
    /// The network's tensors of the auxiliary classifier, if the checkpoint has none of them; training starts with random
    /// ones.
    pub without_auxiliary: Vec<String>,
    /// Tensors that the network has no place for, left out because that was allowed.
    pub unused: Vec<String>,
    /// How many groups of channels were sorted by importance; `None` if that was not asked for.
    pub sorted_groups: Option<usize>,
}

impl Report {
    /// What else to know about the weights, if anything: torchvision's own weights of some detectors are for batch norms with
    /// another eps.
    pub fn notice(&self) -> Option<String> {
        let eps = mutualnet_zoo::backbone(&self.network)?.published_eps.filter(|_| self.is_frozen)?;
        Some(format!(
            "the checkpoint has frozen batch norms: torchvision's weights for COCO are for an eps of {eps}, and here it is \
             1e-5, which changes scores slightly until the network is trained further"
        ))
    }
}

/// One matched tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// Name in the network.
    pub name: String,
    /// Name in the checkpoint, after the prefix.
    pub from: String,
    /// Its shape in the network.
    pub shape: Vec<usize>,
    /// Type of its numbers in the checkpoint.
    pub dtype: &'static str,
}
