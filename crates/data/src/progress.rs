//! Progress of checking or packing a data set, for another thread to read.
//!
//! Separate so that the work itself neither prints nor waits; the caller decides what to show, and when.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Place;

/// How long reading and decoding an image may take; after that, the read counts as hanging.
pub const HANGS_AFTER: Duration = Duration::from_secs(10);

/// Counts of images, and the reads in progress.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicUsize,
    done: AtomicUsize,
    reads: Reads<PathBuf>,
}

impl Progress {
    /// How many images there are; 0 while they are being looked for.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// How many of them have been tried.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// The image whose read has taken the longest so far, and how long.
    pub fn longest(&self) -> Option<(PathBuf, Duration)> {
        self.reads.longest()
    }

    pub(crate) fn begin(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Runs something that reads an image.
    pub(crate) fn reading<T>(&self, place: &Place, read: impl FnOnce() -> T) -> T {
        let result = self.reads.during(place.name(), read);
        self.done.fetch_add(1, Ordering::Relaxed);
        result
    }
}

/// The reads in progress and when they started, oldest first.
#[derive(Debug)]
pub(crate) struct Reads<N> {
    next: AtomicUsize,
    now: Mutex<BTreeMap<usize, (Instant, N)>>,
}

impl<N> Default for Reads<N> {
    fn default() -> Self {
        Self { next: AtomicUsize::new(0), now: Mutex::default() }
    }
}

impl<N: Clone> Reads<N> {
    /// Runs a read under a name.
    pub(crate) fn during<T>(&self, name: N, read: impl FnOnce() -> T) -> T {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.change(|now| now.insert(number, (Instant::now(), name)));
        // A panic must not look like a read that hangs.
        let _end = End { reads: self, number };
        read()
    }

    /// The read that has taken the longest so far, and how long.
    pub(crate) fn longest(&self) -> Option<(N, Duration)> {
        self.change(|now| now.values().next().map(|(begun, name)| (name.clone(), begun.elapsed())))
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<usize, (Instant, N)>) -> T) -> T {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct End<'a, N: Clone> {
    reads: &'a Reads<N>,
    number: usize,
}

impl<N: Clone> Drop for End<'_, N> {
    fn drop(&mut self) {
        self.reads.change(|now| now.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_for_the_longest_time_is_named() {
        let progress = Progress::default();
        let place = |name: &str| Place::File { path: name.into(), bytes: 0 };
        progress.begin(2);
        assert_eq!((progress.total(), progress.done(), progress.longest()), (2, 0, None));
        progress.reading(&place("first.png"), || {
            std::thread::sleep(Duration::from_millis(2));
            progress.reading(&place("second.png"), || {
                let (path, time) = progress.longest().unwrap();
                assert_eq!(path, PathBuf::from("first.png"));
                assert!(time >= Duration::from_millis(2));
            });
        });
        assert_eq!((progress.done(), progress.longest()), (2, None));
    }
}
