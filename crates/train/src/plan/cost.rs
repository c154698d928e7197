//! What a step of a method costs, in MACs of forward passes.
//!
//! Separate because the plan compares expected costs, and timing scales measured steps by them.

use mutualnet_core::sample::{InputChoice, StepSubnets};
use mutualnet_core::{InputSize, Network, Subnet, Width};

use mutualnet_zoo::Purpose;

use super::{build, network};
use crate::recipe::Recipe;
use crate::step_rules::TeacherKind;
use crate::{Error, Result};

/// Number of widths that stand in for a continuous range.
const GRID: usize = 64;
/// Share of the forward pass in a training step: the backward pass costs twice as much.
const FORWARD: f64 = 1.0 / 3.0;

/// Mean MACs of a step over those of plain training of the widest network at the largest resolution, over all
/// sub-networks that the method can draw. Adaptive sampling counts as uniform.
pub(super) fn relative(recipe: &Recipe, classes: usize) -> Result<f64> {
    let plain = build(Purpose::Training, recipe, recipe.network.widths, classes)?;
    let plain = macs(&plain, recipe.network.widths.full(), &[recipe.largest_input()])?;
    Ok(StepCost::new(recipe, classes)?.expected()? / plain)
}

/// The cost of steps: MACs per image of the forward passes that learn, and a third of those that only teach.
pub(crate) struct StepCost<'a> {
    recipe: &'a Recipe,
    network: Network,
}

impl<'a> StepCost<'a> {
    pub(crate) fn new(recipe: &'a Recipe, classes: usize) -> Result<Self> {
        Ok(Self { recipe, network: network(recipe, classes)? })
    }

    /// The mean over all steps that the method can draw.
    pub(crate) fn expected(&self) -> Result<f64> {
        let all = self.recipe.inputs();
        let seen = match self.recipe.train.method.input_choice() {
            InputChoice::Common => all,
            InputChoice::Largest | InputChoice::Own => &all[..1],
        };
        let alone = self.own(seen)?;
        let with_students = alone + self.teaching(alone)? + self.students()?;
        let start = self.recipe.train.students_start;
        Ok(start * alone + (1.0 - start) * with_students)
    }

    /// The cost of one step.
    pub(crate) fn of(&self, subnets: &StepSubnets) -> Result<f64> {
        let own = self.own(&[subnets.full.input])?;
        if subnets.students.is_empty() {
            return Ok(own);
        }
        let students = subnets.students.iter();
        let students = students.map(|student| macs(&self.network, student.width, &[student.input]));
        Ok(own + self.teaching(own)? + students.sum::<Result<f64>>()?)
    }

    /// The full network's pass, mean over the inputs that it sees.
    fn own(&self, seen: &[InputSize]) -> Result<f64> {
        macs(&self.network, self.recipe.trained_widths().full(), seen)
    }

    /// What teaching takes besides the full network's own pass.
    fn teaching(&self, own: f64) -> Result<f64> {
        let all = self.recipe.inputs();
        Ok(match self.recipe.train.teacher {
            TeacherKind::Full => 0.0,
            TeacherKind::Ema => FORWARD * own,
            TeacherKind::Ensemble => FORWARD * (self.own(all)? * all.len() as f64 - own).max(0.0),
        })
    }

    /// The mean of the last student alone, which is the narrowest one; 0 without students.
    pub(crate) fn of_last_student(&self) -> Result<f64> {
        let train = &self.recipe.train;
        if !train.method.has_students() {
            return Ok(0.0);
        }
        macs(&self.network, self.recipe.trained_widths().smallest(), self.seen_by_students())
    }

    /// The inputs that students see.
    fn seen_by_students(&self) -> &[InputSize] {
        let all = self.recipe.inputs();
        match self.recipe.train.method.input_choice() {
            InputChoice::Largest => &all[..1],
            InputChoice::Common | InputChoice::Own => all,
        }
    }

    fn students(&self) -> Result<f64> {
        let train = &self.recipe.train;
        if !train.method.has_students() {
            return Ok(0.0);
        }
        let seen = self.seen_by_students();
        let range = self.recipe.trained_widths();
        let (low, high) = (range.smallest().fraction(), range.full().fraction());
        let widths = match train.width_step {
            Some(step) => range.grid(step)?,
            None => (0..GRID)
                .map(|i| Width::new(low + (high - low) * (i as f64 + 0.5) / GRID as f64))
                .collect::<Result<_, _>>()?,
        };
        let random = widths.iter().map(|&width| macs(&self.network, width, seen)).sum::<Result<f64>>()?;
        Ok(self.of_last_student()? + train.random_subnets as f64 * random / widths.len() as f64)
    }
}

/// Mean MACs of a width over inputs of these sizes.
fn macs(network: &Network, width: Width, inputs: &[InputSize]) -> Result<f64> {
    let macs = inputs.iter().map(|&input| Ok::<_, Error>(network.macs(Subnet { width, input })?.as_f64()));
    Ok(macs.sum::<Result<f64>>()? / inputs.len() as f64)
}
