//! Small networks and bundles, real photographs, and comparisons with named tolerances, for the tests of several crates.
//!
//! The crate is only a development dependency.
//! Invariant: everything is deterministic, because all randomness is keyed.

mod fixture;
pub use fixture::{bundle, parts, small_network, subnet};

mod real_data;
pub use real_data::extract;

mod same;
pub use same::assert_same;

mod tolerance;
pub use tolerance::{Tolerance, assert_near, difference};
