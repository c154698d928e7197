//! `experiment`: trains the arms of a study with several seeds and writes its results to `docs/results`.
//!
//! Separate because it takes hours: every finished training leaves a summary, which is committed, and a study that is
//! started again goes on with what is missing.
//! Invariant: curves and tables over MACs are those of `mutualnet compare`.

mod data;
mod finished;
mod page;
mod results;
mod studies;
mod study;
mod summary;
mod trainings;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::product;
use study::Study;

const USAGE: &str = "\
usage: cargo xtask experiment STUDY [--jobs N | --report] [KEY=VALUE...]

studies: cifar-methods, clips, full-width, quickstart-seeds, scenes, segment
  --jobs N   Trainings at a time, each on one core (default: one per core)
  --report   Train nothing; write the results of the trainings that are finished
";

/// What to do besides reading summaries.
enum Work {
    /// Train what is missing, this many at a time.
    Train(usize),
    Report,
}

/// Trains what is missing and writes the results.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let [name, args @ ..] = args else { bail!("{USAGE}") };
    let Some(study) = studies::named(name) else { bail!("unknown study `{name}`\n\n{USAGE}") };
    let (work, overrides) = parse(args)?;
    let study = Study { overrides, ..study };
    let binary = product::build(root)?;
    if let Work::Train(at_a_time) = work {
        let data = study.data.find(root, &binary)?;
        trainings::run_all(root, &binary, &study, &data, at_a_time)?;
    }
    results::write(root, &binary, &study)
}

fn parse(args: &[&str]) -> Result<(Work, Vec<String>)> {
    let (work, overrides) = match args {
        ["--report", rest @ ..] => (Work::Report, rest),
        ["--jobs", n, rest @ ..] => {
            let n = n.parse().ok().filter(|&n| n > 0);
            (Work::Train(n.context("--jobs needs a number of at least 1")?), rest)
        }
        rest => (Work::Train(std::thread::available_parallelism().map_or(1, usize::from)), rest),
    };
    if let Some(other) = overrides.iter().find(|arg| !arg.contains('=')) {
        bail!("`{other}` is not a KEY=VALUE\n\n{USAGE}");
    }
    Ok((work, overrides.iter().map(|&key| key.to_owned()).collect()))
}
