//! The error type of this crate.

/// What is wrong with a quantity, a network or a sub-network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text does not describe the expected quantity.
    #[error("`{text}` is not a {what}: {reason}")]
    Parse {
        /// The expected quantity, for example `width`.
        what: &'static str,
        /// The text as given.
        text: String,
        /// What a valid text looks like.
        reason: &'static str,
    },
    /// A text that is not a budget.
    #[error("`{text}` {problem}; write MACs as 150M, 2.3 GMACs or 7030000, a latency as 10ms, 800us or 0.5s")]
    Budget {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A text that is not a latency.
    #[error("`{text}` {problem}; write a latency as 10ms, 800us or 0.5s")]
    Latency {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A number is outside the range of the quantity.
    #[error("{what} {value} is out of range ({allowed})")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// The number.
        value: f64,
        /// The range in words.
        allowed: &'static str,
    },
    /// Images cannot be preprocessed like this.
    #[error("{key}: {reason}")]
    Preprocess {
        /// The key, as recipes and bundles call it.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// A list of nodes is not a valid network.
    #[error("node `{path}`: {reason}")]
    Network {
        /// Parameter path of the node.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The network does not compute what the task needs.
    #[error("network `{network}` cannot {task}: {reason}")]
    Task {
        /// Name of the task.
        task: &'static str,
        /// Name of the network.
        network: String,
        /// What it lacks.
        reason: String,
    },
    /// The network has no such sub-network.
    #[error("sub-network {subnet} does not fit network `{network}`: {reason}")]
    Subnet {
        /// The requested sub-network.
        subnet: String,
        /// Name of the network.
        network: String,
        /// Why it does not fit.
        reason: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Preprocess { hint, .. } => hint.clone(),
            Self::Task { .. } => {
                Some("choose another network, or another task (`task` in the recipe)".to_owned())
            }
            _ => None,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
