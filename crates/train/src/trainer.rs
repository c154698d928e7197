//! One step of a run, from a batch to changed parameters, with everything that the recipe switches on.
//!
//! Separate from the run itself so that `plan` times exactly what `train` does.

use std::marker::PhantomData;
use std::rc::Rc;

use mutualnet_core::Subnet;
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::sample::{StepSubnets, SubnetSampler};
use mutualnet_data::Batch;
use mutualnet_engine::{Device, Tensor};
use mutualnet_nn::Net;

use crate::Result;
use crate::mutual_step::{StepLosses, mutual_step};
use crate::plan::Plan;
use crate::ranks::Ranks;
use crate::recipe::Recipe;
use crate::schedule::{LearningRate, StudentRamp};
use crate::state::State;
use crate::step_batch::{Pyramid, StepBatch};
use crate::step_rules::{StepDropout, StepRules, Teacher, TeacherKind};
use crate::task::Objective;

/// The network, its state, and what the recipe says about steps.
pub(crate) struct Trainer<O> {
    objective: PhantomData<O>,
    recipe: Recipe,
    net: Net,
    device: Device,
    sampler: SubnetSampler,
    lr: LearningRate,
    ramp: StudentRamp,
    ranks: Rc<Ranks>,
    pub(crate) state: State,
}

/// What came of a step.
pub(crate) enum Stepped {
    /// The parameters were updated.
    Learned { lr: f64, losses: StepLosses },
    /// A loss or a gradient was NaN or infinite, and the parameters stay as they were.
    NonFinite { subnet: Subnet, layer: Option<String> },
}

impl<O: Objective> Trainer<O> {
    pub(crate) fn new(plan: &Plan, net: Net, device: Device, ranks: Rc<Ranks>, state: State) -> Self {
        let recipe = plan.recipe.clone();
        let (lr, ramp) = (plan.learning_rate(), plan.student_ramp());
        let sampler = recipe.sampler().clone();
        Self { objective: PhantomData, sampler, lr, ramp, recipe, net, device, ranks, state }
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// The sub-networks of the next step.
    pub(crate) fn draw(&self) -> StepSubnets {
        let mut subnets = self.draw_with_students();
        if self.ramp.at(self.state.step) == 0.0 {
            subnets.students.clear();
        }
        subnets
    }

    /// The sub-networks of the next step, as if the students had joined.
    pub(crate) fn draw_with_students(&self) -> StepSubnets {
        let key = Key::new(self.recipe.seed, Purpose::Sample).step(self.state.step);
        self.sampler.sample(key, self.state.regret.as_ref())
    }

    /// Does the next step, of which every process does its part.
    pub(crate) fn step(&mut self, batch: &mut Batch, subnets: &StepSubnets) -> Result<Stepped> {
        let on_device = StepBatch::<O>::new(batch, self.device)?;
        let work = || mutual_step(&self.net, &self.state.parameters, &on_device, subnets, &self.rules());
        let (mut gradients, losses) =
            if self.recipe.train.sync_batch_norm { self.ranks.sharing_norms(work)? } else { work()? };
        let stepped = if is_finite(&losses, &gradients)? {
            let lr = self.lr.at(self.state.step);
            if let Some(clip) = self.recipe.train.clip {
                clip.apply(&mut gradients)?;
            }
            self.state.update(&gradients, lr)?;
            self.observe(&losses);
            Stepped::Learned { lr, losses }
        } else {
            self.state.n_non_finite += 1;
            self.find_non_finite(&on_device, subnets, &losses)?
        };
        self.state.step += 1;
        Ok(stepped)
    }

    fn rules(&self) -> StepRules<'_> {
        let train = &self.recipe.train;
        // Every process leaves out other features.
        let process = self.ranks.part().index as u32;
        let key = Key::new(self.recipe.seed, Purpose::Dropout).step(self.state.step).epoch(process);
        let dropout = StepDropout { share: train.dropout, regularize: train.regularize, key };
        let teacher = match (train.teacher, &self.state.average) {
            (TeacherKind::Ema, Some(average)) => Teacher::Ema(average.parameters()),
            (TeacherKind::Ensemble, _) => Teacher::Ensemble(self.recipe.inputs()),
            _ => Teacher::Full,
        };
        StepRules {
            full_weight: train.full_weight,
            ramp: self.ramp.at(self.state.step),
            student_weights: train.student_weights,
            student_labels: train.student_labels.unwrap_or(O::STUDENT_LABELS),
            teacher,
            divergence: train.divergence,
            label_smoothing: train.label_smoothing,
            dropout: (train.dropout > 0.0).then_some(dropout),
            ranks: Some(&*self.ranks),
        }
    }

    fn observe(&mut self, losses: &StepLosses) {
        if let Some(regret) = &mut self.state.regret {
            for student in &losses.students {
                regret.observe(student.subnet, student.loss);
            }
        }
    }

    /// The sub-network and the first layer that produced NaN or infinity.
    fn find_non_finite(
        &self,
        on_device: &StepBatch<O>,
        subnets: &StepSubnets,
        losses: &StepLosses,
    ) -> Result<Stepped> {
        let student = losses.students.iter().find(|student| !student.loss.is_finite());
        let subnet =
            if losses.full.is_finite() { student.map_or(subnets.full, |s| s.subnet) } else { subnets.full };
        let slice = self.net.slice(&self.state.parameters, subnet.width)?;
        let pyramid = Pyramid::new(&on_device.images, [subnet.input])?;
        let inputs = pyramid.inputs(self.net.network(), subnet.input);
        let layer =
            mutualnet_engine::no_grad(|| self.net.first_non_finite(&slice, &inputs))?.map(str::to_owned);
        Ok(Stepped::NonFinite { subnet, layer })
    }
}

fn is_finite(losses: &StepLosses, gradients: &[Tensor]) -> Result<bool> {
    if !losses.full.is_finite() || losses.students.iter().any(|student| !student.loss.is_finite()) {
        return Ok(false);
    }
    // One sum per tensor: a single NaN or infinity shows in it, and it costs less than looking at every number.
    for gradient in gradients {
        if !gradient.sum()?.scalar()?.is_finite() {
            return Ok(false);
        }
    }
    Ok(true)
}
