//! The one error type of this crate.

/// What can be wrong with a value of the vocabulary or with a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that does not read as the quantity it should be.
    #[error("`{text}` is not a {what}: {reason}")]
    Parse {
        /// The quantity that was expected, e.g. `width`.
        what: &'static str,
        /// The text as given.
        text: String,
        /// What a right one looks like.
        reason: &'static str,
    },
    /// A number outside of what the quantity allows.
    #[error("{what} {value} is out of range ({allowed})")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// The number as given.
        value: f64,
        /// The range in words.
        allowed: &'static str,
    },
    /// A list of nodes that is not a network.
    #[error("node `{path}`: {reason}")]
    Network {
        /// Parameter path of the node.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A sub-network that this network cannot run as.
    #[error("sub-network {subnet} does not fit network `{network}`: {reason}")]
    Subnet {
        /// The sub-network asked for.
        subnet: String,
        /// Name of the network.
        network: String,
        /// Why not.
        reason: String,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
