//! Accuracy, with the confidence interval that the sample size allows.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Fraction of correct answers, with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Correct answers over all answers, from 0 to 1.
    pub value: f64,
    /// Lower bound of the interval.
    pub low: f64,
    /// Upper bound of the interval.
    pub high: f64,
    /// Number of samples.
    pub n: u64,
}

impl Accuracy {
    /// Computes the accuracy from counts, with Wilson's score interval.
    ///
    /// # Errors
    /// `n` is 0, or `correct` is above `n`.
    ///
    /// # Source
    /// `[Wilson 1927]`.
    pub fn new(correct: u64, n: u64) -> Result<Self> {
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
    fn the_interval_is_wilsons() {
        // From the closed formula, evaluated in Python.
        for (correct, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889),
            (10, 10, 0.722_467_200_137_110_7, 1.0),
            (50, 100, 0.403_831_530_365_995_5, 0.596_168_469_634_004_5),
            (9123, 10_000, 0.906_596_564_280_600_5, 0.917_686_790_662_939_5),
        ] {
            let accuracy = Accuracy::new(correct, n).unwrap();
            assert!((accuracy.low - low).abs() < 1e-9, "{accuracy:?}");
            assert!((accuracy.high - high).abs() < 1e-9, "{accuracy:?}");
            assert!(accuracy.is_valid());
        }
        assert!(Accuracy::new(0, 0).is_err());
        assert!(Accuracy::new(3, 2).is_err());
    }
}
