//! The bundle, the file that is shipped: weights, batch-norm statistics per row, the query table and its provenance.
//!
//! Separate because it is the only thing that the training side and the run side share.
//! Invariant: a [`Bundle`] is always complete and consistent; reading a file of unknown origin gives a valid bundle or an
//! [`Error`], never panics, and never takes more memory than the size of the file justifies.

mod stats;
pub use stats::{BatchNormStats, RowStats};

mod provenance;
pub use provenance::{Host, Provenance};

pub mod table;
pub use table::{Latency, Quality, QueryTable, Row};

mod parts;
pub use parts::BundleParts;

mod bundle;
pub use bundle::Bundle;

mod check;
mod manifest;
pub use manifest::SmallerResolutions;
mod seal;

pub mod safetensors;

mod storage;
pub use storage::write_atomically;

mod error;
pub use error::{Error, Result};
