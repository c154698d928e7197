//! The shipped file: weights once, batch-norm statistics per row, the query table, and what they were made from.
//!
//! Separate because it is all that the training side and the run side share.
//! Invariant: a [`Bundle`] is whole and consistent from its construction on; reading a file of unknown origin
//! gives a valid bundle or an [`Error`], never a panic, and never more memory than the file justifies.

mod tensor;
pub use tensor::{BatchNormStats, RowStats, Tensor, Weights};

mod provenance;
pub use provenance::{Host, Provenance};

pub mod table;
pub use table::{Accuracy, Latency, QueryTable, Row};

mod bundle;
pub use bundle::{Bundle, BundleParts};

mod check;
mod container;
mod manifest;
mod seal;
mod storage;
pub use storage::write_atomically;

mod error;
pub use error::{Error, Result};
