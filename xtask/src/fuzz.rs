//! `fuzz`: runs every fuzz target for some time or some number of inputs, starting from the committed seeds.
//!
//! Separate because it installs its own tool and rebuilds everything.
//! Invariant: what it finds and learns is written below `target/`, never into the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, setup};

const TARGETS: [&str; 9] =
    ["decode", "archive", "arrow", "parquet", "pack", "coco", "checkpoint", "bundle", RECIPE];
/// The target that links libtorch, behind a feature of its name.
const RECIPE: &str = "recipe";
const USAGE: &str = "usage: cargo xtask fuzz [--seconds N | --runs N]";

/// When a target has run enough.
enum Until<'a> {
    /// A search for N seconds, which continues from what earlier searches learned.
    Seconds(&'a str),
    /// A reproducible test with N inputs, from the seeds alone; it fails only for what a user would see.
    Runs(&'a str),
}

/// Runs all targets.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let until = match args {
        [] => Until::Seconds("60"),
        ["--seconds", seconds] if seconds.parse::<u32>().is_ok() => Until::Seconds(seconds),
        ["--runs", runs] if runs.parse::<u32>().is_ok() => Until::Runs(runs),
        _ => bail!(USAGE),
    };
    let tools = cargo_fuzz(root)?;
    for target in TARGETS {
        let (learned, limit) = match until {
            Until::Seconds(seconds) => ("corpus", vec![format!("-max_total_time={seconds}")]),
            Until::Runs(runs) => ("corpus_of_test", vec![format!("-runs={runs}"), "-seed=1".to_owned()]),
        };
        let learned = root.join("target/fuzz").join(learned).join(target);
        let mut fuzz = Command::new(tools.join("cargo-fuzz"));
        if let Until::Runs(_) = until {
            fuzz.env("FUZZ_CAUGHT_PANICS", "allow");
            if learned.exists() {
                fs::remove_dir_all(&learned)
                    .with_context(|| format!("cannot empty {}", learned.display()))?;
            }
        }
        fs::create_dir_all(&learned).with_context(|| format!("cannot create {}", learned.display()))?;
        // The instrumentation is an unstable flag of the compiler; the sanitizers, which need another one, are left out.
        fuzz.env("RUSTC_BOOTSTRAP", "1").current_dir(root);
        fuzz.args(["fuzz", "run", target, "--sanitizer", "none", "--target-dir", "target/fuzz"]);
        if target == RECIPE {
            setup::ensure(root)?;
            fuzz.args(["--features", RECIPE]).env("LD_LIBRARY_PATH", setup::libtorch(root)?.join("lib"));
        }
        fuzz.arg(&learned).arg(root.join("fuzz/seeds").join(target));
        fuzz.arg("--").args(limit).args(["-timeout=20", "-rss_limit_mb=4096"]);
        fuzz.args(["-max_len=8192", "-print_final_stats=1", "-close_fd_mask=1"]);
        fuzz.arg(format!("-artifact_prefix={}/", root.join("target/fuzz").display()));
        process::run(&mut fuzz).with_context(|| {
            format!("fuzz target `{target}` failed; the path of the input, in target/fuzz, is printed above")
        })?;
    }
    Ok(())
}

/// The folder of `cargo-fuzz`, which is installed below `target/` if necessary.
fn cargo_fuzz(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        let mut install = process::cargo(root);
        install.args(["install", "cargo-fuzz", "--version", "^0.13", "--locked", "--root"]).arg(&tools);
        process::run(install.stdout(process::to_stderr()))?;
    }
    Ok(tools.join("bin"))
}
