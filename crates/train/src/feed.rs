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
use crate::ranks::Ranks;
use crate::recipe::Recipe;

/// Batches made ahead of the step that needs them.
const PREFETCH: usize = 4;
/// Time between two checks of whether the run must stop.
const TICK: Duration = Duration::from_millis(200);

/// The loader of a split, set up as the recipe says, for batches that go to `device`.
pub(crate) fn loader(recipe: &Recipe, dataset: Dataset, batch_size: usize, device: Device) -> Result<Loader> {
    loader_of(recipe, dataset, batch_size, device, (Part::default(), Ranks::alone().cores()))
}

/// The same for one of several processes, which loads a part of every batch and has so many cores.
pub(crate) fn loader_of(
    recipe: &Recipe,
    dataset: Dataset,
    batch_size: usize,
    device: Device,
    (part, cores): (Part, usize),
) -> Result<Loader> {
    let config = LoaderConfig {
        batch_size,
        part,
        workers: match recipe.data.workers {
            0 => cores,
            workers => workers,
        },
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
    /// What did not fit what [`Feed::next_joined`] returned last.
    kept: Option<Batch>,
}

impl Feed {
    /// Reads `batches`, which come from `loader`.
    pub(crate) fn new(loader: Loader, batches: Batches, if_broken: IfBroken) -> Self {
        Self { loader, batches, if_broken, reported: BTreeSet::new(), kept: None }
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

    /// Waits for the next images of one size, which are those of one batch or of several: at most `most` of them if their
    /// batches are smaller, or as many as have `most_pixels` together.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) fn next_joined(
        &mut self,
        (most, most_pixels): (usize, usize),
        log: &mut EventLog<'_>,
    ) -> Result<Option<Batch>> {
        let (mut batches, mut n): (Vec<Batch>, usize) = (Vec::new(), 0);
        loop {
            let next = match self.kept.take() {
                Some(batch) => Some(batch),
                None => self.next(log, || false)?,
            };
            let Some(batch) = next else { break };
            if batch.n == 0 {
                continue;
            }
            let pixels = batch.frames.unwrap_or(1) * batch.size[0] * batch.size[1];
            let fits =
                n + batch.n <= most.min(most_pixels / pixels) && batches.iter().all(|b| b.size == batch.size);
            if !fits && !batches.is_empty() {
                self.kept = Some(batch);
                break;
            }
            n += batch.n;
            batches.push(batch);
        }
        Ok(Batch::join(batches)?)
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

#[cfg(test)]
mod tests {
    use mutualnet_core::network::Rank;
    use mutualnet_core::{Fit, Preprocess, Resolution, Task};
    use mutualnet_data::LoaderConfig;
    use mutualnet_image::{Image, encode_palette_png, encode_png};

    use super::*;

    /// Whole images of 20 × 20 pixels, of which the third is twice as wide.
    fn feed(dir: &std::path::Path) -> Feed {
        let test = dir.join("test");
        for folder in ["images", "masks"] {
            std::fs::create_dir_all(test.join(folder)).unwrap();
        }
        std::fs::write(dir.join("classes.txt"), "sky\ntree\n").unwrap();
        for (i, columns) in [20_u32, 20, 40, 20, 20].into_iter().enumerate() {
            let image = Image::new(columns, 20, vec![100; 3 * 20 * columns as usize]);
            std::fs::write(test.join(format!("images/{i}.png")), encode_png(&image)).unwrap();
            let mask = encode_palette_png(&vec![1; 20 * columns as usize], [20, columns], &[[0; 3]; 2]);
            std::fs::write(test.join(format!("masks/{i}.png")), mask).unwrap();
        }
        let dataset = Dataset::open_for(Task::Segment, Rank::Image, dir, "test").unwrap();
        let config = LoaderConfig {
            batch_size: 4,
            part: Part::default(),
            workers: 1,
            prefetch: PREFETCH,
            seed: 0,
            broken_limit: 0.0,
        };
        let loader = Loader::new(Arc::new(dataset), config).unwrap();
        let square = Preprocess::center_crop(Resolution::new(20).unwrap(), [0.5; 3], [0.25; 3]);
        let batches = loader.evaluate(&Preprocess { fit: Fit::Whole, ..square }).unwrap();
        Feed::new(loader, batches, IfBroken::LeftOut)
    }

    #[test]
    fn neighbors_of_one_size_are_joined_up_to_the_limits() {
        let dir = tempfile::tempdir().unwrap();
        for (limits, expected) in [
            ((64, 1 << 20), vec![2, 1, 2]),
            ((1, 1 << 20), vec![1; 5]),
            ((64, 800), vec![2, 1, 2]),
            ((64, 799), vec![1; 5]),
        ] {
            let mut feed = feed(dir.path());
            let (mut console, mut sizes) = ((), Vec::new());
            let mut log = EventLog::without_record(&mut console);
            while let Some(batch) = feed.next_joined(limits, &mut log).unwrap() {
                sizes.push(batch.n);
            }
            assert_eq!(sizes, expected, "{limits:?}");
        }
    }
}
