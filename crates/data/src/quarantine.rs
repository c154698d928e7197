//! Broken files found while loading: who stands in for them, and how many are too many.
//!
//! Invariant: the stand-in depends on the files alone, so every thread and every run finds the same one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{BrokenFile, Dataset, Error, Image, Result};

/// The broken files of a data set that are known so far.
#[derive(Debug)]
pub(crate) struct Quarantine {
    limit: usize,
    reasons: Mutex<BTreeMap<u32, String>>,
}

impl Quarantine {
    /// Allows a share of the samples to be broken, and always one.
    pub(crate) fn new(n_samples: usize, share: f64) -> Self {
        let limit = ((n_samples as f64 * share) as usize).max(usize::from(share > 0.0));
        Self { limit, reasons: Mutex::default() }
    }

    /// Decodes a sample, or the next sample of its class that can be decoded; says which one it was.
    pub(crate) fn decode(&self, dataset: &Dataset, index: u32) -> Result<(u32, Image)> {
        let class = dataset.samples()[index as usize].class;
        let range = dataset.class_range(class);
        for step in 0..range.len() {
            let candidate = range.start + (index as usize - range.start + step) % range.len();
            if let Some(image) = self.try_decode(dataset, candidate as u32)? {
                return Ok((candidate as u32, image));
            }
        }
        Err(Error::ClassUnreadable { class: dataset.classes()[class as usize].clone() })
    }

    fn try_decode(&self, dataset: &Dataset, index: u32) -> Result<Option<Image>> {
        if self.lock().contains_key(&index) {
            return Ok(None);
        }
        match dataset.samples()[index as usize].place.read(dataset.dir()) {
            Ok(image) => Ok(Some(image)),
            Err(error) => {
                let mut reasons = self.lock();
                reasons.insert(index, error.to_string());
                if reasons.len() > self.limit {
                    let files = named(dataset, &reasons);
                    return Err(Error::TooManyBroken { limit: self.limit, files });
                }
                Ok(None)
            }
        }
    }

    /// All files found broken so far, in the data set's order.
    pub(crate) fn files(&self, dataset: &Dataset) -> Vec<BrokenFile> {
        named(dataset, &self.lock())
    }

    /// A panic elsewhere leaves the map whole: every change is one insertion.
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
