//! How far a check or a packing is, for another thread to look at.
//!
//! Separate so that the work itself neither prints nor waits; what is shown, and when, its caller decides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Place;

/// Counts of images, and those that are being read.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicUsize,
    done: AtomicUsize,
    /// By number, which is not the order in which they were begun.
    reading: Mutex<BTreeMap<usize, (Instant, PathBuf)>>,
}

impl Progress {
    /// How many images there are; 0 as long as they are being looked for.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// How many of them have been tried.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// The image that is being read for the longest time, and for how long.
    pub fn longest(&self) -> Option<(PathBuf, Duration)> {
        self.change(|reading| {
            let (begin, path) = reading.values().min()?;
            Some((path.clone(), begin.elapsed()))
        })
    }

    pub(crate) fn begin(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Does what reads an image.
    pub(crate) fn reading<T>(&self, number: usize, place: &Place, read: impl FnOnce() -> T) -> T {
        self.change(|reading| reading.insert(number, (Instant::now(), place.name())));
        let result = read();
        self.change(|reading| reading.remove(&number));
        self.done.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<usize, (Instant, PathBuf)>) -> T) -> T {
        change(&mut self.reading.lock().unwrap_or_else(PoisonError::into_inner))
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
        progress.reading(1, &place("first.png"), || {
            std::thread::sleep(Duration::from_millis(2));
            progress.reading(0, &place("second.png"), || {
                let (path, time) = progress.longest().unwrap();
                assert_eq!(path, PathBuf::from("first.png"));
                assert!(time >= Duration::from_millis(2));
            });
        });
        assert_eq!((progress.done(), progress.longest()), (2, None));
    }
}
