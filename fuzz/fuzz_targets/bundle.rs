//! Any bytes as a bundle, and as a query table: as they are, and under a checksum that is right.
//!
//! A panic, a hang or memory without bounds is a finding; so is a bundle that does not come back from its own bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mutualnet_bundle::{Bundle, QueryTable};
use mutualnet_fuzz::init;
use sha2::{Digest, Sha256};

/// Hexadecimal digits of the checksum.
const DIGITS: usize = 64;

fuzz_target!(init: init(), |bytes: &[u8]| {
    for bytes in [bytes.to_vec(), resealed(bytes)] {
        if let Ok(bundle) = Bundle::from_bytes(&bytes) {
            let written = bundle.to_bytes().expect("what was read can be written");
            assert_eq!(Bundle::from_bytes(&written).expect("what was written can be read"), bundle);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(table) = QueryTable::from_json(text)
    {
        assert_eq!(QueryTable::from_json(&table.to_json()).expect("what was written can be read"), table);
    }
});

/// The bytes with the checksum that they should have: without it, no changed byte would get past the checksum.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let (mut bytes, key) = (bytes.to_vec(), b"\"sha256\":\"");
    let Some(at) = bytes.windows(key.len()).position(|window| window == key) else { return bytes };
    let digits = at + key.len()..at + key.len() + DIGITS;
    if digits.end <= bytes.len() {
        bytes[digits.clone()].fill(b'0');
        let digest = Sha256::digest(&bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes[digits].copy_from_slice(hex.as_bytes());
    }
    bytes
}
