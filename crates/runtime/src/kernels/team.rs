//! The threads of a session, which go through a program together and share the tasks of every kernel call.
//!
//! Threads are woken once per pass and spin between kernel calls. After a pass they soon sleep. A network has about sixty calls of tens of microseconds
//! each, for which sleeping and waking would take longer than the work. A call is over when its tasks are done, not when
//! every thread has seen it, so that a thread that the system does not schedule holds up nobody.
//! Invariant: a thread touches the arena only while it has a task, and a pass ends only when all tasks are done. Between
//! two runs of [`Team::run`] no worker touches the arena therefore, not even one that is late.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::execute::Pass;
use super::{Arena, Scratch};
use crate::prepare::Prepared;
use crate::program::{Feature, Program};
use crate::{Error, Result};

/// How long a thread that has nothing to do waits for the next pass before it sleeps.
const AWAKE: Duration = Duration::from_micros(200);

/// How often a waiting thread spins before it looks at the clock, or lets others run.
const SPINS: usize = 1_000;

/// The numbers of a feature map.
#[derive(Debug)]
pub(crate) enum Numbers<'a> {
    /// f32.
    Single(&'a mut [f32]),
    /// bf16.
    Half(&'a mut [u16]),
}

/// A fixed set of threads, and the memory for their feature maps.
#[derive(Debug)]
pub(crate) struct Team {
    shared: Arc<Shared>,
    /// All threads but the caller's.
    workers: Vec<JoinHandle<()>>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Shared {
    prepared: Arc<Prepared>,
    arena: Arena,
    threads: usize,
    /// How far each kernel call is.
    progress: Vec<Progress>,
    /// Whether a thread panicked in a task, which will then never be done.
    broken: AtomicBool,
    request: Mutex<Request>,
    wake: Condvar,
    /// The number of the latest request, which can be read without the lock.
    announced: AtomicU32,
}

/// What the team is asked to do: run `n` images through a program, or stop.
#[derive(Debug, Clone)]
struct Request {
    number: u32,
    program: Arc<Program>,
    n: usize,
    stop: bool,
}

impl Team {
    /// Starts `threads - 1` workers; the caller's thread is the remaining one.
    ///
    /// # Errors
    /// Fails if there is no memory for `arena_bytes` bytes, or if a thread cannot be started.
    pub(crate) fn new(prepared: Arc<Prepared>, threads: usize, arena_bytes: usize) -> Result<Self> {
        let calls = prepared.all_programs().map(|program| program.calls.len()).max().unwrap_or(0);
        let new_scratch = |prepared: &Prepared| Scratch::new(prepared.taps, prepared.workspace);
        let scratch = new_scratch(&prepared)?;
        let program = prepared.programs[0].clone();
        let shared = Arc::new(Shared {
            prepared,
            arena: Arena::new(arena_bytes)?,
            threads,
            progress: (0..calls).map(|_| Progress::default()).collect(),
            broken: AtomicBool::new(false),
            request: Mutex::new(Request { number: 0, program, n: 0, stop: false }),
            wake: Condvar::new(),
            announced: AtomicU32::new(0),
        });
        let mut team = Self { shared, workers: Vec::new(), scratch };
        for _ in 1..threads {
            let shared = team.shared.clone();
            let scratch = new_scratch(&shared.prepared)?;
            let builder = std::thread::Builder::new().name("mutualnet-runtime".to_owned());
            team.workers.push(
                builder.spawn(move || shared.work(scratch)).map_err(|source| Error::Thread { source })?,
            );
        }
        Ok(team)
    }

    /// The number of images that a program can run in one pass.
    pub(crate) fn capacity(&self, program: &Program) -> usize {
        self.shared.arena.bytes() / program.arena_bytes.max(1)
    }

    /// The numbers of a feature map in a pass of `n` images.
    ///
    /// # Panics
    /// Panics if the arena is too small for `n` images.
    pub(crate) fn feature_mut(&mut self, feature: Feature, n: usize) -> Numbers<'_> {
        let (start, len) = (n * feature.start, n * feature.len());
        let end = start + len * feature.bytes;
        assert!(end <= self.shared.arena.bytes(), "a pass takes no more images than its capacity");
        // SAFETY: the range is inside the arena and begins at a cache line, no worker touches it between runs, and `self` is
        // borrowed uniquely.
        unsafe {
            let base = self.shared.arena.base().add(start);
            match feature.bytes {
                2 => Numbers::Half(std::slice::from_raw_parts_mut(base.cast(), len)),
                _ => Numbers::Single(std::slice::from_raw_parts_mut(base.cast(), len)),
            }
        }
    }

    /// Whether a program fits into the arena at all.
    pub(crate) fn holds(&self, program: &Program) -> bool {
        program.arena_bytes <= self.shared.arena.bytes()
    }

    /// Runs `n` images through a program of the model, from its input feature to its output features. Calls `after` with the
    /// index of each kernel call when it is done, in order.
    ///
    /// # Panics
    /// Panics if `n` is above the capacity, or if a worker has panicked.
    pub(crate) fn run(&mut self, program: &Arc<Program>, n: usize, after: impl FnMut(usize)) {
        assert!(n <= self.capacity(program), "passes are cut to the capacity");
        let program = program.clone();
        let request = self.shared.announce(|request| Request { program, n, ..request });
        self.shared.take_part(&request, &mut self.scratch, after);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.announce(|request| Request { stop: true, ..request });
        for worker in self.workers.drain(..) {
            // A worker that panicked has already printed its message.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn announce(&self, change: impl FnOnce(Request) -> Request) -> Request {
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        *request = change(request.clone());
        request.number = request.number.wrapping_add(1);
        for progress in &self.progress {
            progress.reset(request.number);
        }
        self.announced.store(request.number, Ordering::Release);
        self.wake.notify_all();
        request.clone()
    }

    /// What a worker does: wait for requests and take part in them, until it is told to stop.
    fn work(&self, mut scratch: Scratch) {
        let mut done = 0;
        loop {
            let request = self.wait_for_request(done);
            if request.stop {
                return;
            }
            done = request.number;
            self.take_part(&request, &mut scratch, |_| ());
        }
    }

    fn wait_for_request(&self, done: u32) -> Request {
        let begin = Instant::now();
        let is_announced = || self.announced.load(Ordering::Acquire) != done;
        while !is_announced() && begin.elapsed() < AWAKE {
            for _ in 0..SPINS {
                if is_announced() {
                    break;
                }
                std::hint::spin_loop();
            }
        }
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        while request.number == done {
            request = self.wake.wait(request).unwrap_or_else(PoisonError::into_inner);
        }
        request.clone()
    }

    /// Executes tasks of a pass until it is over, possibly without this thread.
    fn take_part(&self, request: &Request, scratch: &mut Scratch, mut after: impl FnMut(usize)) {
        let _guard = BreakOnPanic(&self.broken);
        let prepared = &*self.prepared;
        let program = &*request.program;
        let variant = prepared.variant(program.precision);
        let pass = Pass {
            kernels: variant.kernels,
            weights: &variant.weights,
            zeros: &prepared.zeros,
            program,
            n: request.n,
            threads: self.threads,
            arena: self.arena.base(),
        };
        for (idx, (call, progress)) in program.calls.iter().zip(&self.progress).enumerate() {
            let tasks = pass.tasks(call);
            while let Some(task) = progress.take(request.number, tasks) {
                // SAFETY: each task is given to one thread, and this thread has seen that all earlier calls are done.
                unsafe { pass.execute(call, task, scratch) };
                progress.done.fetch_add(1, Ordering::Release);
            }
            if !self.wait_for_call(request.number, progress, tasks) {
                return;
            }
            after(idx);
        }
    }

    /// Waits until all tasks of a call are done. Returns false if the team has gone on to another request meanwhile.
    fn wait_for_call(&self, request: u32, progress: &Progress, tasks: usize) -> bool {
        let mut spins = 0;
        while progress.done.load(Ordering::Acquire) < tasks {
            if self.announced.load(Ordering::Acquire) != request {
                return false;
            }
            assert!(!self.broken.load(Ordering::Acquire), "another thread of the team has panicked");
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        true
    }
}

/// How many tasks of a call are taken and done. It has its own cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Progress {
    /// The number of the request in the upper half, so that late threads take no task of a later one, and the next task in
    /// the lower half.
    next: AtomicU64,
    done: AtomicUsize,
}

impl Progress {
    fn reset(&self, request: u32) {
        self.next.store(u64::from(request) << 32, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
    }

    /// Takes the next of `tasks` tasks, if there is one and the request is still the current one.
    fn take(&self, request: u32, tasks: usize) -> Option<usize> {
        let left = |next: u64| next >> 32 == u64::from(request) && (next as u32 as usize) < tasks;
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
