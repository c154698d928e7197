//! `bench`: our programs against those of others, in one interleaved run.
//!
//! Separate from the benchmarks inside the product: those know nothing of peers.
//! Invariant: peers live outside the tree, and all programs of a run do the same work in each round.

mod data;
mod interleave;
pub(crate) mod peers;
mod train;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Runs the benchmark `name`; the table goes to stdout, with `--json` followed by one JSON object.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| **flag != "--json") {
        bail!("unknown option `{unknown}` of bench");
    }
    let report = match names[..] {
        ["train"] => train::run(root)?,
        ["data"] => data::run(root)?,
        _ => bail!("usage: cargo xtask bench train|data [--json]"),
    };
    print!("{}", report.table);
    if flags.contains(&"--json") {
        println!("{}", report.json);
    }
    Ok(())
}

/// What a benchmark hands back: the same numbers for a person and for a machine.
struct Report {
    table: String,
    json: serde_json::Value,
}

/// The processor's name as the system gives it.
fn processor() -> String {
    let script = "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2";
    let printed = process::output(Command::new("sh").args(["-c", script])).unwrap_or_default();
    match printed.trim() {
        "" => "unknown processor".to_owned(),
        name => name.to_owned(),
    }
}
