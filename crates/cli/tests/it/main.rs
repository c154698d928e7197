//! The program as its users meet it: status, stdout and stderr of whole commands.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; the exception for tests covers test functions alone"
)]

mod program;

/// Commands of the deploy binary on a bundle of random weights.
mod bundle;
mod clips;

/// Speed of a bundle.
mod bench;

/// Images, folders and broken files given to `predict`.
mod predict;

/// Names with control characters.
mod terminal;

/// Checkpoints of other programs.
mod import;

/// Data sets and networks.
mod data;

/// What is typed wrongly.
mod mistakes;

/// Several processes that train together.
#[cfg(feature = "train")]
mod ranks;

/// Recipes, training, interruption.
#[cfg(feature = "train")]
mod train;
