//! `compat`: compares our checkpoints and logits with those of the authors' code, torchvision and timm.
//!
//! Separate from the benchmarks, with which it shares the other programs: it measures differences, not time.
//! Invariant: Python scripts do the comparison; this file only prepares what they need.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::{coco, peers};
use crate::{networks, process, product, setup};

/// Compares everything but detectors, or only the given parts, which `bench/peers/compat.py` explains, or after `detectors` those
/// networks; prints one JSON object.
pub(crate) fn run(root: &Path, parts: &[&str]) -> Result<()> {
    if let ["detectors", networks @ ..] = parts {
        return detectors(root, networks);
    }
    let python = peers::python_with(&["safetensors", "timm"])?;
    let authors = peers::authors_code()?;
    let programs = build(root)?;
    let zoo = peers::cache()?.join("networks.json");
    std::fs::write(&zoo, networks::facts(root, &[])?)
        .with_context(|| format!("cannot write {}", zoo.display()))?;
    let mut compare = Command::new(python);
    compare.arg("-B").arg(root.join("bench/peers/compat.py")).args([authors, programs, zoo]).args(parts);
    process::run(&mut compare)
}

/// Compares what detectors that torchvision has trained find in photographs, which takes minutes.
fn detectors(root: &Path, networks: &[&str]) -> Result<()> {
    let python = peers::python_with(&["safetensors"])?;
    let Some(photographs) = coco::photographs(root)? else {
        bail!("there are no photographs to train on: set MUTUALNET_DATA to the folder with coco-tiny.tar");
    };
    let program = build(root)?.join("mutualnet");
    let out = peers::cache()?.join("trained-detectors");
    let mut compare = Command::new(python);
    compare.arg("-B").arg(root.join("bench/peers/trained_detectors.py"));
    process::run(compare.args([program, photographs, out]).args(networks))
}

/// Builds our programs and returns their folder. Nothing is timed, so a debug build will do.
fn build(root: &Path) -> Result<PathBuf> {
    setup::ensure(root)?;
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--package", "mutualnet-cli", "--package", "mutualnet-train"]);
    cargo.args(["--bin", "mutualnet", "--example", "calibrated_logits", "--example", "first_weights"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = process::output_showing_stderr(&mut cargo)?;
    let binary =
        product::executables(&messages).find(|path| path.file_stem().is_some_and(|n| n == "mutualnet"));
    let folder = binary.as_deref().and_then(Path::parent).map(Path::to_owned);
    folder.context("cargo succeeded but reported no binary")
}
