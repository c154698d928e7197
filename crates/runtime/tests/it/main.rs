//! Tests of the runtime through its public API, against a naive interpreter of the list of nodes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod allocation;
mod fixture;
mod interpreter;

mod equivalence;
mod errors;
mod idle;
mod parity;
mod precision;
mod random;
