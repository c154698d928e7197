//! The error type of this crate.

use std::path::PathBuf;

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
    /// ONNX files are written of networks that read one image at a time.
    #[error("{network} {reads}, and such networks cannot be exported to ONNX yet")]
    NotOneImage {
        /// The network.
        network: String,
        /// What it reads.
        reads: &'static str,
    },
    /// A layer does something that cannot be written as ONNX.
    #[error("`{operation}` cannot be exported to ONNX: layer {path}")]
    Operation {
        /// The layer.
        path: String,
        /// What it does.
        operation: String,
    },
    /// An ONNX file has at most 2 GiB.
    #[error("the ONNX file would have {bytes} bytes, and the format allows at most 2147483647")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// An ONNX file cannot be read.
    #[error("cannot read: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An ONNX file cannot be run.
    #[error("the ONNX file cannot be run: {what}: {reason}")]
    Onnx {
        /// The part that is wrong.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An ONNX file has not as many outputs as its row.
    #[error("the ONNX file has {got} outputs, the row has {expected}")]
    Outputs {
        /// Outputs of the row.
        expected: usize,
        /// Outputs of the file.
        got: usize,
    },
    /// An ONNX file computes something else than its row.
    #[error("the ONNX file differs from the row by {largest:e}, where the largest number is {scale}: {}", path.display())]
    Differs {
        /// The largest difference between two numbers.
        largest: f32,
        /// The largest absolute number.
        scale: f32,
        /// The file.
        path: PathBuf,
    },
    /// The network has no such width.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
    /// The exported bundle is not valid, or a file cannot be written.
    #[error(transparent)]
    Bundle(#[from] mutualnet_bundle::Error),
}

impl Error {
    /// Whether it is a fault of this program: a file that it wrote does not compute what it should.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::Onnx { .. } | Self::Outputs { .. } | Self::Differs { .. })
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotARow { rows, .. } => {
                let rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
                Some(format!("the rows are {}", rows.join(", ")))
            }
            Self::TooLarge { .. } => Some("export a narrower row, or as safetensors".to_owned()),
            Self::NotOneImage { .. } | Self::Operation { .. } => {
                Some("export it as safetensors or as a bundle".to_owned())
            }
            Self::Bundle(error) => error.hint(),
            _ => None,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
