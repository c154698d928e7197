//! Draws the sub-networks of a training step, by the sandwich rule of mutual learning or by the rules of
//! the methods that it is compared with.

use rand::Rng;

use crate::rng::Key;
use crate::{InputSize, Subnet, Width, WidthRange};

mod regret;
pub use regret::Regret;

/// The widths that a step draws from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WidthChoice {
    /// A range, drawn from uniformly, to a millionth.
    Continuous(WidthRange),
    /// An ascending list of at least one width, drawn from uniformly.
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
            Self::Continuous(range) => range.draw(rng),
            Self::Grid(widths) => widths[rng.random_range(0..widths.len())],
        }
    }

    /// The nearest width to `width` that can be drawn.
    fn nearest(&self, width: Width) -> Width {
        match self {
            Self::Continuous(_) => width,
            Self::Grid(widths) => {
                let nearest = widths.iter().min_by_key(|at| at.millionths().abs_diff(width.millionths()));
                *nearest.expect("a grid has at least one width")
            }
        }
    }
}

impl WidthRange {
    fn draw(self, rng: &mut impl Rng) -> Width {
        let fraction = rng.random_range(self.smallest().fraction()..=self.full().fraction());
        Width::new(fraction).expect("a number between two widths is a width")
    }
}

/// The sizes at which the sub-networks of a step see the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputChoice {
    /// Every sub-network sees the largest one.
    Largest,
    /// Every sub-network sees the same one, which is drawn for the step.
    Common,
    /// The full network sees the largest one, and every student sees one that is drawn for it, possibly the largest.
    Own,
}

/// The sub-networks that a step trains: the full network, and then the students, which learn from its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSubnets {
    /// The full network, which learns from the labels.
    pub full: Subnet,
    /// The sub-networks that learn from the full network's output, widest first; there may be none.
    pub students: Vec<Subnet>,
}

/// Draws a [`StepSubnets`] for every step.
///
/// # Source
/// `[MN-ECCV §3.3]`, `[MN-code train.py train]`.
#[derive(Debug, Clone)]
pub struct SubnetSampler {
    /// The widths to draw from, whose ends are the smallest and the full width.
    pub widths: WidthChoice,
    /// The sizes of inputs, the largest first; at least one. Sizes with several resolutions and numbers of frames are all
    /// pairs of them, so that the two are drawn independently.
    pub inputs: Vec<InputSize>,
    /// Which sub-network sees which size.
    pub input_choice: InputChoice,
    /// Number of random sub-networks per step besides the smallest one; `None` if there are no students at all.
    pub n_random: Option<usize>,
}

impl SubnetSampler {
    /// Draws the sub-networks of the step with this key: the full network, and as students the smallest width and
    /// `n_random` random widths in descending order.
    ///
    /// With `adaptive`, random sub-networks are drawn where students lag most (see [`Regret`]).
    pub fn sample(&self, key: Key, adaptive: Option<&Regret>) -> StepSubnets {
        let mut rng = key.stream();
        let (smallest, full) = self.widths.ends();
        let common = match self.input_choice {
            InputChoice::Largest | InputChoice::Own => self.inputs[0],
            InputChoice::Common => self.any_input(&mut rng),
        };
        // All widths are drawn before any size, as in the reference.
        let mut drawn: Vec<(Width, Option<InputSize>)> = Vec::new();
        if let Some(n_random) = self.n_random {
            drawn.push((smallest, None));
            for _ in 0..n_random {
                drawn.push(match adaptive.and_then(|regret| regret.draw(&mut rng)) {
                    Some((width, input)) => (self.widths.nearest(width), Some(self.inputs[input])),
                    None => (self.widths.draw(&mut rng), None),
                });
            }
        }
        drawn.sort_by(|(a, _), (b, _)| b.cmp(a));
        let students = drawn.into_iter().map(|(width, input)| {
            let input = match self.input_choice {
                InputChoice::Largest | InputChoice::Common => common,
                InputChoice::Own => input.unwrap_or_else(|| self.any_input(&mut rng)),
            };
            Subnet { width, input }
        });
        StepSubnets { students: students.collect(), full: Subnet { width: full, input: common } }
    }

