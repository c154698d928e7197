//! What a bundle is made of, before anything is checked, and the names its tensors have in the file.

use std::collections::BTreeMap;

use mutualnet_core::{Network, Preprocess, Subnet, Task, Weights};

use crate::{Provenance, QueryTable, RowStats};

/// What a bundle is made of, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct BundleParts {
    /// What the network is trained for.
    pub task: Task,
    /// The lists of layers.
    pub network: Network,
    /// Name of every class, in the order of the outputs.
    pub classes: Vec<String>,
    /// How an image becomes an input.
    pub preprocess: Preprocess,
    /// What every row costs and how good it is.
    pub table: QueryTable,
    /// The learned tensors at full width.
    pub weights: Weights,
    /// Batch-norm statistics of every row of the table, and of no other.
    pub stats: BTreeMap<Subnet, RowStats>,
    /// What it was made from.
    pub provenance: Provenance,
}

/// Paths of the network's batch norms, in order.
pub(crate) fn norm_paths(network: &Network) -> impl Iterator<Item = &str> {
    network.batch_norms().map(|id| network.node(id).path.as_str())
}

/// Names of mean and variance in the file.
pub(crate) fn stats_names(subnet: Subnet, path: &str) -> [String; 2] {
    ["running_mean", "running_var"].map(|what| format!("rows/{subnet}/{path}.{what}"))
}
