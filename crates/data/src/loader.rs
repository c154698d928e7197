//! The loader: decodes and augments on many threads, and returns finished batches in order.
//!
//! Two builders take turns making batches, each on the whole thread pool, so that the end of one batch overlaps with the
//! start of the next.
//! Invariants: batches do not depend on the number of threads or parts; at most `prefetch` batches (rounded up to even, at
//! least two) exist besides the one that the caller holds; dropping the iterator ends every thread.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mutualnet_core::network::Rank;
use mutualnet_core::rng::Purpose;
use mutualnet_core::{Preprocess, Views};

use mutualnet_image::StageTimes;

use crate::aspects::Aspects;
use crate::order::{Epochs, Order, Part, Position};
use crate::progress::Reads;
use crate::quarantine::Quarantine;
use crate::scratch::ScratchPool;
use mutualnet_image::TestPipeline;

use crate::transform::{TrainPipeline, TrainTransform};
use crate::{BrokenFile, Dataset, Error, Label, Result};

mod batches;
mod buffers;
mod job;
pub use batches::{Batch, Batches};
pub use buffers::{BatchMemory, Floats, ImageBuffer};
use buffers::{Buffers, Heap};
use job::{ClipReader, Job, Work};

/// How a data set is loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoaderConfig {
    /// Images or clips per batch, over all parts.
    pub batch_size: usize,
    /// Which part of every batch this loader makes.
    pub part: Part,
    /// Decoding threads; 0 means one per core.
    pub workers: usize,
    /// Batches to make ahead.
    pub prefetch: usize,
    /// The run's seed.
    pub seed: u64,
    /// Share of broken files above which loading stops; 0 stops at the first one.
    pub broken_limit: f64,
}

/// Loads one split; every call of [`train`](Self::train), [`evaluate`](Self::evaluate) or
/// [`calibrate`](Self::calibrate) starts an iteration of its own.
#[derive(Debug)]
pub struct Loader {
    dataset: Arc<Dataset>,
    config: LoaderConfig,
    pool: Arc<rayon::ThreadPool>,
    quarantine: Arc<Quarantine>,
    scratch: Arc<ScratchPool>,
    reads: Arc<Reads<u32>>,
    buffers: Arc<Buffers>,
}