    fn any_input(&self, rng: &mut impl Rng) -> InputSize {
        self.inputs[rng.random_range(0..self.inputs.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use crate::{Frames, Resolution};

    fn sampler() -> SubnetSampler {
        let range = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        SubnetSampler {
            widths: WidthChoice::Continuous(range),
            inputs: [224, 192, 160, 128].map(|r| InputSize::image(Resolution::new(r).unwrap())).to_vec(),
            input_choice: InputChoice::Own,
            n_random: Some(2),
        }
    }

    fn draws(sampler: &SubnetSampler, n: u64) -> Vec<StepSubnets> {
        (0..n).map(|step| sampler.sample(Key::new(3, Purpose::Sample).step(step), None)).collect()
    }

    /// How often each resolution is among `subnets`.
    fn resolutions<'a>(
        subnets: impl IntoIterator<Item = &'a Subnet>,
    ) -> std::collections::BTreeMap<u32, usize> {
        let mut seen = std::collections::BTreeMap::new();
        for subnet in subnets {
            *seen.entry(subnet.input.resolution.get()).or_insert(0) += 1;
        }
        seen
    }

    #[test]
    fn every_step_is_a_sandwich() {
        let draws = draws(&sampler(), 400);
        for subnets in &draws {
            assert_eq!(subnets.full.to_string(), "1.0-224");
            assert_eq!(subnets.students.len(), 3);
            assert!(subnets.students.is_sorted_by(|a, b| a.width >= b.width));
            assert_eq!(subnets.students[2].width.to_string(), "0.25");
        }
        let seen = resolutions(draws.iter().flat_map(|subnets| &subnets.students));
        assert_eq!(seen.len(), 4);
        assert!(seen.values().all(|n| (240..360).contains(n)), "{seen:?}");
    }

    #[test]
    fn the_same_key_draws_the_same_in_every_version() {
        let draws = draws(&sampler(), 3)
            .into_iter()
            .map(|subnets| subnets.students.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let expected = [
            "0.63748-160 0.328275-128 0.25-128",
            "0.969648-128 0.79758-128 0.25-192",
            "0.722545-160 0.695707-224 0.25-160",
        ];
        assert_eq!(draws.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn frames_and_resolutions_are_drawn_independently() {
        let sizes = [224, 112].map(|r| Resolution::new(r).unwrap());
        let pairs = sizes
            .into_iter()
            .flat_map(|resolution| [8, 2].map(|n| InputSize { resolution, frames: Frames::new(n).unwrap() }));
        let sampler = SubnetSampler { inputs: pairs.collect(), ..sampler() };
        let draws = draws(&sampler, 400);
        let mut seen = std::collections::BTreeMap::new();
        for subnets in &draws {
            assert_eq!(subnets.full.to_string(), "1.0-224-8");
            for student in &subnets.students {
                *seen.entry(student.input.to_string()).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["112-2", "112-8", "224-2", "224-8"]);
        assert!(seen.values().all(|n| (240..360).contains(n)), "{seen:?}");
    }

    #[test]
    fn one_resolution_or_a_common_one() {
        let largest = SubnetSampler { input_choice: InputChoice::Largest, ..sampler() };
        for subnets in draws(&largest, 50) {
            assert_eq!(resolutions(subnets.students.iter().chain([&subnets.full])), [(224, 4)].into());
        }
        let common = SubnetSampler { input_choice: InputChoice::Common, ..sampler() };
        let draws = draws(&common, 400);
        for subnets in &draws {
            assert_eq!(resolutions(subnets.students.iter().chain([&subnets.full])).len(), 1);
        }
        let seen = resolutions(draws.iter().map(|subnets| &subnets.full));
        assert!(seen.len() == 4 && seen.values().all(|n| (70..130).contains(n)), "{seen:?}");
    }

    #[test]
    fn without_students_the_full_network_is_alone() {
        let alone = SubnetSampler { n_random: None, ..sampler() };
        assert!(draws(&alone, 20).iter().all(|subnets| subnets.students.is_empty()));
        let only_smallest = SubnetSampler { n_random: Some(0), ..sampler() };
        assert!(draws(&only_smallest, 20).iter().all(|subnets| subnets.students.len() == 1));
    }

    #[test]
    fn grid_widths_stay_on_the_grid() {
        let grid: Vec<_> = [0.25, 0.5, 1.0].map(|w| Width::new(w).unwrap()).to_vec();
        let sampler = SubnetSampler { widths: WidthChoice::Grid(grid.clone()), ..sampler() };
        for subnets in draws(&sampler, 50) {
            assert!(subnets.students.iter().all(|student| grid.contains(&student.width)));
        }
        let widths = WidthRange::new(grid[0], grid[2]).unwrap();
        let mut regret = Regret::new(widths, &sampler.inputs, 1.0);
        regret.observe("0.4-160".parse().unwrap(), 1.0);
        for step in 0..50 {
            let subnets = sampler.sample(Key::new(3, Purpose::Sample).step(step), Some(&regret));
            assert!(subnets.students.iter().all(|student| grid.contains(&student.width)));
        }
    }
}
