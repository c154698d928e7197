//! `cargo xtask <task>`: everything about this repository that is not the product itself.
//!
//! Separate from the product so that set-up works on a machine that has nothing yet:
//! this crate must never need libtorch, directly or through another crate of the workspace.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task's whole job is to print")]

mod process;
mod setup;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <task>

  setup [--cuda]        put libtorch under .libtorch/ (--cuda: with its GPU half)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<ExitCode> {
    let root = process::workspace_root();
    match args {
        ["setup"] => setup::run(&root, setup::Variant::Cpu)?,
        ["setup", "--cuda"] => setup::run(&root, setup::Variant::Cuda)?,
        [] | ["help" | "--help" | "-h"] => print!("{USAGE}"),
        other => bail!("unknown task `{}`\n\n{USAGE}", other.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}
