//! SHA-256 as hexadecimal text, for recipes and checkpoints.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The hash of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of a file's content.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::read(path, source))?;
    Ok(hex(&bytes))
}
