//! How good a row is, with the confidence interval that the size of the test split allows.
//!
//! Separate because each metric has an interval of its own: counts have a formula, everything else is resampled.

use mutualnet_core::rng::{Key, Purpose};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The value of the table's [`Metric`](mutualnet_core::Metric) for a row, with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// From 0 to 1; more is better.
    pub value: f64,
    /// Lower bound of the interval.
    pub low: f64,
    /// Upper bound of the interval.
    pub high: f64,
    /// Number of samples.
    pub n: u64,
}

/// How often the samples are drawn anew for a bootstrap interval.
const RESAMPLES: usize = 1000;

impl Quality {
    /// The accuracy of `correct` answers out of `n`, with Wilson's score interval.
    ///
    /// # Errors
    /// `n` is 0, or `correct` is above `n`.
    ///
    /// # Source
    /// `[Wilson 1927]`.
    pub fn of_counts(correct: u64, n: u64) -> Result<Self> {
        /// 97.5 % quantile of the normal distribution.
        const Z: f64 = 1.959_963_984_540_054;
        if n == 0 || correct > n {
            return Err(Error::Accuracy { correct, n });
        }
        let samples = n as f64;
        let value = correct as f64 / samples;
        let scale = 1.0 + Z * Z / samples;
        let center = (value + Z * Z / (2.0 * samples)) / scale;
        let spread = value * (1.0 - value) / samples + Z * Z / (4.0 * samples * samples);
        let half = Z * spread.sqrt() / scale;
        // If no answer or every answer is correct, rounding could put the bounds on the wrong side of the value.
        Ok(Self { value, low: (center - half).clamp(0.0, value), high: (center + half).clamp(value, 1.0), n })
    }

    /// A measure of `n` samples together, with its bootstrap interval: the 2.5 % and 97.5 % quantiles of the measure over
    /// 1000 draws of `n` samples with replacement. The same samples give the same interval.
    ///
    /// `measure` gets how often every sample counts, and returns a number from 0 to 1.
    ///
    /// # Errors
    /// There are no samples.
    ///
    /// # Source
    /// `[Efron 1979]`.
    pub fn of_samples(n: usize, measure: impl Fn(&[u32]) -> f64) -> Result<Self> {
        if n == 0 {
            return Err(Error::Accuracy { correct: 0, n: 0 });
        }
        let value = measure(&vec![1; n]);
        let mut rng = Key::new(0, Purpose::Bootstrap).stream();
        let mut draw = || {
            let mut counts = vec![0; n];
            (0..n).for_each(|_| counts[rng.random_range(0..n)] += 1);
            measure(&counts)
        };
        let mut drawn: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
        drawn.sort_by(f64::total_cmp);
        let tail = RESAMPLES / 40;
        let (low, high) = (drawn[tail].min(value), drawn[RESAMPLES - 1 - tail].max(value));
        Ok(Self { value, low, high, n: n as u64 })
    }

    pub(super) fn is_valid(&self) -> bool {
        self.n >= 1
            && 0.0 <= self.low
            && self.low <= self.value
            && self.value <= self.high
            && self.high <= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_counts_is_wilsons() {
        // From the closed formula, evaluated in Python.
        for (correct, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889),
            (10, 10, 0.722_467_200_137_110_7, 1.0),
            (50, 100, 0.403_831_530_365_995_5, 0.596_168_469_634_004_5),
            (9123, 10_000, 0.906_596_564_280_600_5, 0.917_686_790_662_939_5),
        ] {
            let accuracy = Quality::of_counts(correct, n).unwrap();
            assert!((accuracy.low - low).abs() < 1e-9, "{accuracy:?}");
            assert!((accuracy.high - high).abs() < 1e-9, "{accuracy:?}");
            assert!(accuracy.is_valid());
        }
        assert!(Quality::of_counts(0, 0).is_err());
        assert!(Quality::of_counts(3, 2).is_err());
    }

    #[test]
    fn resampled_counts_have_nearly_wilsons_interval() {
        let n = 1000;
        let is_correct = |sample: usize| sample % 10 < 7;
        let share = |counts: &[u32]| {
            let correct: u32 = (0..n).filter(|&sample| is_correct(sample)).map(|sample| counts[sample]).sum();
            f64::from(correct) / n as f64
        };
        let (resampled, exact) =
            (Quality::of_samples(n, share).unwrap(), Quality::of_counts(700, 1000).unwrap());
        assert_eq!(resampled.value, 0.7);
        let off = (resampled.low - exact.low).abs().max((resampled.high - exact.high).abs());
        assert!(off < 0.004, "{resampled:?} {exact:?}");
        assert_eq!(Quality::of_samples(n, share).unwrap(), resampled);
        assert!(Quality::of_samples(0, |_| 0.0).is_err());
    }
}
