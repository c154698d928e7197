//! The run directory: where everything that a run leaves behind lies.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A run directory.
#[derive(Debug, Clone)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Names a directory; nothing is read or made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The plan: recipe and what follows from it and the data.
    pub fn plan(&self) -> PathBuf {
        self.0.join("plan.toml")
    }

    /// One event per line.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// One directory per checkpoint, named by the number of steps done.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// The query table.
    pub fn table(&self) -> PathBuf {
        self.0.join("table.json")
    }

    /// The page to look at.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// Accuracy over a cost (`macs`, `latency`), as a picture.
    pub fn plot(&self, cost: &str) -> PathBuf {
        self.0.join(format!("accuracy_over_{cost}.svg"))
    }

    /// The bundle.
    pub fn bundle(&self) -> PathBuf {
        self.0.join("model.mnb")
    }

    /// Makes the directory for a new run.
    ///
    /// # Errors
    /// It cannot be made, or holds a run already.
    pub(crate) fn create(&self) -> Result<()> {
        if self.plan().exists() {
            return Err(Error::RunExists { path: self.0.clone() });
        }
        fs::create_dir_all(self.checkpoints()).map_err(|source| Error::write(&self.0, source))
    }
}

/// Writes a file so that it is there whole or not at all: beside, synced, renamed.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| Error::write(path, source))
}
