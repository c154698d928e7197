//! The run directory: the path of every file that a run writes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use mutualnet_core::Metric;

use crate::checkpoint::Checkpoint;
use crate::plan::Plan;
use crate::{Error, Result};

/// A run directory.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
    step: Option<u64>,
}

impl RunDir {
    /// Names a directory; nothing is read or created.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), step: None }
    }

    /// The same run after a number of steps, to be tabulated: table, bundle and pictures then lie in `step-<steps>/`.
    pub fn at_step(&self, step: u64) -> Self {
        Self { step: Some(step), ..self.clone() }
    }

    /// The same run after the steps with which it evaluated best.
    ///
    /// # Errors
    /// It evaluated nothing while it trained, or cannot be read.
    pub fn at_best(&self) -> Result<Self> {
        Plan::read(&self.plan())?;
        match Checkpoint::best(&self.checkpoints())? {
            Some((step, _)) => Ok(self.at_step(step)),
            None => Err(Error::NoBest { path: self.path.clone() }),
        }
    }

    /// The step that is tabulated; `None` is the last one.
    pub(crate) fn step(&self) -> Option<u64> {
        self.step
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where everything that tabulating makes lies.
    pub(crate) fn tabulated(&self) -> PathBuf {
        match self.step {
            None => self.path.clone(),
            Some(step) => self.path.join(format!("step-{step}")),
        }
    }

    /// The plan: the recipe and what follows from it and the data.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.toml")
    }

    /// One event per line.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// One directory per checkpoint, named by the number of steps done.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The query table.
    pub fn table(&self) -> PathBuf {
        self.tabulated().join("table.json")
    }

    /// The report, a page for a browser.
    pub fn report(&self) -> PathBuf {
        self.tabulated().join("report.html")
    }

    /// A plot of a metric over a cost (`macs` or `latency`).
    pub fn plot(&self, metric: Metric, cost: &str) -> PathBuf {
        let metric = metric.name().replace(' ', "_");
        self.tabulated().join(format!("{metric}_over_{cost}.svg"))
    }

    /// The bundle.
    pub fn bundle(&self) -> PathBuf {
        self.tabulated().join("model.mnb")
    }

    /// Refuses a directory that holds a run already.
    pub(crate) fn check_new(&self) -> Result<()> {
        if self.plan().exists() {
            return Err(Error::RunExists { path: self.path.clone() });
        }
        Ok(())
    }

    /// Makes the directory for a new run, and locks it.
    ///
    /// # Errors
    /// It is a file, cannot be created, holds a run already, or another process makes one there.
    pub(crate) fn create(&self) -> Result<RunLock> {
        if self.path.is_file() {
            return Err(Error::RunIsFile { path: self.path.clone() });
        }
        fs::create_dir_all(self.checkpoints()).map_err(|source| Error::write(&self.path, source))?;
        let lock = self.lock()?;
        self.check_new()?;
        Ok(lock)
    }

    /// Keeps other processes from writing here until the lock is dropped, or this process ends in whatever way. Where the file
    /// system has no locks, nothing is kept away.
    ///
    /// # Errors
    /// Another process writes here, or there is no such directory.
    pub(crate) fn lock(&self) -> Result<RunLock> {
        let path = self.path.join("lock");
        let file = File::create(&path).map_err(|source| Error::write(&path, source))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: self.path.clone() }),
            Err(TryLockError::Error(source)) if source.kind() != io::ErrorKind::Unsupported => {
                Err(Error::write(&path, source))
            }
            _ => Ok(RunLock { _file: file }),
        }
    }
}

/// A lock on a run directory.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
}
