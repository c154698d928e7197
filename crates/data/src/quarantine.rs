//! Broken files found while loading: what replaces them, and how many are too many.
//!
//! Invariant: the replacement depends on the files alone, so that every thread and every run picks the same one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mutualnet_core::Task;

use crate::{BrokenFile, Dataset, Error, Result, SampleError, SampleRef};

/// The files of a data set that are known to be broken so far.
#[derive(Debug)]
pub(crate) struct Quarantine {
    limit: usize,
    reasons: Mutex<BTreeMap<u32, String>>,
}

impl Quarantine {
    /// Allows a share of the samples to be broken, but at least one unless the share is 0.
    pub(crate) fn new(n_samples: usize, share: f64) -> Self {
        let limit = ((n_samples as f64 * share) as usize).max(usize::from(share > 0.0));
        Self { limit, reasons: Mutex::default() }
    }

    /// Tries a sample, and then the next samples of its class until one works; returns the sample that worked.
    ///
    /// Samples that are known to be broken are tried again: an image may be damaged only outside this crop, and its
    /// replacement must not depend on what was loaded before.
    pub(crate) fn first_usable(
        &self,
        dataset: &Dataset,
        index: u32,
        mut attempt: impl FnMut(u32, &SampleRef) -> Result<(), SampleError>,
    ) -> Result<u32> {
        let class = dataset.samples()[index as usize].class();
        let range = dataset.class_range(class);
        for step in 0..range.len() {
            let candidate = (range.start + (index as usize - range.start + step) % range.len()) as u32;
            if self.is_usable(dataset, candidate, &mut attempt)? {
                return Ok(candidate);
            }
        }
        if dataset.task() != Task::Classify {
            return Err(Error::LabelsUnreadable { path: dataset.dir().to_owned() });
        }
        Err(Error::ClassUnreadable { class: dataset.classes()[class as usize].clone() })
    }

    /// Tries a sample that is not replaced if it is broken; returns whether it worked.
    pub(crate) fn is_usable(
        &self,
        dataset: &Dataset,
        index: u32,
        attempt: impl FnOnce(u32, &SampleRef) -> Result<(), SampleError>,
    ) -> Result<bool> {
        match attempt(index, &dataset.samples()[index as usize]) {
            Ok(()) => Ok(true),
            // The file is not at fault, and the next one would fail as well.
            Err(SampleError::Video(source)) if source.is_missing_program() => {
                let place = &dataset.samples()[index as usize].place;
                let path = dataset.dir().join(place.name());
                Err(mutualnet_video::Error::Read { path, source }.into())
            }
            Err(reason) => self.note(dataset, index, &reason).map(|()| false),
        }
    }

    fn note(&self, dataset: &Dataset, index: u32, reason: &SampleError) -> Result<()> {
        let mut reasons = self.lock();
        reasons.entry(index).or_insert_with(|| reason.to_string());
        if reasons.len() > self.limit {
            let files = named(dataset, &reasons);
            return Err(Error::TooManyBroken { limit: self.limit, files });
        }
        Ok(())
    }

    /// All files found broken so far, in the data set's order.
    pub(crate) fn files(&self, dataset: &Dataset) -> Vec<BrokenFile> {
        named(dataset, &self.lock())
    }

    /// A panic elsewhere leaves the map intact, because every change is a single insertion.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(dataset: &Dataset, reasons: &BTreeMap<u32, String>) -> Vec<BrokenFile> {
    let file = |(index, reason): (&u32, &String)| BrokenFile {
        path: dataset.samples()[*index as usize].place.name(),
        reason: reason.clone(),
    };
    reasons.iter().map(file).collect()
}
