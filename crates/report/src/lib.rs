//! Pictures of query tables, comparisons of several, and the page of a run.
//!
//! Separate because both sides draw: `tabulate` after training, and `table --plot` wherever the bundle runs.
//! Invariant: tables in, text out; no engine, no files.

mod scale;

mod markup;

mod picture;

mod cost;
pub use cost::Cost;

mod plot;
pub use plot::plot;

pub mod compare;

mod page;
pub use page::{Page, page};
