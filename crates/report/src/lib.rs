//! Pictures of a query table, and the page of a run.
//!
//! Separate because both halves of the system draw: `tabulate` after training, `table --plot` where the bundle runs.
//! Invariant: text in, text out; no engine, no files.

mod scale;

mod picture;

mod cost;
pub use cost::Cost;

mod plot;
pub use plot::plot;

pub mod compare;

mod page;
pub use page::{Page, page};
