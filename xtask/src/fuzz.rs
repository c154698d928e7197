//! `fuzz`: every fuzz target for a while, from the seeds that the tree keeps.
//!
//! Separate because it brings its own tool and builds everything anew.
//! Invariant: what it finds and learns lies below `target/`, never in the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

const TARGETS: [&str; 4] = ["decode", "archive", "arrow", "pack"];
const DEFAULT_SECONDS: &str = "60";

/// Runs all targets for so many seconds each.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let seconds = match args {
        [] => DEFAULT_SECONDS,
        ["--seconds", seconds] if seconds.parse::<u32>().is_ok() => seconds,
        _ => bail!("usage: cargo xtask fuzz [--seconds N]"),
    };
    let tools = cargo_fuzz(root)?;
    for target in TARGETS {
        let learned = root.join("target/fuzz/corpus").join(target);
        fs::create_dir_all(&learned).with_context(|| format!("cannot make {}", learned.display()))?;
        let mut fuzz = Command::new(tools.join("cargo-fuzz"));
        // The instrumentation is an unstable flag of the compiler; the sanitizers, which need another one, are left out.
        fuzz.env("RUSTC_BOOTSTRAP", "1").current_dir(root);
        fuzz.args(["fuzz", "run", target, "--sanitizer", "none", "--target-dir", "target/fuzz"]);
        fuzz.arg(&learned).arg(root.join("fuzz/seeds").join(target));
        fuzz.args(["--", &format!("-max_total_time={seconds}"), "-timeout=20", "-rss_limit_mb=4096"]);
        fuzz.args(["-max_len=8192", "-print_final_stats=1", "-close_fd_mask=1"]);
        fuzz.arg(format!("-artifact_prefix={}/", root.join("target/fuzz").display()));
        process::run(&mut fuzz).with_context(|| {
            format!("fuzz target `{target}` found something: its input lies in target/fuzz, named above")
        })?;
    }
    Ok(())
}

/// Where `cargo-fuzz` is: installed below `target/` when it is not there.
fn cargo_fuzz(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        let mut install = Command::new(env!("CARGO"));
        install.args(["install", "cargo-fuzz", "--version", "^0.13", "--locked", "--root"]).arg(&tools);
        process::run(install.stdout(process::to_stderr()))?;
    }
    Ok(tools.join("bin"))
}
