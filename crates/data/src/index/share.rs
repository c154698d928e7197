//! Shares of a split: fewer samples of every class, for trying things out on a large data set.
//!
//! Invariant: nothing is random; a share has the same samples for every seed, and some of every class.

use std::ops::Range;

use super::{Dataset, SampleRef};
use crate::{Error, Result};

impl Dataset {
    /// The same classes with this share of the samples of each, but at least one if the class has any.
    ///
    /// Images with masks or objects are shared as if they were of one class. The samples are evenly spaced over those of
    /// their class, in the data set's order, beginning with the first.
    ///
    /// # Errors
    /// A share outside (0, 1].
    pub fn share(&self, fraction: f64) -> Result<Self> {
        if !(fraction > 0.0 && fraction <= 1.0) {
            let reason = format!("{fraction} is not above 0 and at most 1");
            return Err(Error::Setting { setting: "train_share", reason });
        }
        let mut samples = Vec::new();
        let keep = |range: &Range<usize>| {
            let first = samples.len();
            samples.extend(evenly_spaced(&self.samples[range.clone()], fraction).cloned());
            first..samples.len()
        };
        let ranges = self.ranges.iter().map(keep).collect();
        Ok(Self { samples, ranges, ..self.clone() })
    }
}

/// As many of `n` samples as come closest to `fraction`: sample `i * n / kept` for every `i`.
fn evenly_spaced(class: &[SampleRef], fraction: f64) -> impl Iterator<Item = &SampleRef> {
    let n = class.len();
    let kept = ((n as f64 * fraction).round() as usize).max(1).min(n);
    (0..kept).map(move |i| &class[i * n / kept])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Ten images of a cat, three of a dog, none of an ant.
    fn dataset() -> (tempfile::TempDir, Dataset) {
        let dir = tempfile::tempdir().unwrap();
        for (class, n) in [("ant", 0), ("cat", 10), ("dog", 3)] {
            fs::create_dir(dir.path().join(class)).unwrap();
            for i in 0..n {
                fs::write(dir.path().join(format!("{class}/{i}.png")), "png").unwrap();
            }
        }
        let dataset = Dataset::open(dir.path()).unwrap();
        (dir, dataset)
    }

    fn names(dataset: &Dataset) -> Vec<String> {
        dataset.samples().iter().map(|sample| sample.place.name().display().to_string()).collect()
    }

    #[test]
    fn a_share_is_evenly_spaced_over_every_class() {
        let (_dir, dataset) = dataset();
        let share = dataset.share(0.4).unwrap();
        assert_eq!(names(&share), ["cat/0.png", "cat/2.png", "cat/5.png", "cat/7.png", "dog/0.png"]);
        assert_eq!([0, 1, 2].map(|class| share.class_range(class)), [0..0, 0..4, 4..5]);
        assert_eq!((share.classes(), share.notices()), (dataset.classes(), dataset.notices()));
        assert_eq!(share.samples()[4].class(), 2);
        assert_ne!(share.hash(), dataset.hash());
    }

    #[test]
    fn every_class_keeps_one_and_the_whole_is_the_whole() {
        let (_dir, dataset) = dataset();
        assert_eq!(names(&dataset.share(1e-6).unwrap()), ["cat/0.png", "dog/0.png"]);
        let whole = dataset.share(1.0).unwrap();
        assert_eq!((whole.samples(), whole.hash()), (dataset.samples(), dataset.hash()));
    }

    #[test]
    fn what_is_no_share_is_named() {
        let (_dir, dataset) = dataset();
        for fraction in [0.0, -0.5, 1.01, f64::NAN] {
            let error = dataset.share(fraction).unwrap_err().to_string();
            assert!(error.starts_with("train_share: "), "{error}");
        }
    }
}
