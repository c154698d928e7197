//! `golden`: makes all golden files of one network, by running the scripts that stand beside them.
//!
//! Separate from the tests that read the files, which need no Python.
//! Invariant: which files a network must have is said once, in `crates/zoo/src/golden.rs`, and never here.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::peers;
use crate::{networks, process};

/// Makes the files of every given network.
pub(crate) fn run(root: &Path, networks: &[&str]) -> Result<()> {
    if networks.is_empty() {
        bail!("name a network, as in `cargo xtask golden resnet18`");
    }
    networks.iter().try_for_each(|network| make(root, network))
}

/// Runs every script that has something to say about a network.
fn make(root: &Path, network: &str) -> Result<()> {
    let facts = networks::facts(root, &[network])?;
    let told: Value = serde_json::from_str(&facts)?;
    let folders = told["golden"].as_array().map(Vec::as_slice).unwrap_or_default();
    if folders.is_empty() {
        bail!("{network} has no golden files: no other program has it, and it is not a sample of its family");
    }
    let reads_clips = told["frames"].is_number();
    let packages: &[&str] = if reads_clips { &["pytorchvideo"] } else { &["safetensors", "timm"] };
    let python = peers::python_with(packages)?;
    let file = peers::cache()?.join(format!("facts-{network}.json"));
    fs::write(&file, facts).with_context(|| format!("cannot write {}", file.display()))?;
    for folder in folders.iter().filter_map(Value::as_str) {
        eprintln!("golden: {network} in crates/{folder}");
        let mut script = Command::new(&python);
        script.arg("-B").arg(root.join("crates").join(folder).join("make.py")).arg(&file);
        process::run(&mut script)?;
    }
    Ok(())
}
