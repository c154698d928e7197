//! SHA-256 as hexadecimal text, for recipes and checkpoints.

use sha2::{Digest, Sha256};

/// The hash of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
