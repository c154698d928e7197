//! The one error type of this crate.

use mutualnet_core::Subnet;

/// Why a row cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sub-network that has no statistics, since it is no row of the table.
    #[error("sub-network {subnet} is not a row of the query table")]
    NotARow {
        /// The one asked for.
        subnet: Subnet,
        /// The rows there are, cheapest first.
        rows: Vec<Subnet>,
    },
    /// The network has no such width.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
    /// A bundle is not valid, or a file cannot be written.
    #[error(transparent)]
    Bundle(#[from] mutualnet_bundle::Error),
    /// The tensors do not make a safetensors file.
    #[error("cannot write sub-network {subnet} as safetensors: {source}")]
    Safetensors {
        /// The sub-network.
        subnet: Subnet,
        /// The library's reason.
        #[source]
        source: ::safetensors::SafeTensorError,
    },
}

impl Error {
    /// What to do about it.
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
