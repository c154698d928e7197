//! Integration tests of the train crate, in one binary.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; the exception for tests covers test functions alone"
)]

/// A small data set and recipe, and what runs leave behind.
mod clips;
mod detect;

/// Students of detectors that learn from a teacher.
mod distilled;
mod faults;
mod fixture;

/// Every network learns.
mod learning;
mod mixing;
mod operations;

/// Against a straightforward PyTorch program.
mod parity;

/// Photographs of COCO are learned by heart.
mod photographs;
mod precisions;

/// Several processes, which are threads here.
mod ranks;
mod regions;

/// Interruptions, worker counts and damage leave no trace in the result.
mod resume;

/// Every family in the engine and on the run side.
mod run_side;
mod segment;
mod switches;
mod timing;
mod two_lists;
mod two_stage;

/// From files to a prediction, end to end.
mod way_of_a_batch;
