//! The error type of this crate.

use mutualnet_core::Subnet;

/// Why a row cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sub-network is not a row of the table, so it has no statistics.
    #[error("sub-network {subnet} is not a row of the query table")]
    NotARow {
        /// The requested sub-network.
        subnet: Subnet,
        /// The rows of the table, cheapest first.
        rows: Vec<Subnet>,
    },
    /// The network has no such width.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
    /// The exported bundle is not valid, or a file cannot be written.
    #[error(transparent)]
    Bundle(#[from] mutualnet_bundle::Error),
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotARow { rows, .. } => {
                let rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
                Some(format!("the rows are {}", rows.join(", ")))
            }
            Self::Bundle(error) => error.hint(),
            _ => None,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
