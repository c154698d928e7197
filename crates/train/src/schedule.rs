//! What changes over a run: the learning rate, with a linear warm-up and a fall by the last step, and the weight of
//! the students.

use serde::{Deserialize, Serialize};

/// The curve along which the learning rate falls: to 0 and in every step, but for [`Self::Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine, as `CosineAnnealingLR` stepped per iteration `[MN-code train.py]`.
    #[default]
    Cosine,
    /// A straight line `[US-Net]`.
    Linear,
    /// The line to the power of 0.9, usual for segmentation `[torchvision references/segmentation]`.
    Poly,
    /// A tenth after two thirds of the run, and a hundredth after eleven twelfths, usual for detection `[MMDetection schedule_1x,
    /// schedule_2x]`.
    Step,
}

/// Exponent of [`Schedule::Poly`].
const POLY_POWER: f64 = 0.9;

/// The learning rate over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// The highest value, at the end of the warm-up.
    pub peak: f64,
    /// The curve after the warm-up.
    pub schedule: Schedule,
    /// Steps of linear warm-up: step `i` has `(i + 1) / warmup_steps` of the peak.
    pub warmup_steps: u64,
    /// Steps of the run.
    pub total_steps: u64,
}

impl LearningRate {
    /// The learning rate of a step.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let progress = (step - self.warmup_steps) as f64 / (self.total_steps - self.warmup_steps) as f64;
        match self.schedule {
            Schedule::Cosine => 0.5 * self.peak * (1.0 + (std::f64::consts::PI * progress).cos()),
            Schedule::Linear => self.peak * (1.0 - progress),
            Schedule::Poly => self.peak * (1.0 - progress).powf(POLY_POWER),
            Schedule::Step => self.peak * self.tenths(step),
        }
    }

    /// The share of the peak of a schedule in tenths; warm-up counts as a part of the run.
    fn tenths(&self, step: u64) -> f64 {
        match 12 * step / self.total_steps {
            0..8 => 1.0,
            8..11 => 0.1,
            _ => 0.01,
        }
    }
}

/// When the students of a run join, and how fast their weight rises.
///
/// # Source
/// The order is that of DεpS (ECCV 2024): the full network first, then sub-networks with a rising weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StudentRamp {
    /// Steps without students.
    pub start_steps: u64,
    /// Steps after these in which the weight rises linearly: step `i` of them has `(i + 1) / ramp_steps`.
    pub ramp_steps: u64,
}

impl StudentRamp {
    /// The weight of the students in a step, from 0 to 1; at 0 they take no part.
    pub fn at(&self, step: u64) -> f64 {
        match step.checked_sub(self.start_steps) {
            None => 0.0,
            Some(since) if since < self.ramp_steps => (since + 1) as f64 / self.ramp_steps as f64,
            Some(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSINE: LearningRate =
        LearningRate { peak: 0.5, schedule: Schedule::Cosine, warmup_steps: 0, total_steps: 100 };

    #[test]
    fn falls_from_the_peak_to_zero() {
        for schedule in [Schedule::Cosine, Schedule::Linear] {
            let lr = LearningRate { schedule, ..COSINE };
            assert_eq!(lr.at(0), 0.5);
            assert!((lr.at(50) - 0.25).abs() < 1e-12);
            assert!(lr.at(99) < 6e-3);
            assert!((1..100).all(|step| lr.at(step) < lr.at(step - 1)));
        }
    }

    /// `torch.optim.lr_scheduler.PolynomialLR(total_iters=100, power=0.9)`.
    #[test]
    fn poly_is_torchs() {
        let lr = LearningRate { schedule: Schedule::Poly, ..COSINE };
        for (step, expected) in [(0, 0.5), (50, 0.267_943_365_634_073_3), (99, 0.007_924_465_962_305_57)] {
            assert!((lr.at(step) - expected).abs() < 1e-12, "{step}: {}", lr.at(step));
        }
    }

    /// MMDetection's `schedule_2x`: 24 epochs, milestones at 16 and 22.
    #[test]
    fn steps_are_mmdetections() {
        let lr = LearningRate { schedule: Schedule::Step, warmup_steps: 10, total_steps: 2400, ..COSINE };
        let found = [9, 1599, 1600, 2199, 2200, 2399].map(|step| lr.at(step));
        assert_eq!(found, [0.5, 0.5, 0.05, 0.05, 0.005, 0.005]);
    }

    #[test]
    fn rises_before_it_falls() {
        let lr = LearningRate { warmup_steps: 10, ..COSINE };
        assert!((lr.at(0) - 0.05).abs() < 1e-12);
        assert!((1..10).all(|step| lr.at(step) > lr.at(step - 1)));
        assert_eq!((lr.at(9), lr.at(10)), (0.5, 0.5));
        assert!((lr.at(55) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn students_join_and_gain_weight() {
        let ramp = StudentRamp { start_steps: 3, ramp_steps: 4 };
        let weights: Vec<_> = (0..9).map(|step| ramp.at(step)).collect();
        assert_eq!(weights, [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        let at_once = StudentRamp { start_steps: 0, ramp_steps: 0 };
        assert!((0..9).all(|step| at_once.at(step) == 1.0));
    }
}
