//! `test` and `ci`: the checks that must pass before a change goes in.
//!
//! Both in one place because `test` is the first step of `ci`; the CI script runs the same steps.
//! Invariant: a failing step does not hide later ones; the names of all failed steps are printed at the end.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{process, setup, tidy};

/// Runs setup, then every test of the workspace, or those that `selection` (arguments of the runner) selects.
pub(crate) fn test(root: &Path, selection: &[&str]) -> Result<()> {
    setup::ensure(root)?;
    let mut runner = process::cargo(root);
    if process::is_installed("cargo-nextest", &["nextest", "--version"]) {
        runner.args(["nextest", "run", "--no-tests=pass"]);
    } else {
        runner.args(["test", "--no-fail-fast"]);
        if selection.is_empty() {
            runner.args(["--lib", "--bins", "--tests"]);
        }
    }
    if !selection.is_empty() {
        return process::run(runner.args(selection));
    }
    let code = process::run(runner.arg("--workspace"));
    // With single packages, features differ from those above, and much would be compiled again.
    process::run(process::cargo(root).args(["test", "--quiet", "--doc", "--workspace"])).and(code)
}

/// Runs the given steps, or all of them: `test fmt clippy tidy docs`.
pub(crate) fn ci(root: &Path, chosen: &[&str]) -> Result<ExitCode> {
    setup::ensure(root)?;
    let mut failed = vec![];
    for (name, step) in STEPS {
        if !chosen.is_empty() && !chosen.contains(name) {
            continue;
        }
        eprintln!("== {name}");
        if let Err(error) = step(root) {
            eprintln!("error: {error:#}");
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        eprintln!("ci: all steps passed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("ci: failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

type Step = fn(&Path) -> Result<()>;

const STEPS: &[(&str, Step)] =
    &[("test", test_all), ("fmt", format), ("clippy", clippy), ("tidy", tidy_deep), ("docs", docs)];

fn test_all(root: &Path) -> Result<()> {
    test(root, &[])
}

fn format(root: &Path) -> Result<()> {
    process::run(process::cargo(root).args(["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> Result<()> {
    let deny = ["--", "--deny", "warnings"];
    let workspace = ["clippy", "--workspace", "--all-targets"];
    process::run(process::cargo(root).args(workspace).args(deny))?;
    let deploy = ["clippy", "--package", "mutualnet-cli", "--no-default-features"];
    process::run(process::cargo(root).args(deploy).args(deny))
}

fn tidy_deep(root: &Path) -> Result<()> {
    anyhow::ensure!(tidy::run(root, tidy::Depth::Binary)?, "tidy has findings");
    Ok(())
}

fn docs(root: &Path) -> Result<()> {
    let mut doc: Command = process::cargo(root);
    doc.env("RUSTDOCFLAGS", "--deny warnings");
    process::run(doc.args(["doc", "--no-deps", "--workspace"]))
}
