//! What is finished of a study: the arms that have complete seeds.
//!
//! Separate from the results, so that pages can be written from it.

use std::path::Path;

use anyhow::Result;

use super::study::{Arm, Study};
use super::summary::Summary;

/// An arm with the summaries of the seeds that are complete.
pub(super) struct Finished<'a> {
    pub(super) arm: &'a Arm,
    /// One list of summaries per seed.
    pub(super) seeds: Vec<(u64, Vec<Summary>)>,
}

/// Mean and sample standard deviation; a single number has a deviation of 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) std: f64,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, std: if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 } }
    }

    /// The standard deviation of two samples of the same size around their own means.
    pub(super) fn pooled(self, other: Self) -> f64 {
        f64::midpoint(self.std.powi(2), other.std.powi(2)).sqrt()
    }
}

impl Finished<'_> {
    /// The quality of a sub-network over the seeds, unless the arm's tables lack it.
    pub(super) fn at(&self, subnet: &str) -> Result<Option<Spread>> {
        let mut values = Vec::new();
        for (_, summaries) in &self.seeds {
            for summary in summaries {
                let rows = summary.rows()?;
                values.extend(rows.iter().find(|row| row.subnet == subnet).map(|row| row.quality));
            }
        }
        Ok((values.len() == self.seeds.len()).then(|| Spread::of(&values)))
    }
}

/// The arms that have at least one complete seed.
pub(super) fn finished<'a>(root: &Path, summaries: &Path, study: &'a Study) -> Result<Vec<Finished<'a>>> {
    let mut all = Vec::new();
    for arm in &study.arms {
        let mut seeds = Vec::new();
        for &seed in study.seeds {
            let found = study.of_arm(arm, seed).map(|training| Summary::find(root, summaries, &training));
            if let Some(found) = found.collect::<Result<Option<Vec<_>>>>()? {
                seeds.push((seed, found));
            }
        }
        if !seeds.is_empty() {
            all.push(Finished { arm, seeds });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_a_sample() {
        assert_eq!(Spread::of(&[1.0, 3.0]), Spread { mean: 2.0, std: 2.0_f64.sqrt() });
        assert_eq!(Spread::of(&[5.0]), Spread { mean: 5.0, std: 0.0 });
    }
}
