//! The one error type of this crate.

/// What can go wrong with a trainable network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor that the network needs is not among the weights.
    #[error("weight `{name}` is missing")]
    MissingWeight {
        /// Its name.
        name: String,
    },
    /// A tensor that the network does not have.
    #[error("weight `{name}` belongs to no layer of the network")]
    ExtraWeight {
        /// Its name.
        name: String,
    },
    /// A tensor of another shape than the network's.
    #[error("weight `{name}` has shape {got:?}, the network needs {expected:?}")]
    WeightShape {
        /// Its name.
        name: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The tensor's shape.
        got: Vec<usize>,
    },
    /// The width or the input does not fit the network.
    #[error(transparent)]
    Core(#[from] mutualnet_core::Error),
    /// The tensor engine refused.
    #[error(transparent)]
    Engine(#[from] mutualnet_engine::EngineError),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
