//! Photographs and videos that are not part of the project: `MUTUALNET_DATA`, or `../shared/data` beside the workspace.
//!
//! Invariant: a test that needs them says so where they are missing, and passes.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Extracts an archive into a temporary directory; prints where it was looked for if it is missing.
///
/// # Panics
/// There is no temporary directory, or `tar` cannot read the archive.
#[allow(clippy::print_stderr, reason = "tests print why they check nothing")]
pub fn extract(archive: &str) -> Option<TempDir> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let path = env::var_os("MUTUALNET_DATA").map_or_else(beside, PathBuf::from).join(archive);
    if !path.is_file() {
        eprintln!("skipped: {} is missing, set MUTUALNET_DATA", path.display());
        return None;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let status = Command::new("tar").arg("xf").arg(&path).arg("-C").arg(dir.path()).status();
    assert!(status.expect("tar starts").success(), "tar cannot read {}", path.display());
    Some(dir)
}
