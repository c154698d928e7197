//! The one error type of this crate.

use mutualnet_core::Subnet;

use crate::Isa;

/// Why a bundle cannot be executed, or a request not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network reads clips.
    #[error("clip networks are not executed by this version")]
    Clip,
    /// A layer that has no kernel.
    #[error("`{what}` is not executed by this version, at `{path}`")]
    Unsupported {
        /// The operation or the setting of it.
        what: String,
        /// Path of the node.
        path: String,
    },
    /// The query table is empty.
    #[error("the bundle's query table has no rows, so there is nothing to run")]
    NoRows,
    /// A weight is missing or has another shape than the network says.
    #[error("weight `{name}` should have shape {expected:?}, got {got:?}")]
    Weight {
        /// Its name.
        name: String,
        /// Shape at full width.
        expected: Vec<usize>,
        /// Shape in the bundle; `None` when it is missing.
        got: Option<Vec<usize>>,
    },
    /// A row has no batch-norm statistics, or not as many as the network has channels.
    #[error("the bundle has no fitting batch-norm statistics for row {subnet}")]
    Statistics {
        /// The row.
        subnet: Subnet,
    },
    /// A sub-network that is not a row of the table.
    #[error("sub-network {subnet} is not a row of the query table")]
    NotARow {
        /// The one asked for.
        subnet: Subnet,
        /// The rows nearest to it, nearest first; at most three.
        nearest: Vec<Subnet>,
    },
    /// No row is within the budget, or no latencies were measured.
    #[error(transparent)]
    Table(#[from] mutualnet_bundle::Error),
    /// An input of the wrong length.
    #[error(
        "an input of {n} images for {subnet} has {expected} numbers ({largest} at the largest resolution), got {got}"
    )]
    InputLength {
        /// Images.
        n: usize,
        /// The row.
        subnet: Subnet,
        /// Numbers at the row's own resolution.
        expected: usize,
        /// Numbers at the largest resolution.
        largest: usize,
        /// Numbers given.
        got: usize,
    },
    /// An instruction set that this processor or this build lacks.
    #[error("instruction set `{name}` is not available here")]
    Isa {
        /// The name as given.
        name: String,
        /// Those that are.
        available: Vec<&'static str>,
    },
    /// More memory than there is or than a row may ask for.
    #[error("no memory for {numbers} numbers")]
    Memory {
        /// How many f32.
        numbers: usize,
    },
    /// The operating system gives no thread.
    #[error("cannot start a thread")]
    Thread {
        /// Its reason.
        #[source]
        source: std::io::Error,
    },
    /// The network refuses the row.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
}

impl Error {
    /// An instruction set that is not available, by name.
    pub(crate) fn isa(name: &str) -> Self {
        let available = Isa::available().map(Isa::name).collect();
        Self::Isa { name: name.to_owned(), available }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotARow { nearest, .. } if !nearest.is_empty() => {
                let rows: Vec<_> = nearest.iter().map(ToString::to_string).collect();
                Some(format!("the nearest rows are {}", rows.join(", ")))
            }
            Self::Statistics { .. } => Some("run `mutualnet tabulate` on the run again".to_owned()),
            Self::Table(error) => error.hint(),
            Self::Isa { available, .. } => Some(format!("available are {}", available.join(", "))),
            _ => None,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
