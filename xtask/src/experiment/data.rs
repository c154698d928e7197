//! Finds CIFAR-10, as an image folder or as the original binary files, or unpacks it from an archive.
//!
//! Separate because the images are not part of the project.
//! Invariant: if they are missing, the message says what to set.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

const ARCHIVE: &str = "cifar10-jpeg.tar.xz";
const UNPACKED: &str = "runs/experiments/cifar10";

/// The directory of the images: `MUTUALNET_CIFAR10`; else `cifar10-jpeg.tar.xz` of `MUTUALNET_DATA` (or of
/// `../shared/data`), unpacked once.
pub(super) fn cifar10(root: &Path) -> Result<PathBuf> {
    if let Some(given) = env::var_os("MUTUALNET_CIFAR10").map(PathBuf::from) {
        if given.is_dir() {
            return Ok(given);
        }
        bail!("MUTUALNET_CIFAR10 is not a directory: {}", given.display());
    }
    let unpacked = root.join(UNPACKED);
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    let beside = || root.join("../shared/data");
    let archive = env::var_os("MUTUALNET_DATA").map_or_else(beside, PathBuf::from).join(ARCHIVE);
    if !archive.is_file() {
        bail!(
            "CIFAR-10 is missing: set MUTUALNET_CIFAR10 to a folder with train/CLASS/* and test/CLASS/* (or to the \
             original cifar-10-batches-bin), or MUTUALNET_DATA to the folder of {ARCHIVE}"
        );
    }
    let partial = root.join(format!("{UNPACKED}.partial"));
    fs::create_dir_all(&partial)?;
    process::run(Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(&partial))?;
    fs::rename(&partial, &unpacked)?;
    Ok(unpacked)
}
