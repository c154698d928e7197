//! `onnx`: runs exported rows in onnxruntime and compares the outputs with our runtime's.
//!
//! Separate from the tests, which need no Python: the other programs come from PyPI, into an environment of their own.
//! Invariant: one Python script does the comparison; this file only prepares what it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::peers;
use crate::{networks, process, product};

/// Rows of each network, the full width among them.
const ROWS: &str = "10";

/// Compares rows of the named networks, or of all.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    let python = peers::small_python("onnx", &["numpy", "onnxruntime", "safetensors"])?;
    let all: Vec<Value> = serde_json::from_str(&networks::facts(root, &[])?)?;
    // An ONNX file reads one image, and has one list.
    let all = all.iter().filter(|network| network["frames"].is_null() && network["lists"] == 1);
    let all: Vec<_> = all.filter_map(|network| network["name"].as_str()).collect();
    let names = if names.is_empty() { &all } else { names };
    let mut compare = Command::new(python);
    compare.arg("-B").arg(root.join("bench/peers/exported_rows.py")).arg(build(root)?).arg(ROWS).args(names);
    process::run(&mut compare)
}

/// Builds the example that writes rows. It needs no libtorch, and nothing is timed.
fn build(root: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--package", "mutualnet-export", "--example", "exported_rows"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = process::output_showing_stderr(&mut cargo)?;
    product::executable(&messages).context("cargo succeeded but reported no example")
}
