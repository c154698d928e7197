//! Runs many short trainings on one machine: one per core, each on one thread, so that no core waits.
//!
//! Invariant: a run that has its table is left alone; an interrupted one is resumed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process;

/// One training and its table.
pub(super) struct Job {
    /// Run directory, relative to the root.
    pub(super) dir: PathBuf,
    /// Overrides of the recipe.
    pub(super) keys: Vec<String>,
}

/// Runs the jobs that are not finished; the output of every run goes to a log file next to its directory.
pub(super) fn run_all(root: &Path, binary: &Path, recipe: &str, jobs: &[Job]) -> Result<()> {
    let open: Vec<_> = jobs.iter().filter(|job| !root.join(&job.dir).join("table.json").exists()).collect();
    eprintln!("{} runs, {} already finished", jobs.len(), jobs.len() - open.len());
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failure = Mutex::new(None);
    let start = Instant::now();
    let work = || {
        while let Some(job) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = run(root, binary, recipe, job) {
                next.store(open.len(), Ordering::Relaxed);
                failure.lock().expect("no job panics").get_or_insert(error);
                return;
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let minutes = start.elapsed().as_secs_f64() / 60.0;
            let left = minutes / done as f64 * (open.len() - done) as f64;
            let name = job.dir.display();
            eprintln!("{done}/{} · {name} · {minutes:.0} min elapsed, about {left:.0} min left", open.len());
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    failure.into_inner().expect("no job panics").map_or(Ok(()), Err)
}

fn run(root: &Path, binary: &Path, recipe: &str, job: &Job) -> Result<()> {
    let dir = job.dir.to_string_lossy().into_owned();
    let log = root.join(format!("{dir}.log"));
    fs::create_dir_all(log.parent().expect("a run lies in a directory"))?;
    let mut keys: Vec<&str> = job.keys.iter().map(String::as_str).collect();
    keys.extend(["train.threads=1", "data.workers=1"]);
    let train = [&["train", recipe], keys.as_slice(), &["--out", &dir, "--resume"]].concat();
    for args in [train.as_slice(), &["tabulate", &dir]] {
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = process::command(binary, root);
        command.args(args).stdout(file.try_clone()?).stderr(file);
        let status = command.status().with_context(|| format!("cannot start {}", binary.display()))?;
        if !status.success() {
            bail!("`mutualnet {}` ended with {status}: see {}", args.join(" "), log.display());
        }
    }
    Ok(())
}
