//! Tests of the bundle through its public interface, on bundles that the test kit makes up.

#![allow(clippy::unwrap_used)]

mod checks;
mod hostile;
mod round_trip;
mod table;
mod weights;

use mutualnet_bundle::Bundle;
use mutualnet_testkit::{bundle, small_network, subnet};

/// A bundle of three rows; about 30 kB.
fn sample() -> Bundle {
    bundle(small_network(), &["0.25-8", "0.5-16", "1.0-16"].map(subnet))
}

/// Header of a container, as JSON, and where its numbers begin.
fn header(bytes: &[u8]) -> (serde_json::Value, usize) {
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..end]).unwrap(), end)
}
