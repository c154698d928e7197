//! `cargo xtask <task>`: everything about this repository that is not the product itself.
//!
//! Separate from the product so that setup works on a bare machine: this crate must never need libtorch, directly or
//! through another crate of the workspace.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task's whole job is to print")]

mod bench;
mod check;
mod compat;
mod experiment;
mod fuzz;
mod golden;
mod networks;
mod onnx;
mod process;
mod product;
mod quickstart;
mod reference;
mod setup;
mod soak;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <task>

  quickstart            Generate data, train, tabulate, and predict under three budgets
  setup [--cuda]        Install libtorch under .libtorch/ (--cuda: with GPU support)
  test [ARGS]           Run all tests; ARGS go to the test runner in place of --workspace
  ci [STEP...]          Run test, fmt, clippy, tidy and docs, or only the given steps
  tidy [--binary]       Check the house rules (--binary: also check the deploy binary)
  reference             Write what docs take from the code: recipes and networks
  bench train [--json]  Compare our training step with the authors' code and tuned PyTorch
  bench data [--json]   Compare our data loading with torchvision's and the authors'
  bench runtime [--json] [--quick] [NETWORK...]
                        Compare our runtime with onnxruntime, OpenVINO, ncnn and PyTorch
                        (--quick: only full rows, one image, one thread)
  bench coco [--json]   Compare our evaluation of detections with pycocotools and hotcoco
  fuzz [--seconds N | --runs N]
                        Fuzz every parser of untrusted files: each target for N seconds
                        (default 60), or with N inputs, as continuous integration does
  soak [--minutes N] [--seed N] [--debug] [CASE...]
                        Kill trainings of all tasks at random instants for N minutes
                        (default 10), resume them, and check that they end in the same bits
                        (--debug: with the debug build, which the tests have already made)
  golden NETWORK...     Write what other programs say about a network, with which tests
                        compare ours
  compat [PART...]      Compare our checkpoints and logits with the authors' code,
                        torchvision and timm; `compat detectors` lets torchvision train
                        detectors, and compares what both programs find
  onnx [NETWORK...]     Run exported rows of all networks, or of the named ones, in onnxruntime
                        and compare with our runtime, as continuous integration does
  experiment STUDY [--jobs N | --report] [KEY=VALUE...]
                        Train the arms of a study with several seeds and write the results;
                        takes hours and can be resumed. Studies: cifar-methods (all methods
                        at equal MACs), full-width (what the full network gains) and
                        quickstart-seeds (how much the quickstart depends on its seed)

Tasks that need libtorch run setup first.
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
    let root = process::workspace_root()?;
    match args {
        ["setup"] => setup::run(&root, setup::Variant::Cpu)?,
        ["setup", "--cuda"] => setup::run(&root, setup::Variant::Cuda)?,
        ["test", selection @ ..] => check::test(&root, selection)?,
        ["ci", steps @ ..] => return check::ci(&root, steps),
        ["reference"] => reference::write(&root)?,
        ["tidy"] => return tidy_code(tidy::run(&root, tidy::Depth::Graph)?),
        ["tidy", "--binary"] => return tidy_code(tidy::run(&root, tidy::Depth::Binary)?),
        ["quickstart"] => quickstart::run(&root)?,
        ["experiment", args @ ..] => experiment::run(&root, args)?,
        ["bench", args @ ..] => bench::run(&root, args)?,
        ["fuzz", args @ ..] => fuzz::run(&root, args)?,
        ["soak", args @ ..] => soak::run(&root, args)?,
        ["golden", names @ ..] => golden::run(&root, names)?,
        ["compat", parts @ ..] => compat::run(&root, parts)?,
        ["onnx", names @ ..] => onnx::run(&root, names)?,
        [] | ["help" | "--help" | "-h"] => print!("{USAGE}"),
        other => bail!("unknown task `{}`\n\n{USAGE}", other.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}

fn tidy_code(is_clean: bool) -> Result<ExitCode> {
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
