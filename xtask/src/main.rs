//! `cargo xtask <task>`: everything about this repository that is not the product itself.
//!
//! Separate from the product so that set-up works on a machine that has nothing yet:
//! this crate must never need libtorch, directly or through another crate of the workspace.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task's whole job is to print")]

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

  quickstart            set up, then the whole way: data, train, tabulate, predict under three budgets
  setup [--cuda]        put libtorch under .libtorch/ (--cuda: with its GPU half)
  test [ARGS]           set up, run every test (ARGS: the test runner's, in place of --workspace)
  ci [STEP...]          test, fmt, clippy, tidy, docs; or only the steps named
  tidy [--binary]       the rules of the house (--binary: look into the built deploy binary too)
  bench train [--json]  ours against the authors' code and tuned PyTorch, interleaved
  bench data [--json]   our data path against torchvision's and the authors', interleaved
  fuzz [--seconds N | --runs N]
                        what reads given files, fed with anything: each target for so long (60), or with so
                        many inputs, which is what continuous integration does
  compat [PART...]      our checkpoints and logits against the authors' code, torchvision and timm
  experiment cifar-methods [KEY=VALUE...]
                        every method on CIFAR-10, three seeds, compared at equal MACs; hours, resumable
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
