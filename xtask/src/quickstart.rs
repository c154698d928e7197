//! `quickstart`: from nothing to one image predicted under three budgets, in minutes on two cores.
//!
//! Separate from the product because it uses it exactly as a user would: the binary, its flags, its JSON.
//! Invariant: what it promises is checked; a promise not kept is a failure, in plain words.

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{process, product};
use table::Table;

/// Where everything lies, below one directory, so that deleting that one starts anew.
struct Places {
    home: PathBuf,
    data: PathBuf,
    run: PathBuf,
    bundle: PathBuf,
}

/// Does the whole way; an interrupted run goes on where it stopped.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mutualnet = product::build(root)?;
    let home = root.join("runs/quickstart");
    let run = home.join("run");
    let places = Places { data: home.join("data"), bundle: run.join("model.mnb"), run, home };
    fs::create_dir_all(&places.home)?;
    let start = Instant::now();
    make_data(&mutualnet, &places)?;
    train(root, &mutualnet, &places)?;
    say("Tabulating: calibrating, measuring and timing every configuration");
    process::run(Command::new(&mutualnet).arg("tabulate").arg(&places.run))?;
    let printed =
        process::output(Command::new(&mutualnet).arg("table").arg(&places.run).args(["--all", "--json"]))?;
    let table = Table::parse(&printed)?;
    predict(&mutualnet, &places, &table)?;
    say("What was seen");
    println!("{}", table.told());
    println!("All this took {:.1} minutes after the build.", start.elapsed().as_secs_f64() / 60.0);
    println!("Table, plots and report: {}; the bundle: {}", places.run.display(), places.bundle.display());
    let broken = table.broken_promises();
    if !broken.is_empty() {
        bail!("quickstart did not keep what it promises: {}", broken.join("; "));
    }
    Ok(())
}

fn say(what: &str) {
    eprintln!("\n== {what}");
}

fn make_data(mutualnet: &Path, places: &Places) -> Result<()> {
    if places.data.exists() {
        return Ok(());
    }
    say("Making a data set of generated shapes");
    let partial = places.home.join("data.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    process::run(Command::new(mutualnet).args(["data", "make", "shapes"]).arg(&partial))?;
    fs::rename(&partial, &places.data).context("cannot move the finished data set to its place")
}

fn train(root: &Path, mutualnet: &Path, places: &Places) -> Result<()> {
    say("Training one network for all widths and resolutions");
    let mut train = Command::new(mutualnet);
    train.current_dir(root).args(["train", "recipes/quickstart.toml", "--out"]).arg(&places.run);
    if places.run.exists() {
        train.arg("--resume");
    }
    process::run(&mut train)
}

/// Shows the command's own output, which is what a user will see.
fn predict(mutualnet: &Path, places: &Places, table: &Table) -> Result<()> {
    let image = held_out_image(&places.data)?;
    say(&format!("Predicting {} under three budgets", image.display()));
    for budget in table.three_budgets() {
        let mut predict = Command::new(mutualnet);
        predict.arg("predict").arg(&places.bundle).arg(&image).args(["--budget", &budget]);
        process::run(&mut predict)?;
    }
    Ok(())
}

/// The first image of the first class that was not trained on.
fn held_out_image(data: &Path) -> Result<PathBuf> {
    let first_in = |dir: &Path| -> Result<PathBuf> {
        let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.sort();
        paths.into_iter().next().with_context(|| format!("{} is empty", dir.display()))
    };
    first_in(&first_in(&data.join("test"))?)
}