impl Loader {
    /// Makes a loader and starts its threads.
    ///
    /// # Errors
    /// A batch size of 0, parts of different sizes, or threads that cannot be started.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self> {
        if config.batch_size == 0 {
            return Err(Error::Setting { setting: "batch", reason: "must be at least 1".to_owned() });
        }
        check_part(&config)?;
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            n => n,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|i| format!("loader-{i}"))
            .build()
            .map_err(|source| Error::Threads { workers, source })?;
        let n_samples = dataset.samples().len();
        let quarantine = Quarantine::new(n_samples, config.broken_limit);
        Ok(Self {
            dataset,
            config,
            pool: Arc::new(pool),
            quarantine: Arc::new(quarantine),
            scratch: Arc::default(),
            reads: Arc::default(),
            buffers: Arc::new(Buffers::new(Arc::new(Heap))),
        })
    }

    /// Makes all further batches use another kind of memory.
    #[must_use]
    pub fn with_memory(mut self, memory: Arc<dyn BatchMemory>) -> Self {
        self.buffers = Arc::new(Buffers::new(memory));
        self
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Steps in a training epoch, which has whole batches only.
    pub fn steps_per_epoch(&self) -> usize {
        self.dataset.samples().len() / self.config.batch_size
    }

    /// Shuffled, augmented batches from a position up to the start of `end_epoch`, without a pause between epochs; images
    /// that do not fill a batch are left out of their epoch.
    ///
    /// With `repeats`, an epoch has the same number of steps but fewer samples, each in several copies that are augmented
    /// differently; every epoch draws other samples.
    /// Whole images are in batches of one group of aspect ratios; to fill the last batch of a group, a few of its images are
    /// seen twice in an epoch, and as many of other groups are not.
    /// With `mixup` or `cutmix`, the finished images 0 and 1, 2 and 3, … of a batch are mixed with each other; an odd last
    /// image stays as it is.
    ///
    /// # Errors
    /// Invalid settings, a split that is smaller than a batch, or images to be mixed in parts of odd size.
    pub fn train(
        &self,
        transform: TrainTransform,
        preprocess: &Preprocess,
        from: Position,
        end_epoch: u32,
    ) -> Result<Batches> {
        let pipeline = self.train_pipeline(transform, preprocess)?;
        let n_samples = self.whole_batches()?;
        let LoaderConfig { seed, batch_size, .. } = self.config;
        let groups = self.aspects(&pipeline);
        let repeats = transform.repeats as usize;
        let epochs = Epochs { seed, n_samples, batch_size, repeats, groups: groups.clone() };
        let order = Order::shuffled(epochs, from, end_epoch);
        let mixing = pipeline.mixing();
        if mixing.is_some() {
            check_pairs(&self.config)?;
        }
        self.start(Work::Train { pipeline, purpose: Purpose::Augment, mixing, groups }, order, preprocess)
    }

    /// Every image once, in the data set's order and with test-time preprocessing; the last batch may be smaller, and then its
    /// parts may differ by one image, and some may be empty.
    ///
    /// A broken image is not replaced: its batch is one image smaller, and may be empty.
    ///
    /// A video has as many places in a row as the preprocessing has [views](Preprocess::views), unless one of them is broken.
    ///
    /// Whole images differ in size, so every batch, or every part of one, has one of them, whatever the batch size.
    ///
    /// # Errors
    /// Invalid settings.
    pub fn evaluate(&self, preprocess: &Preprocess) -> Result<Batches> {
        let pipeline = TestPipeline::new(preprocess)?;
        let batch_size = match pipeline.size() {
            Some(_) => self.config.batch_size,
            None => self.config.part.of,
        };
        let Views { clips, crops } = preprocess.views;
        // All crops of a clip are made at once.
        let batch_size = (batch_size / crops as usize).max(1);
        let order = Order::sequential(self.dataset.samples().len(), clips as usize, batch_size);
        self.start(Work::Test { pipeline }, order, preprocess)
    }

    /// Randomly chosen training images, augmented. Images, order and augmentation are the same at every call, so that every
    /// row of the query table is calibrated on the same input.
    ///
    /// There are fewer batches if the split does not fill that many. No image is mixed, or repeated but to fill a batch of
    /// whole ones.
    ///
    /// # Errors
    /// Invalid settings, or a split that is smaller than a batch.
    pub fn calibrate(
        &self,
        transform: TrainTransform,
        preprocess: &Preprocess,
        n_batches: usize,
    ) -> Result<Batches> {
        let pipeline = self.train_pipeline(transform, preprocess)?;
        let n_samples = self.whole_batches()?;
        let LoaderConfig { seed, batch_size, .. } = self.config;
        let groups = self.aspects(&pipeline);
        let order = Order::chosen(seed, n_samples, (batch_size, n_batches), groups.as_deref());
        let work = Work::Train { pipeline, purpose: Purpose::Calibrate, mixing: None, groups };
        self.start(work, order, preprocess)
    }

    /// One batch of the given samples, augmented as in the first epoch of training; nothing is made ahead.
    ///
    /// # Errors
    /// Invalid settings, or too many broken files.
    ///
    /// # Panics
    /// No such sample, or none at all.
    pub fn batch_of(
        &self,
        transform: TrainTransform,
        preprocess: &Preprocess,
        indices: &[u32],
    ) -> Result<Batch> {
        let pipeline = self.train_pipeline(transform, preprocess)?;
        let (mixing, groups) = (pipeline.mixing(), self.aspects(&pipeline));
        let work = Work::Train { pipeline, purpose: Purpose::Augment, mixing, groups };
        let order = Order::listed(indices.to_vec(), indices.len());
        batches::make_first(&self.job(work, order, preprocess)?, &self.buffers)
    }

    /// Time spent on the finished images, stage by stage.
    pub fn stage_times(&self) -> StageTimes {
        self.scratch.times()
    }

    /// The image that has been worked on for the longest time, and for how long; a read that hangs shows up here.
    pub fn longest_read(&self) -> Option<(PathBuf, Duration)> {
        let (index, time) = self.reads.longest()?;
        Some((self.dataset.samples()[index as usize].place.name(), time))
    }

    /// Files found broken so far; in training, another image of the same class replaces each of them.
    pub fn broken_files(&self) -> Vec<BrokenFile> {
        self.quarantine.files(&self.dataset)
    }

    fn train_pipeline(&self, transform: TrainTransform, preprocess: &Preprocess) -> Result<TrainPipeline> {
        TrainPipeline::new_for(self.dataset.task(), transform, preprocess)
    }

    /// Which images can share a batch, if images are seen whole.
    fn aspects(&self, pipeline: &TrainPipeline) -> Option<Arc<Aspects>> {
        let truth = self.dataset.truth().filter(|_| pipeline.is_whole())?;
        let size = |label: &Label| match *label {
            Label::Objects(image) => truth.images()[image].extent,
            _ => unreachable!("all samples have objects if one has"),
        };
        let sizes = self.dataset.samples().iter().map(|sample| size(&sample.label));
        let sizes: Vec<_> = sizes.map(|extent| [extent.width, extent.height]).collect();
        Some(Arc::new(Aspects::new(&sizes, self.config.batch_size)))
    }

    fn whole_batches(&self) -> Result<usize> {
        let images = self.dataset.samples().len();
        match self.config.batch_size {
            batch_size if batch_size > images => Err(Error::BatchTooLarge { batch_size, images }),
            _ => Ok(images),
        }
    }

    fn start(&self, work: Work, order: Order, preprocess: &Preprocess) -> Result<Batches> {
        let job = self.job(work, order, preprocess)?;
        Ok(Batches::start(job, Arc::clone(&self.buffers), self.config.prefetch))
    }

    fn job(&self, work: Work, order: Order, preprocess: &Preprocess) -> Result<Job> {
        let clips = match (self.dataset.rank(), preprocess.clip) {
            (Rank::Image, None) => None,
            (Rank::Clip, Some(sampling)) => Some(ClipReader::new(sampling, preprocess.views)),
            (rank, _) => return Err(Error::OtherRank { rank, path: self.dataset.dir().to_owned() }),
        };
        Ok(Job {
            dataset: Arc::clone(&self.dataset),
            quarantine: Arc::clone(&self.quarantine),
            scratch: Arc::clone(&self.scratch),
            reads: Arc::clone(&self.reads),
            pool: Arc::clone(&self.pool),
            seed: self.config.seed,
            part: self.config.part,
            resolution: preprocess.crop,
            clips,
            work,
            order,
        })
    }
}

fn check_part(config: &LoaderConfig) -> Result<()> {
    let LoaderConfig { batch_size, part: Part { index, of }, .. } = *config;
    let reason = if index >= of {
        format!("there is no part {index} of {of}; parts are numbered from 0")
    } else if !batch_size.is_multiple_of(of) {
        format!("a batch of {batch_size} cannot be divided into {of} equal parts")
    } else {
        return Ok(());
    };
    Err(Error::Setting { setting: "part", reason })
}

/// Parts of odd size would cut a pair in two.
fn check_pairs(config: &LoaderConfig) -> Result<()> {
    let images = config.batch_size / config.part.of;
    if config.part.of == 1 || images.is_multiple_of(2) {
        return Ok(());
    }
    let reason = format!("mixup and cutmix need parts of an even number of images, not of {images}");
    Err(Error::Setting { setting: "part", reason })
}

#[cfg(test)]
mod tests;
