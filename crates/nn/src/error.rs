//! The error type of this crate.

/// Why a network cannot be set up or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The weights lack a tensor that the network needs.
    #[error("weight `{name}` is missing")]
    MissingWeight {
        /// Name of the tensor.
        name: String,
    },
    /// The weights have a tensor that the network does not have.
    #[error("weight `{name}` does not belong to any layer of the network")]
    ExtraWeight {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has the wrong shape.
    #[error("weight `{name}` must have shape {expected:?}, got {got:?}")]
    WeightShape {
        /// Name of the tensor.
        name: String,
        /// The shape that the network needs.
        expected: Vec<usize>,
        /// The shape of the tensor.
        got: Vec<usize>,
    },
    /// A list of the network was run on the wrong number of inputs.
    #[error("list `{list}` reads {expected} inputs, got {got}")]
    Inputs {
        /// Name of the list.
        list: String,
        /// How many inputs it reads.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// The width or the input does not fit the network.
    #[error(transparent)]
    Core(#[from] mutualnet_core::Error),
    /// An operation of the tensor engine failed.
    #[error(transparent)]
    Engine(#[from] mutualnet_engine::EngineError),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
