//! Plots of query tables, and the report page of a run.
//!
//! It is a separate crate because both halves of the system draw: `tabulate` after training, and `table --plot` where the
//! bundle runs. Invariant: functions return text; there is no engine and no file access here.

mod scale;

mod picture;

mod cost;
pub use cost::Cost;

mod plot;
pub use plot::plot;

pub mod compare;

mod page;
pub use page::{Page, page};
