//! What the tests of several crates share: small networks and bundles, and comparisons with named tolerances.
//!
//! A development dependency only.
//! Invariant: everything is deterministic, from keyed randomness.

mod fixture;
pub use fixture::{bundle, parts, small_network, subnet};

mod tolerance;
pub use tolerance::{Tolerance, assert_near, difference};
