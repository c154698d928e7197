//! Precision over recall, for one threshold of overlap.
//!
//! Separate because this is the arithmetic that has to agree with pycocotools to the last bits.

/// Thresholds of overlap: 0.5, 0.55, … 0.95.
pub(super) const N_THRESHOLDS: usize = 10;
/// Recalls at which precision is averaged: 0, 0.01, … 1.
const N_RECALLS: usize = 101;

/// Threshold number `i`, as numpy's `linspace` computes it.
pub(super) fn threshold(i: usize) -> f64 {
    const STEP: f64 = (0.95 - 0.5) / (N_THRESHOLDS - 1) as f64;
    if i == N_THRESHOLDS - 1 { 0.95 } else { i as f64 * STEP + 0.5 }
}

/// Hits and misses in order of their scores.
pub(super) struct Curve {
    expected: f64,
    hits: u64,
    misses: u64,
    /// Recall and precision after every hit. A miss only lowers precision, so it is never the best of what follows.
    points: Vec<[f64; 2]>,
}

impl Curve {
    /// An empty curve for so many objects that should be found.
    pub(super) fn new(expected: u64) -> Self {
        Self { expected: expected as f64, hits: 0, misses: 0, points: vec![] }
    }

    /// Appends a detection that counts several times.
    pub(super) fn add(&mut self, is_hit: bool, times: u64) {
        if !is_hit {
            self.misses += times;
        } else if times > 0 {
            self.hits += times;
            let (hits, misses) = (self.hits as f64, self.misses as f64);
            self.points.push([hits / self.expected, hits / (misses + hits + f64::EPSILON)]);
        }
    }

    fn recall(&self) -> f64 {
        self.hits as f64 / self.expected
    }

    /// The mean over all recalls of the best precision at that recall or a higher one.
    fn average_precision(&self) -> f64 {
        let (mut sum, mut best, mut points) = (0.0, 0.0_f64, self.points.as_slice());
        for i in (0..N_RECALLS).rev() {
            let at = if i == N_RECALLS - 1 { 1.0 } else { i as f64 * 0.01 };
            while let Some(([recall, precision], rest)) = points.split_last()
                && *recall >= at
            {
                best = best.max(*precision);
                points = rest;
            }
            sum += best;
        }
        sum / N_RECALLS as f64
    }
}

/// Average precision and recall at every threshold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Averages {
    pub(super) precision: [f64; N_THRESHOLDS],
    pub(super) recall: [f64; N_THRESHOLDS],
}

impl Averages {
    pub(super) fn of(curves: [Curve; N_THRESHOLDS]) -> Self {
        let recall = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|threshold: usize| curves[threshold].recall());
        Self { precision: curves.map(|curve| curve.average_precision()), recall }
    }

    pub(super) fn mean_ap(&self) -> f64 {
        self.precision.iter().sum::<f64>() / N_THRESHOLDS as f64
    }

    pub(super) fn mean_recall(&self) -> f64 {
        self.recall.iter().sum::<f64>() / N_THRESHOLDS as f64
    }
}
