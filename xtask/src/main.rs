//! `cargo xtask <task>`: everything about this repository that is not the product itself.
//!
//! It is separate from the product so that setup works on a machine that has nothing yet. This crate must therefore never
//! need libtorch, directly or through another crate of the workspace.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tasks report by printing")]

mod bench;
mod check;
mod compat;
mod experiment;
mod fuzz;
mod process;
mod product;
mod quickstart;
mod setup;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <task>

  quickstart            set up, make data, train, tabulate, and predict under three budgets
  setup [--cuda]        install libtorch into .libtorch/ (--cuda: with GPU support)
  test [ARGS]           set up and run every test (ARGS: passed to the test runner instead of --workspace)
  ci [STEP...]          run the steps test, fmt, clippy, tidy and docs, or only those named
  tidy [--binary]       check the house rules (--binary: check the built deploy binary too)
  bench train [--json]  compare our training step with the authors' code and a tuned PyTorch, interleaved
  bench data [--json]   compare our data path with torchvision's and the authors', interleaved
  fuzz [--seconds N | --runs N]
                        fuzz the parsers of untrusted files: each target for N seconds (default 60), or with
                        N inputs, as continuous integration does
  compat [PART...]      compare our checkpoints and logits with the authors' code, torchvision and timm
  experiment cifar-methods [KEY=VALUE...]
                        compare every method on CIFAR-10 at equal MACs, with three seeds; takes hours,
                        can be resumed
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
        ["test", selection @ ..] => check::test(&root, selection)?,
        ["ci", steps @ ..] => return check::ci(&root, steps),
        ["tidy"] => return tidy_code(tidy::run(&root, tidy::Depth::Graph)?),
        ["tidy", "--binary"] => return tidy_code(tidy::run(&root, tidy::Depth::Binary)?),
        ["quickstart"] => quickstart::run(&root)?,
        ["experiment", args @ ..] => experiment::run(&root, args)?,
        ["bench", args @ ..] => bench::run(&root, args)?,
        ["fuzz", args @ ..] => fuzz::run(&root, args)?,
        ["compat", parts @ ..] => compat::run(&root, parts)?,
        [] | ["help" | "--help" | "-h"] => print!("{USAGE}"),
        other => bail!("unknown task `{}`\n\n{USAGE}", other.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}

fn tidy_code(is_clean: bool) -> Result<ExitCode> {
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
