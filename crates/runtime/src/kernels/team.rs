//! The threads of a session: all of them walk through the plan together and share out the tasks of every step.
//!
//! One wake-up per pass and spinning between steps: a network has about sixty steps of tens of microseconds, for which
//! sleeping and waking threads would cost more than the work. A step is over when its tasks are done, not when all
//! threads have come by, so that a thread that the system does not schedule holds nobody up.
//! Invariant: a thread touches the arena only while it has a task, and a pass ends when all tasks are done; so between
//! two calls of [`Team::run`] no worker touches it, even one that is late.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::execute::Pass;
use super::{Arena, Scratch};
use crate::plan::{Feature, Plan};
use crate::prepare::Prepared;
use crate::{Error, Result};

/// Rounds of spinning before a waiting thread lets others run.
const SPINS: usize = 4_000;

/// A fixed set of threads with their feature maps.
#[derive(Debug)]
pub(crate) struct Team {
    shared: Arc<Shared>,
    /// All but the caller's.
    workers: Vec<JoinHandle<()>>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Shared {
    prepared: Arc<Prepared>,
    arena: Arena,
    threads: usize,
    /// By step.
    progress: Vec<Progress>,
    /// A thread panicked within a task, which will never be done.
    broken: AtomicBool,
    job: Mutex<Job>,
    wake: Condvar,
    /// The job's number, to be seen without the lock.
    announced: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    number: u32,
    row: usize,
    n: usize,
    stop: bool,
}

impl Team {
    /// Starts `threads - 1` workers; the caller's thread is one of the team.
    ///
    /// # Errors
    /// No memory for `arena_len` numbers, or no threads.
    pub(crate) fn new(prepared: Arc<Prepared>, threads: usize, arena_len: usize) -> Result<Self> {
        let steps = prepared.plans.iter().map(|plan| plan.steps.len()).max().unwrap_or(0);
        let scratch = Scratch::new(prepared.taps);
        let shared = Arc::new(Shared {
            prepared,
            arena: Arena::new(arena_len)?,
            threads,
            progress: (0..steps).map(|_| Progress::default()).collect(),
            broken: AtomicBool::new(false),
            job: Mutex::new(Job { number: 0, row: 0, n: 0, stop: false }),
            wake: Condvar::new(),
            announced: AtomicU32::new(0),
        });
        let mut team = Self { shared, workers: Vec::new(), scratch };
        for _ in 1..threads {
            let shared = team.shared.clone();
            let builder = std::thread::Builder::new().name("mutualnet-runtime".to_owned());
            team.workers
                .push(builder.spawn(move || shared.work()).map_err(|source| Error::Thread { source })?);
        }
        Ok(team)
    }

    /// Images that one pass of a plan can take.
    pub(crate) fn capacity(&self, plan: &Plan) -> usize {
        self.shared.arena.len() / plan.arena_len.max(1)
    }

    /// The numbers of `feature` of a plan that `n` images run through.
    ///
    /// # Panics
    /// They do not fit.
    pub(crate) fn feature_mut(&mut self, feature: Feature, n: usize) -> &mut [f32] {
        let (start, len) = (n * feature.start, n * feature.len());
        assert!(start + len <= self.shared.arena.len(), "a pass takes no more images than its capacity");
        // SAFETY: inside of the arena; no worker is at it between runs, and `self` is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.shared.arena.base().add(start), len) }
    }

    /// Runs `n` images through the plan of `row`, from its input feature to its output feature.
    ///
    /// # Panics
    /// `n` is above the capacity, or a worker has died.
    pub(crate) fn run(&mut self, row: usize, n: usize) {
        assert!(n <= self.capacity(&self.shared.prepared.plans[row]), "passes are cut to the capacity");
        let job = self.shared.announce(|job| Job { row, n, ..job });
        self.shared.take_part(job, &mut self.scratch);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.announce(|job| Job { stop: true, ..job });
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so on its own.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn announce(&self, change: impl FnOnce(Job) -> Job) -> Job {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        *job = change(*job);
        job.number = job.number.wrapping_add(1);
        for progress in &self.progress {
            progress.reset(job.number);
        }
        self.announced.store(job.number, Ordering::Release);
        self.wake.notify_all();
        *job
    }

    /// A worker's life.
    fn work(&self) {
        let mut scratch = Scratch::new(self.prepared.taps);
        let mut done = 0;
        loop {
            let job = self.wait_for_job(done);
            if job.stop {
                return;
            }
            done = job.number;
            self.take_part(job, &mut scratch);
        }
    }

    fn wait_for_job(&self, done: u32) -> Job {
        for _ in 0..SPINS {
            if self.announced.load(Ordering::Acquire) != done {
                break;
            }
            std::hint::spin_loop();
        }
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        while job.number == done {
            job = self.wake.wait(job).unwrap_or_else(PoisonError::into_inner);
        }
        *job
    }

    /// One thread's share of a pass; ends early when the pass is over without it.
    fn take_part(&self, job: Job, scratch: &mut Scratch) {
        let _guard = BreakOnPanic(&self.broken);
        let prepared = &*self.prepared;
        let plan = &prepared.plans[job.row];
        let pass = Pass {
            kernels: prepared.kernels,
            weights: &prepared.weights,
            zeros: &prepared.zeros,
            plan,
            n: job.n,
            threads: self.threads,
            arena: self.arena.base(),
        };
        for (step, progress) in plan.steps.iter().zip(&self.progress) {
            let tasks = pass.tasks(step);
            while let Some(task) = progress.take(job.number, tasks) {
                // SAFETY: a task is given to one thread, after the tasks of the steps before were seen to be done.
                unsafe { pass.execute(step, task, scratch) };
                progress.done.fetch_add(1, Ordering::Release);
            }
            if !self.wait_for_step(job, progress, tasks) {
                return;
            }
        }
    }

    /// Waits until all tasks of a step are done; false when the team has gone on to another job meanwhile.
    fn wait_for_step(&self, job: Job, progress: &Progress, tasks: usize) -> bool {
        let mut spins = 0;
        while progress.done.load(Ordering::Acquire) < tasks {
            if self.announced.load(Ordering::Acquire) != job.number {
                return false;
            }
            assert!(!self.broken.load(Ordering::Acquire), "another thread of the team has panicked");
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        true
    }
}

/// How far a step is; on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Progress {
    /// The job's number in the upper half, so that late threads take nothing of a later job; the next task.
    next: AtomicU64,
    done: AtomicUsize,
}

impl Progress {
    fn reset(&self, job: u32) {
        self.next.store(u64::from(job) << 32, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
    }

    /// The next task of `tasks`, if the job is still on and there is one.
    fn take(&self, job: u32, tasks: usize) -> Option<usize> {
        let left = |next: u64| next >> 32 == u64::from(job) && (next as u32 as usize) < tasks;
        let taken =
            self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| left(next).then(|| next + 1));
        taken.ok().map(|next| next as u32 as usize)
    }
}

struct BreakOnPanic<'a>(&'a AtomicBool);

impl Drop for BreakOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}
