//! The batches of a split, one by one: what to log while the next one is late, and which files turn out to be broken.
//!
//! Separate because training, calibration, evaluation and `plan` all read batches like this.
//! Invariant: every broken file is reported once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mutualnet_data::{Batch, Batches, BrokenFile, Dataset, HANGS_AFTER, Loader, LoaderConfig, Part};
use mutualnet_engine::Device;

use crate::Result;
use crate::events::{Event, EventLog};
use crate::pinned::PinnedMemory;
use crate::recipe::Recipe;

/// Batches made ahead of the step that needs them.
const PREFETCH: usize = 4;
/// Time between two checks of whether the run must stop.
const TICK: Duration = Duration::from_millis(200);

/// The loader of a split, set up as the recipe says, for batches that go to `device`.
pub(crate) fn loader(recipe: &Recipe, dataset: Dataset, batch_size: usize, device: Device) -> Result<Loader> {
    let config = LoaderConfig {
        batch_size,
        part: Part::default(),
        workers: recipe.data.workers,
        prefetch: PREFETCH,
        seed: recipe.seed,
        broken_limit: recipe.data.broken_limit,
    };
    let loader = Loader::new(Arc::new(dataset), config)?;
    Ok(match device {
        Device::Cpu => loader,
        Device::Cuda(_) => loader.with_memory(Arc::new(PinnedMemory)),
    })
}

/// What happens to an image whose file is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfBroken {
    /// Another image of its class takes its place: training.
    Replaced,
    /// It is left out: evaluation.
    LeftOut,
}

/// A loader and its batches.
pub(crate) struct Feed {
    loader: Loader,
    batches: Batches,
    if_broken: IfBroken,
    reported: BTreeSet<PathBuf>,
}

impl Feed {
    /// Reads `batches`, which come from `loader`.
    pub(crate) fn new(loader: Loader, batches: Batches, if_broken: IfBroken) -> Self {
        Self { loader, batches, if_broken, reported: BTreeSet::new() }
    }

    /// Waits for the next batch; `None` after the last one, or as soon as `must_stop` says so.
    ///
    /// # Errors
    /// The loader gave up, or the log cannot be written.
    pub(crate) fn next(
        &mut self,
        log: &mut EventLog<'_>,
        must_stop: impl Fn() -> bool,
    ) -> Result<Option<Batch>> {
        let mut last_told = Instant::now();
        while !self.batches.wait(TICK) {
            if must_stop() {
                return Ok(None);
            }
            if let Some((path, time)) = self.loader.longest_read().filter(|(_, time)| *time >= HANGS_AFTER)
                && last_told.elapsed() >= HANGS_AFTER
            {
                last_told = Instant::now();
                log.log(&Event::Waiting { path, seconds: time.as_secs_f64() })?;
                log.flush()?;
            }
        }
        let next = self.batches.next();
        self.report_broken(log)?;
        Ok(next.transpose()?)
    }

    /// Number of broken files found so far.
    pub(crate) fn n_broken(&self) -> usize {
        self.reported.len()
    }

    /// Number of images that the loader has made so far, including those of batches that were not taken yet.
    pub(crate) fn n_made(&self) -> u64 {
        self.loader.stage_times().images
    }

    fn report_broken(&mut self, log: &mut EventLog<'_>) -> Result<()> {
        for BrokenFile { path, reason } in self.loader.broken_files() {
            if self.reported.insert(path.clone()) {
                log.log(&match self.if_broken {
                    IfBroken::Replaced => Event::Quarantined { path, reason },
                    IfBroken::LeftOut => Event::LeftOut { path, reason },
                })?;
            }
        }
        Ok(())
    }
}
