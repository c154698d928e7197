//! The data of the studies, and the directory where their trainings lie.
//!
//! Separate because neither is part of the project.
//! Invariant: if images are missing, the message says what to set.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

const ARCHIVE: &str = "cifar10-jpeg.tar.xz";

/// The images of a study.
#[derive(Clone, Copy)]
pub(super) enum Data {
    /// CIFAR-10, which the user has.
    Cifar10,
    /// What `mutualnet data make shapes` generates.
    Shapes,
    /// What `mutualnet data make scenes` generates, with objects of at least 24 pixels.
    Scenes,
    /// Of these, a smaller number with 800 to train on, since two-stage detectors take their time.
    FewScenes,
    /// What `mutualnet data make clips` generates.
    Clips,
}

/// The directory of all trainings: `MUTUALNET_RUNS`, or else a directory of the user's cache.
pub(super) fn runs() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(given) = set("MUTUALNET_RUNS") {
        return Ok(given);
    }
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(cache.context("neither MUTUALNET_RUNS nor HOME is set")?.join("mutualnet-runs"))
}

impl Data {
    /// The directory of the images, which are unpacked or generated once.
    pub(super) fn find(self, root: &Path, binary: &Path) -> Result<PathBuf> {
        match self {
            Self::Cifar10 => cifar10(root),
            Self::Shapes => made(root, binary, "shapes", &["shapes"]),
            Self::Clips => made(root, binary, "clips", &["clips"]),
            Self::Scenes => made(root, binary, "scenes", &["scenes", "--min-object", "24"]),
            Self::FewScenes => {
                let args = ["scenes", "--min-object", "24", "--train", "800", "--test", "300"];
                made(root, binary, "few-scenes", &args)
            }
        }
    }
}

/// What `mutualnet data make` generates with these arguments.
fn made(root: &Path, binary: &Path, name: &str, args: &[&str]) -> Result<PathBuf> {
    make(name, |dir| process::run(process::command(binary, root).args(["data", "make"]).args(args).arg(dir)))
}

/// `MUTUALNET_CIFAR10`; else `cifar10-jpeg.tar.xz` of `MUTUALNET_DATA` (or of `../shared/data`).
fn cifar10(root: &Path) -> Result<PathBuf> {
    if let Some(given) = env::var_os("MUTUALNET_CIFAR10").map(PathBuf::from) {
        if given.is_dir() {
            return Ok(given);
        }
        bail!("MUTUALNET_CIFAR10 is not a directory: {}", given.display());
    }
    let beside = || root.join("../shared/data");
    let archive = env::var_os("MUTUALNET_DATA").map_or_else(beside, PathBuf::from).join(ARCHIVE);
    make("cifar10", |dir| {
        if !archive.is_file() {
            bail!(
                "CIFAR-10 is missing: set MUTUALNET_CIFAR10 to a folder with train/CLASS/* and test/CLASS/* (or to the \
                 original cifar-10-batches-bin), or MUTUALNET_DATA to the folder of {ARCHIVE}"
            );
        }
        fs::create_dir_all(dir)?;
        process::run(Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(dir))
    })
}

/// A directory below that of the trainings, which `fill` fills if it is not there yet.
fn make(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let parent = runs()?.join("data");
    let (whole, partial) = (parent.join(name), parent.join(format!("{name}.partial")));
    if whole.is_dir() {
        return Ok(whole);
    }
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fill(&partial)?;
    fs::rename(&partial, &whole).context("cannot move the finished images to their place")?;
    Ok(whole)
}
