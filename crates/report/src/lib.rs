//! Pictures of a query table, and the page of a run.
//!
//! Separate because both halves of the system draw: `tabulate` after training, `table --plot` where the bundle runs.
//! Invariant: text in, text out; no engine, no files.

mod scale;

mod plot;
pub use plot::{Cost, plot};

mod page;
pub use page::{Page, page};
