//! Training: recipe → plan → steps → checkpoint → calibrate → sweep → bundle.
//!
//! [`mutual_step`](mutual_step::mutual_step) is the core; everything else brings data to it and saves what it learned.
//! Invariant: nothing here prints; [`Event`]s report what happens.

pub mod mutual_step;

pub mod step_batch;
mod step_gradients;

pub mod task;

pub mod regions;

pub mod step_rules;

mod divergence;
pub use divergence::Divergence;

mod method;
pub use method::Method;

pub mod recipe;
pub use recipe::Recipe;

pub mod plan;
pub use plan::{Plan, Planned};

pub mod events;
pub use events::{Event, Reporter};

pub mod training;
pub use training::{Outcome, resume, train, train_together};
mod ranks;
pub use ranks::Ranks;
mod feed;
mod learning;
mod pinned;
mod trainer;

mod state;

mod average;
mod init;
pub mod schedule;
pub mod update;

pub mod checkpoint;
mod saver;

pub mod calibrate;

pub mod sweep;

mod evaluation;
mod tabulate;
pub use tabulate::{tabulate, tabulate_together};

pub mod bench;
pub mod timing;

mod run_dir;
pub use run_dir::RunDir;

mod digest;

mod error;
pub use error::{Error, Result};
