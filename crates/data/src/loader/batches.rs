//! The iterator over batches and the builder threads behind it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mutualnet_core::Resolution;

use super::buffers::{Buffers, ImageBuffer};
use super::job::Job;
use crate::order::{BatchPlan, EpochCache};
use crate::progress::{HANGS_AFTER, Reads};
use crate::{Error, Result, Targets};

/// Time between two checks on a thread that is ending.
const TICK: Duration = Duration::from_millis(1);

/// Builders that take turns; a single one would leave cores idle at the end of every batch.
const BUILDERS: usize = 2;

/// Images or clips at the largest size with their labels: a whole batch, or the loader's part of one.
#[derive(Debug)]
pub struct Batch {
    /// `[n, height, width, 3]` f32, normalized; of clips `[n, frames, height, width, 3]`.
    pub images: ImageBuffer,
    /// What is known about them.
    pub targets: Targets,
    /// The sample of the data set that each image is; in training, that of the replacement if a file is broken.
    pub indices: Vec<u32>,
    /// Number of images or clips.
    pub n: usize,
    /// Number of clips that each video has in all batches together, next to each other; 1 but in evaluation.
    pub views: usize,
    /// Frames of each clip; `None` for images.
    pub frames: Option<usize>,
    /// Height and width of the images, in pixels.
    pub size: [usize; 2],
    /// The largest resolution, that of the images: the length of the shorter side of whole images, unless that of the longer
    /// one is limited.
    pub resolution: Resolution,
    /// The seed of what a step draws at random.
    pub seed: u64,
    /// Epoch, from 0; 0 outside training.
    pub epoch: u32,
    /// Step within the epoch, from 0.
    pub step: usize,
}

impl Batch {
    /// Takes the images out, so that a tensor can own them.
    pub fn take_images(&mut self) -> ImageBuffer {
        std::mem::take(&mut self.images)
    }

    /// One batch of the images of several, which must have one size; `None` of none. A single one is not copied.
    ///
    /// # Errors
    /// There is not enough memory.
    ///
    /// # Panics
    /// The images differ in size or in what they are labelled with.
    pub fn join(batches: Vec<Self>) -> Result<Option<Self>> {
        let len = batches.iter().map(|batch| batch.images.len()).sum();
        let mut batches = batches.into_iter();
        let Some(mut joined) = batches.next() else { return Ok(None) };
        if batches.len() == 0 {
            return Ok(Some(joined));
        }
        let own = joined.take_images();
        joined.images = own.with_room_for(len)?;
        let mut end = own.len();
        joined.images[..end].copy_from_slice(&own);
        for batch in batches {
            assert_eq!(
                (batch.frames, batch.size),
                (joined.frames, joined.size),
                "only images of one size can be joined"
            );
            joined.images[end..end + batch.images.len()].copy_from_slice(&batch.images);
            end += batch.images.len();
            joined.targets.append(batch.targets);
            joined.indices.extend(batch.indices);
            joined.n += batch.n;
        }
        Ok(Some(joined))
    }
}

/// Iterator over the batches of one [`Loader`](crate::Loader) call.
///
/// It ends after the last batch or after the first error.
#[derive(Debug)]
pub struct Batches {
    /// Batch `i` comes from builder `i % BUILDERS`.
    builders: Vec<Receiver<Result<Batch>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    reads: Arc<Reads<u32>>,
    /// What [`wait`](Self::wait) waited for.
    arrived: Option<Result<Batch>>,
    next: usize,
    len: usize,
    /// How long a hanging read is waited for when the iterator is dropped.
    pub(super) patience: Duration,
}

impl Batches {
    pub(super) fn start(job: Job, buffers: Arc<Buffers>, prefetch: usize) -> Self {
        let len = job.order.len();
        let job = Arc::new(job);
        let mut batches = Self {
            builders: Vec::new(),
            threads: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            reads: Arc::clone(&job.reads),
            arrived: None,
            next: 0,
            len,
            patience: HANGS_AFTER,
        };
        // A builder holds one batch while it makes or offers it; the rest waits in its channel.
        let waiting = prefetch.div_ceil(BUILDERS).saturating_sub(1);
        for first in 0..BUILDERS {
            let (sender, receiver) = sync_channel(waiting);
            let builder = Builder {
                job: Arc::clone(&job),
                buffers: Arc::clone(&buffers),
                stop: Arc::clone(&batches.stop),
                sender,
            };
            batches.builders.push(receiver);
            batches.threads.push(std::thread::spawn(move || builder.run(first)));
        }
        batches
    }

    /// Waits for the next batch, an error or the end; returns whether it came in time.
    ///
    /// If it did not, [`Loader::longest_read`](crate::Loader::longest_read) tells which read hangs.
    pub fn wait(&mut self, time: Duration) -> bool {
        if self.arrived.is_none() && self.next < self.len {
            self.arrived = match self.builders[self.next % BUILDERS].recv_timeout(time) {
                Ok(batch) => Some(batch),
                Err(RecvTimeoutError::Disconnected) => Some(Err(ended())),
                Err(RecvTimeoutError::Timeout) => None,
            };
            return self.arrived.is_some();
        }
        true
    }

    /// Whether the threads are waiting for a read that hangs.
    fn hangs(&self) -> bool {
        self.reads.longest().is_some_and(|(_, time)| time > self.patience)
    }
}

fn ended() -> Error {
    Error::WorkerPanic { message: "a batch builder ended before its last batch".to_owned() }
}

/// Makes the first batch of an order on the calling thread.
///
/// # Panics
/// The order has no batches.
pub(super) fn make_first(job: &Job, buffers: &Arc<Buffers>) -> Result<Batch> {
    let plan = job.order.batch(0, &mut EpochCache::default()).expect("callers ask for images");
    job.pool.install(|| job.build(plan, buffers, &AtomicBool::new(false)))
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.len {
            return None;
        }
        let batch = self.arrived.take();
        let receiver = &self.builders[self.next % BUILDERS];
        let batch = batch.unwrap_or_else(|| receiver.recv().unwrap_or_else(|_| Err(ended())));
        self.next = if batch.is_ok() { self.next + 1 } else { self.len };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.len - self.next))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A builder that waits for room in its channel wakes up when the other end is gone.
        self.builders.clear();
        for thread in std::mem::take(&mut self.threads) {
            while !thread.is_finished() {
                if self.hangs() {
                    // Nothing can end a read that the disk does not answer; the thread ends when it does.
                    return;
                }
                thread::sleep(TICK);
            }
            // A panic outside the part that is caught has been reported by `next`, or nobody waits for it.
            let _ = thread.join();
        }
    }
}

struct Builder {
    job: Arc<Job>,
    buffers: Arc<Buffers>,
    stop: Arc<AtomicBool>,
    sender: SyncSender<Result<Batch>>,
}

impl Builder {
    fn run(self, first: usize) {
        let mut cache = EpochCache::default();
        for number in (first..).step_by(BUILDERS) {
            let Some(plan) = self.job.order.batch(number, &mut cache) else { return };
            let built = catch_unwind(AssertUnwindSafe(|| {
                self.job.pool.install(|| self.build(plan.part(self.job.part)))
            }))
            .unwrap_or_else(|panic| Err(Error::WorkerPanic { message: message(panic.as_ref()) }));
            let failed = built.is_err();
            if self.stop.load(Ordering::Relaxed) || self.sender.send(built).is_err() || failed {
                return;
            }
        }
    }

    fn build(&self, plan: BatchPlan) -> Result<Batch> {
        self.job.build(plan, &self.buffers, &self.stop)
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
