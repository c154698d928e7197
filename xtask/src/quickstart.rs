//! `quickstart`: from an empty checkout to one image predicted under three budgets, in minutes on two cores.
//!
//! Separate from the product because it uses it exactly as a user would: the binary, its flags, its JSON.
//! Invariant: what quickstart promises is checked, and a broken promise is an error.

mod promises;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{process, product};
use promises::Seen;

/// Everything is below one directory, relative to the root, so that deleting it starts over.
const HOME: &str = "runs/quickstart";
const DATA: &str = "runs/quickstart/data";
const RUN: &str = "runs/quickstart/run";
const BUNDLE: &str = "runs/quickstart/run/model.mnb";
const RECIPE: &str = "recipes/quickstart.toml";

/// The built product, run from the workspace root so that its commands can be repeated by hand.
struct Product<'a> {
    binary: PathBuf,
    root: &'a Path,
}

impl Product<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(self.root).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Result<()> {
        process::run(&mut self.command(args))
    }
}

/// Runs every step; an interrupted run continues where it stopped.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mutualnet = Product { binary: product::build(root)?, root };
    fs::create_dir_all(root.join(HOME))?;
    let start = Instant::now();
    make_data(&mutualnet)?;
    say("Training one network for all widths and resolutions");
    mutualnet.run(&["train", RECIPE, &format!("data.path={DATA}"), "--out", RUN, "--resume"])?;
    say("Tabulating: calibrating, evaluating and timing every row");
    mutualnet.run(&["tabulate", RUN])?;
    let seen = Seen::parse(&process::output(&mut mutualnet.command(&["table", RUN, "--all", "--json"]))?)?;
    predict(&mutualnet, &seen)?;
    say("The rows worth choosing: no other row is as accurate for fewer MACs");
    mutualnet.run(&["table", RUN])?;
    println!("\nThis took {:.1} minutes after the build.", start.elapsed().as_secs_f64() / 60.0);
    println!("Open {RUN}/report.html in a browser; the bundle is {BUNDLE}.");
    let broken = seen.broken_promises();
    if !broken.is_empty() {
        bail!("quickstart broke a promise: {}", broken.join("; "));
    }
    Ok(())
}

fn say(what: &str) {
    eprintln!("\n== {what}");
}

fn make_data(mutualnet: &Product<'_>) -> Result<()> {
    let data = mutualnet.root.join(DATA);
    if data.exists() {
        return Ok(());
    }
    say("Generating a data set of shapes");
    let partial = format!("{DATA}.partial");
    let partial_path = mutualnet.root.join(&partial);
    if partial_path.exists() {
        fs::remove_dir_all(&partial_path)?;
    }
    mutualnet.run(&["data", "make", "shapes", &partial])?;
    fs::rename(&partial_path, &data).context("cannot move the finished data set to its place")
}

/// Shows the command's own output, which is what a user sees.
fn predict(mutualnet: &Product<'_>, seen: &Seen) -> Result<()> {
    let image = held_out_image(mutualnet.root)?;
    say("Predicting one held-out image under three budgets");
    for budget in seen.budgets() {
        mutualnet.run(&["predict", BUNDLE, &image, "--budget", &budget])?;
    }
    Ok(())
}

/// The first test image of the first class, relative to the root.
fn held_out_image(root: &Path) -> Result<String> {
    let class = first_in(root, &format!("{DATA}/test"))?;
    first_in(root, &class)
}

fn first_in(root: &Path, dir: &str) -> Result<String> {
    let entries = fs::read_dir(root.join(dir)).with_context(|| format!("cannot read {dir}"))?;
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    names.sort();
    let first = names.first().with_context(|| format!("{dir} is empty"))?;
    Ok(format!("{dir}/{}", first.to_string_lossy()))
}
