//! Runs many short trainings on one machine, each on one thread.
//!
//! Invariant: a training that has its summary is left alone; an interrupted one is resumed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::data;
use super::study::{Study, Training};
use super::summary::Summary;
use crate::process;

/// What all trainings of a study have in common.
struct Place<'a> {
    root: &'a Path,
    binary: PathBuf,
    data: &'a Path,
    home: PathBuf,
    summaries: PathBuf,
}

/// Runs the trainings that have no summary yet; the output of each goes to a log file next to its directory.
pub(super) fn run_all(
    root: &Path,
    binary: &Path,
    study: &Study,
    data: &Path,
    at_a_time: usize,
) -> Result<()> {
    let runs = data::runs()?;
    let home = study.home(&runs);
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    // A copy, so that a build meanwhile does not change the program in the middle of a study.
    let place =
        Place { root, binary: home.join("mutualnet"), data, summaries: study.summaries(root, &runs), home };
    fs::copy(binary, &place.binary).with_context(|| format!("cannot write {}", place.binary.display()))?;
    let (mut open, mut n_finished) = (Vec::new(), 0);
    for training in study.trainings() {
        match Summary::find(root, &place.summaries, &training)? {
            Some(_) => n_finished += 1,
            None => open.push(training),
        }
    }
    eprintln!(
        "{} trainings in {}, {n_finished} of them finished",
        open.len() + n_finished,
        place.home.display()
    );
    work_off(&open, at_a_time, |training| run(&place, training))
}

fn work_off<'a>(
    open: &[Training<'a>],
    at_a_time: usize,
    run: impl Fn(&Training<'a>) -> Result<()> + Sync,
) -> Result<()> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failure = Mutex::new(None);
    let start = Instant::now();
    let work = || {
        while let Some(training) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = run(training) {
                next.store(open.len(), Ordering::Relaxed);
                failure.lock().expect("no training panics").get_or_insert(error);
                return;
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let minutes = start.elapsed().as_secs_f64() / 60.0;
            let left = minutes / done as f64 * (open.len() - done) as f64;
            let name = &training.name;
            eprintln!("{done}/{} · {name} · {minutes:.0} min elapsed, about {left:.0} min left", open.len());
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(work);
        }
    });
    failure.into_inner().expect("no training panics").map_or(Ok(()), Err)
}

fn run(place: &Place<'_>, training: &Training<'_>) -> Result<()> {
    let Place { root, binary, data, home, summaries } = place;
    let dir = home.join(&training.name);
    let log = home.join(format!("{}.log", training.name));
    let out = dir.to_string_lossy();
    let (seed, data) = (format!("seed={}", training.seed), format!("data.path={}", data.display()));
    let mut train = vec!["train", training.recipe];
    train.extend(training.keys.iter().copied());
    train.extend([&seed, &data, "train.threads=1", "data.workers=1", "--out", &out, "--resume"]);
    for args in [train, vec!["tabulate", &out]] {
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = process::command(binary, root);
        command.args(&args).stdout(file.try_clone()?).stderr(file);
        let status = command.status().with_context(|| format!("cannot start {}", binary.display()))?;
        if !status.success() {
            bail!("`mutualnet {}` ended with {status}: see {}", args.join(" "), log.display());
        }
    }
    Summary::of_run(root, &dir, training)?.write(summaries, &training.name)
}
