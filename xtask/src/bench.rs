//! `bench`: compares our programs with those of others in one interleaved run.
//!
//! The benchmarks inside the product know nothing about the other programs (the peers), so this is separate from them.
//! Invariant: peers live outside the repository, and all programs of a run do the same work in each round.

mod data;
mod interleave;
pub(crate) mod peers;
mod train;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Runs a benchmark and prints its table to stdout; with `--json`, one JSON object follows.
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

/// The result of a benchmark, with the same numbers for people and for programs.
struct Report {
    table: String,
    json: serde_json::Value,
}

/// The name of the processor, according to the system.
fn processor() -> String {
    let script = "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2";
    let printed = process::output(Command::new("sh").args(["-c", script])).unwrap_or_default();
    match printed.trim() {
        "" => "unknown processor".to_owned(),
        name => name.to_owned(),
    }
}
