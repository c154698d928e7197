//! What the tests of several crates share: bundles to try things on, and comparisons with named tolerances.
//!
//! A development dependency only.
//! Invariant: everything is deterministic, from keyed randomness.
