//! `experiment`: trains one network with every method and several seeds, and compares the results.
//!
//! Separate because it takes hours: when the task is started again, finished runs are skipped and others resumed.
//! Invariant: the numbers are those of `mutualnet compare`; nothing is computed here.

mod data;
mod jobs;
mod page;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{process, product};
use jobs::Job;

/// Parent of all runs, with one directory per set of overrides; deleting it starts over.
const HOME: &str = "runs/experiments/cifar-methods";
const RECIPE: &str = "recipes/cifar10_methods.toml";
const RESULTS: &str = "docs/results/cifar10-methods";
const SEEDS: [u64; 3] = [1, 2, 3];
/// The networks of `independent`: what a product team would train without this project.
const CONFIGURATIONS: [&str; 4] = ["1.0-32", "0.75-28", "0.5-24", "0.25-20"];

/// A curve of the comparison; its table combines one or more runs per seed.
struct Series {
    name: &'static str,
    /// Overrides of the recipe, one list per run.
    runs: Vec<Vec<String>>,
}

/// The methods in the order of the table; the others are compared with the first.
fn series() -> Vec<Series> {
    let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
    let one = |name, overrides: &[&str]| Series { name, runs: vec![keys(overrides)] };
    let alone = |at: &&str| keys(&["train.method=independent", &format!("train.subnet={at}")]);
    vec![
        one("us", &["train.method=us"]),
        one("us-multi-scale", &["train.method=us-multi-scale"]),
        one("mutual", &["train.method=mutual"]),
        Series { name: "independent", runs: CONFIGURATIONS.iter().map(alone).collect() },
        one("plain", &["train.method=plain"]),
        one("multi-scale", &["train.method=multi-scale"]),
        one("mutual-ensemble", ENSEMBLE),
    ]
}

/// The best of seven combinations of switches (docs/methods.md), selected with a seed of its own: one student fewer
/// per step, so that the full network's own gradient weighs more, and a teacher that averages over resolutions.
const ENSEMBLE: &[&str] = &["train.method=mutual", "train.teacher=ensemble", "train.random_subnets=1"];

/// Trains, tabulates and compares; continues where an earlier call stopped.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let overrides: Vec<String> = match args {
        ["cifar-methods", overrides @ ..] if overrides.iter().all(|arg| arg.contains('=')) => {
            overrides.iter().map(|&arg| arg.to_owned()).collect()
        }
        _ => bail!("usage: cargo xtask experiment cifar-methods [KEY=VALUE…]"),
    };
    let data = data::cifar10(root)?;
    let binary = product::build(root)?;
    let all = series();
    let mut runs = Vec::new();
    for one in &all {
        for seed in SEEDS {
            for (idx, keys) in one.runs.iter().enumerate() {
                let mut keys = keys.clone();
                keys.extend([format!("seed={seed}"), format!("data.path={}", data.display())]);
                keys.extend(overrides.iter().cloned());
                runs.push(Job { dir: run_dir(one.name, seed, idx, &overrides), keys });
            }
        }
    }
    jobs::run_all(root, &binary, RECIPE, &runs)?;
    compare(root, &binary, &all, &overrides)
}

fn run_dir(name: &str, seed: u64, idx: usize, overrides: &[String]) -> PathBuf {
    let plain = |text: &str| text.replace(|c: char| !(c.is_alphanumeric() || "._=-".contains(c)), "_");
    let set = if overrides.is_empty() { "as-shipped".to_owned() } else { plain(&overrides.join("_")) };
    PathBuf::from(HOME).join(set).join(format!("{name}-{seed}-{idx}"))
}

/// Writes the results under `docs/results`.
fn compare(root: &Path, binary: &Path, all: &[Series], overrides: &[String]) -> Result<()> {
    let tables = |one: &Series| {
        let seed = |seed| {
            let dirs = (0..one.runs.len()).map(|idx| run_dir(one.name, seed, idx, overrides));
            let runs = dirs.map(|dir| dir.display().to_string());
            runs.collect::<Vec<_>>().join("+")
        };
        format!("{}={}", one.name, SEEDS.map(seed).join(","))
    };
    let compare = |options: &[&str]| {
        let mut command = process::command(binary, root);
        process::output(command.arg("compare").args(all.iter().map(tables)).args(options))
    };
    let json = compare(&["--json", "--plot", &format!("{RESULTS}.svg")])?;
    let plan = fs::read_to_string(root.join(run_dir("mutual", SEEDS[0], 0, overrides)).join("plan.toml"))?;
    let page = page::markdown(&compare(&["--markdown"])?, &plan, overrides)?;
    for (ending, text) in [("json", &json), ("md", &page)] {
        let path = root.join(format!("{RESULTS}.{ending}"));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{page}");
    eprintln!("written: {RESULTS}.md, .json, .svg");
    Ok(())
}
