//! Which sub-networks a training step visits: the sandwich rule with an independent resolution for each.

use rand::Rng;

use crate::rng::Key;
use crate::{Resolution, Subnet, Width, WidthRange};

/// Where the random widths of a step come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WidthChoice {
    /// Uniform over the range, to a millionth.
    Continuous(WidthRange),
    /// Uniform over a list, ascending, of at least one width.
    Grid(Vec<Width>),
}

impl WidthChoice {
    fn ends(&self) -> (Width, Width) {
        match self {
            Self::Continuous(range) => (range.smallest(), range.full()),
            Self::Grid(widths) => (widths[0], widths[widths.len() - 1]),
        }
    }

    fn draw(&self, rng: &mut impl Rng) -> Width {
        match self {
            Self::Continuous(range) => {
                let fraction = rng.random_range(range.smallest().fraction()..=range.full().fraction());
                Width::new(fraction).expect("a number between two widths is a width")
            }
            Self::Grid(widths) => widths[rng.random_range(0..widths.len())],
        }
    }
}

/// One step: the full network teaches, the students learn from its output, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepPlan {
    /// The full network at the largest resolution; learns from the labels.
    pub full: Subnet,
    /// The sub-networks that learn from the full network's output, widest first.
    pub students: Vec<Subnet>,
}

/// Draws a [`StepPlan`] for every step.
///
/// # Source
/// `[MN-ECCV §3.3]`, `[MN-code train.py train]`.
#[derive(Debug, Clone)]
pub struct SandwichSampler {
    /// Where widths come from; its ends are the smallest and the full width.
    pub widths: WidthChoice,
    /// Resolutions, largest first; at least one.
    pub resolutions: Vec<Resolution>,
    /// Random sub-networks per step, besides the smallest.
    pub n_random: usize,
}

impl SandwichSampler {
    /// The plan of the step that `key` names: the full network at the largest resolution; the smallest and
    /// `n_random` random widths in descending order, each at a resolution drawn by itself (the largest included).
    pub fn sample(&self, key: Key) -> StepPlan {
        let mut rng = key.stream();
        let (smallest, full) = self.widths.ends();
        let mut widths = vec![smallest];
        widths.extend((0..self.n_random).map(|_| self.widths.draw(&mut rng)));
        widths.sort_unstable_by(|a, b| b.cmp(a));
        let students = widths.into_iter().map(|width| {
            let resolution = self.resolutions[rng.random_range(0..self.resolutions.len())];
            Subnet::image(width, resolution)
        });
        StepPlan { students: students.collect(), full: Subnet::image(full, self.resolutions[0]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn sampler() -> SandwichSampler {
        let range = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        SandwichSampler {
            widths: WidthChoice::Continuous(range),
            resolutions: [224, 192, 160, 128].map(|r| Resolution::new(r).unwrap()).to_vec(),
            n_random: 2,
        }
    }

    #[test]
    fn every_step_is_a_sandwich() {
        let sampler = sampler();
        let mut seen = std::collections::BTreeMap::new();
        for step in 0..400 {
            let plan = sampler.sample(Key::new(3, Purpose::Sample).step(step));
            assert_eq!(plan.full.to_string(), "1.0-224");
            assert_eq!(plan.students.len(), 3);
            assert!(plan.students.is_sorted_by(|a, b| a.width >= b.width));
            assert_eq!(plan.students[2].width.to_string(), "0.25");
            for student in plan.students {
                *seen.entry(student.resolution.get()).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), 4);
        assert!(seen.values().all(|n| (240..360).contains(n)), "{seen:?}");
    }

    #[test]
    fn grid_widths_stay_on_the_grid() {
        let grid: Vec<_> = [0.25, 0.5, 1.0].map(|w| Width::new(w).unwrap()).to_vec();
        let sampler = SandwichSampler { widths: WidthChoice::Grid(grid.clone()), ..sampler() };
        for step in 0..50 {
            let plan = sampler.sample(Key::new(0, Purpose::Sample).step(step));
            assert!(plan.students.iter().all(|student| grid.contains(&student.width)));
        }
    }
}
