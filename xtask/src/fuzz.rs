//! `fuzz`: runs every fuzz target for some time or some number of inputs, starting from the committed seeds; one target per
//! core at a time.
//!
//! Separate because it installs its own tool and rebuilds everything.
//! Invariant: what it finds and learns is written below `target/`, never into the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{process, setup};

const TARGETS: [&str; 10] =
    ["decode", "archive", "arrow", "parquet", "pack", "frames", "coco", "checkpoint", "bundle", RECIPE];
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
        process::run(&mut cargo_fuzz_on(root, &tools, "build", target)?)?;
    }
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = run_target(root, &tools, target, &until) {
                next.store(TARGETS.len(), Ordering::Relaxed);
                failed.lock().expect("no thread panics").get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    match failed.into_inner().expect("no thread panics") {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Runs one target. What it prints is shown if it fails: others run at the same time.
fn run_target(root: &Path, tools: &Path, target: &str, until: &Until<'_>) -> Result<()> {
    let (learned, limit) = match until {
        Until::Seconds(seconds) => ("corpus", vec![format!("-max_total_time={seconds}")]),
        Until::Runs(runs) => ("corpus_of_test", vec![format!("-runs={runs}"), "-seed=1".to_owned()]),
    };
    let learned = root.join("target/fuzz").join(learned).join(target);
    let mut fuzz = cargo_fuzz_on(root, tools, "run", target)?;
    if let Until::Runs(_) = until {
        fuzz.env("FUZZ_CAUGHT_PANICS", "allow");
        if learned.exists() {
            fs::remove_dir_all(&learned).with_context(|| format!("cannot empty {}", learned.display()))?;
        }
    }
    fs::create_dir_all(&learned).with_context(|| format!("cannot create {}", learned.display()))?;
    fuzz.arg(&learned).arg(root.join("fuzz/seeds").join(target));
    fuzz.arg("--").args(limit).args(["-timeout=20", "-rss_limit_mb=4096"]);
    fuzz.args(["-max_len=8192", "-print_final_stats=1", "-close_fd_mask=1"]);
    fuzz.arg(format!("-artifact_prefix={}/", root.join("target/fuzz").display()));
    eprintln!("fuzz: {target}");
    let begun = Instant::now();
    process::output(&mut fuzz).with_context(|| {
        format!("fuzz target `{target}` failed; the path of the input, in target/fuzz, is printed below")
    })?;
    eprintln!("fuzz: {target} passed in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// `cargo fuzz COMMAND TARGET`.
fn cargo_fuzz_on(root: &Path, tools: &Path, command: &str, target: &str) -> Result<Command> {
    let mut fuzz = Command::new(tools.join("cargo-fuzz"));
    // The instrumentation is an unstable flag of the compiler; the sanitizers, which need another one, are left out.
    fuzz.env("RUSTC_BOOTSTRAP", "1").current_dir(root);
    fuzz.args(["fuzz", command, target, "--sanitizer", "none", "--target-dir", "target/fuzz"]);
    if target == RECIPE {
        setup::ensure(root)?;
        fuzz.args(["--features", RECIPE]).env("LD_LIBRARY_PATH", setup::libtorch(root)?.join("lib"));
    }
    Ok(fuzz)
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
