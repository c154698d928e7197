//! `bench`: times our programs against those of others, in one interleaved run.
//!
//! Separate from the benchmarks inside the product, which know nothing of other programs.
//! Invariant: other programs live outside the tree, and all programs of a run do the same work in each round.

mod clips;
pub(crate) mod coco;
mod data;
mod data_clips;
mod detect;
mod interleave;
pub(crate) mod peers;
mod processes;
mod runtime;
mod segment;
mod train;
mod versus;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Runs a benchmark and prints its table, followed by one JSON object if `--json` is given.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let (json, args): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| **arg == "--json");
    let report = match args[..] {
        ["train"] => train::run(root)?,
        ["train", "segment"] => segment::run(root)?,
        ["train", "detect"] => detect::run(root)?,
        ["train", "clips"] => clips::run(root)?,
        ["train", "processes"] => processes::run(root)?,
        ["data"] => data::run(root)?,
        ["data", "clips"] => data_clips::run(root)?,
        ["coco"] => coco::run(root)?,
        ["runtime", ref rest @ ..] => runtime::run(root, rest)?,
        _ => bail!(
            "usage: cargo xtask bench train [segment|detect|clips|processes]|data [clips]|coco|runtime [--json]; runtime also takes --quick and networks"
        ),
    };
    print!("{}", report.table);
    if !json.is_empty() {
        println!("{}", report.json);
    }
    Ok(())
}

/// The result of a benchmark: the same numbers as text and as JSON.
struct Report {
    table: String,
    json: serde_json::Value,
}

/// The name of the processor according to the system.
fn processor() -> String {
    let script = "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2";
    let printed = process::output(Command::new("sh").args(["-c", script])).unwrap_or_default();
    match printed.trim() {
        "" => "unknown processor".to_owned(),
        name => name.to_owned(),
    }
}
