//! `fuzz`: runs every fuzz target for some time or for a number of inputs, starting from the seeds in the repository.
//!
//! It installs its own tool and builds everything separately.
//! Invariant: what it finds and learns is written below `target/`, never elsewhere in the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

const TARGETS: [&str; 5] = ["decode", "archive", "arrow", "parquet", "pack"];
const USAGE: &str = "usage: cargo xtask fuzz [--seconds N | --runs N]";

/// How long a target runs.
enum Until<'a> {
    /// A search of N seconds, which continues from what earlier searches learned and uses different inputs each time.
    Seconds(&'a str),
    /// A test of N inputs that starts from the seeds only. It fails only for problems that users would notice.
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
        // The instrumentation is an unstable flag of the compiler. The sanitizers need another one and are left out.
        fuzz.env("RUSTC_BOOTSTRAP", "1").current_dir(root);
        fuzz.args(["fuzz", "run", target, "--sanitizer", "none", "--target-dir", "target/fuzz"]);
        fuzz.arg(&learned).arg(root.join("fuzz/seeds").join(target));
        fuzz.arg("--").args(limit).args(["-timeout=20", "-rss_limit_mb=4096"]);
        fuzz.args(["-max_len=8192", "-print_final_stats=1", "-close_fd_mask=1"]);
        fuzz.arg(format!("-artifact_prefix={}/", root.join("target/fuzz").display()));
        process::run(&mut fuzz).with_context(|| {
            format!("fuzz target `{target}` found a failing input; its file in target/fuzz is named above")
        })?;
    }
    Ok(())
}

/// The directory of `cargo-fuzz`, which is installed below `target/` if it is missing.
fn cargo_fuzz(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        let mut install = Command::new(env!("CARGO"));
        install.args(["install", "cargo-fuzz", "--version", "^0.13", "--locked", "--root"]).arg(&tools);
        process::run(install.stdout(process::to_stderr()))?;
    }
    Ok(tools.join("bin"))
}
