//! The runtime as its users see it, against a naive interpreter of the list.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod allocation;
mod fixture;
mod interpreter;

mod equivalence;
mod errors;
mod parity;
mod random;
