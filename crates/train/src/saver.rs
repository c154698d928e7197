//! Writes checkpoints while training goes on.
//!
//! Invariant: checkpoints are written one at a time and in order, and none is left half written by a saver that is dropped.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::Result;
use crate::checkpoint::{Checkpoint, Keep};

/// Writes into one directory of checkpoints.
#[derive(Debug)]
pub(crate) struct Saver {
    dir: PathBuf,
    /// The checkpoint that is being written, by its step.
    writing: Option<(u64, JoinHandle<Result<()>>)>,
}

impl Saver {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, writing: None }
    }

    /// Starts to write a checkpoint once the one before it is written, whose step is returned.
    ///
    /// # Errors
    /// The one before it could not be written.
    pub(crate) fn start(&mut self, checkpoint: Checkpoint, keep: Keep) -> Result<Option<u64>> {
        let written = self.finish()?;
        let dir = self.dir.clone();
        let step = checkpoint.step;
        self.writing = Some((step, std::thread::spawn(move || checkpoint.save(&dir, keep))));
        Ok(written)
    }

    /// Waits until the last checkpoint is written, and returns its step; `None` if that was known before.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn finish(&mut self) -> Result<Option<u64>> {
        let Some((step, thread)) = self.writing.take() else { return Ok(None) };
        match thread.join() {
            Ok(saved) => saved.map(|()| Some(step)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        if let Some((_, thread)) = self.writing.take() {
            // Whoever drops it before the end has another error to report.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use mutualnet_core::Weights;

    use super::*;

    const KEEP: Keep = Keep { newest: 2, for_good: false };

    fn checkpoint(step: u64) -> Checkpoint {
        Checkpoint { step, n_non_finite: 0, parts: BTreeMap::from([("weights".to_owned(), Weights::new())]) }
    }

    #[test]
    fn each_one_is_told_once_when_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut saver = Saver::new(dir.path().to_owned());
        assert_eq!(saver.finish().unwrap(), None);
        assert_eq!(saver.start(checkpoint(5), KEEP).unwrap(), None);
        assert_eq!(saver.start(checkpoint(9), KEEP).unwrap(), Some(5));
        assert!(dir.path().join("5").exists());
        assert_eq!(saver.finish().unwrap(), Some(9));
        assert_eq!(saver.finish().unwrap(), None);
        saver.start(checkpoint(12), KEEP).unwrap();
        drop(saver);
        assert!(dir.path().join("12").exists());
    }

    #[test]
    fn one_that_cannot_be_written_is_an_error_of_the_next_call() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let mut saver = Saver::new(dir.path().join("file"));
        assert_eq!(saver.start(checkpoint(5), KEEP).unwrap(), None);
        let error = saver.start(checkpoint(9), KEEP).unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
    }
}
