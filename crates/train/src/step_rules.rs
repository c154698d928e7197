//! Departures of a training step from the paper: the teacher, the distance from it, and regularization against
//! overfitting.
//!
//! All are off by default; `docs/methods.md` says where each comes from.

use mutualnet_core::rng::Key;
use mutualnet_core::{InputSize, Subnet};
use mutualnet_engine::no_grad;
use mutualnet_nn::{Dropout, Net, Norm, Parameters};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::divergence::Divergence;
use crate::ranks::Ranks;
use crate::step_batch::{Pyramid, StepBatch};
use crate::task::{Objective, Pass};

/// Whose output students learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TeacherKind {
    /// The full network as it is in this step `[MN-ECCV]`.
    #[default]
    Full,
    /// The running average of the full network; needs `train.ema` `[DS-Net]`.
    Ema,
    /// The full network's mean output over all resolutions `[RS-Net]`.
    Ensemble,
}

/// Which networks of a step dropout applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Regularize {
    /// All networks of the step.
    #[default]
    All,
    /// Only the full network `[BigNAS]`.
    Full,
}

/// How much the losses of students weigh against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum StudentWeights {
    /// All the same `[MN-ECCV]`.
    #[default]
    Equal,
    /// Each as much as its share of the full width `[SlimCLR]`.
    Width,
}

/// The teacher of a step, with what it needs.
#[derive(Debug, Clone, Copy, Default)]
pub enum Teacher<'a> {
    /// The full network of this step.
    #[default]
    Full,
    /// The full network of these averaged parameters.
    Ema(&'a Parameters),
    /// The mean of the full network's logits over inputs of these sizes.
    Ensemble(&'a [InputSize]),
}

/// Dropout of one step. Every network of the step drops features of its own.
#[derive(Debug, Clone, Copy)]
pub struct StepDropout {
    /// Share of the features that are dropped.
    pub share: f64,
    /// Which networks it applies to.
    pub regularize: Regularize,
    /// The step's key for random draws.
    pub key: Key,
}

/// The rules of one step. The default is the paper's.
#[derive(Debug, Clone, Copy)]
pub struct StepRules<'a> {
    /// Weight of the full network's loss.
    pub full_weight: f64,
    /// How far the students' weight has risen, from 0 to 1.
    pub ramp: f64,
    /// How the losses of students weigh against each other.
    pub student_weights: StudentWeights,
    /// Share of a student's loss that comes from the labels; the rest comes from the teacher.
    pub student_labels: f64,
    /// The teacher of the students.
    pub teacher: Teacher<'a>,
    /// How their distance from it is measured.
    pub divergence: Divergence,
    /// Share of a label that is spread over all classes.
    pub label_smoothing: f64,
    /// Dropout before the classifier, if any.
    pub dropout: Option<StepDropout>,
    /// The processes that share the batch; without it, there is one.
    pub ranks: Option<&'a Ranks>,
}

impl Default for StepRules<'_> {
    fn default() -> Self {
        Self {
            full_weight: 1.0,
            ramp: 1.0,
            student_weights: StudentWeights::default(),
            student_labels: 0.0,
            teacher: Teacher::default(),
            divergence: Divergence::default(),
            label_smoothing: 0.0,
            dropout: None,
            ranks: None,
        }
    }
}

impl StepRules<'_> {
    /// The weight of a student's loss.
    pub(crate) fn weight_of(&self, student: Subnet, full: Subnet) -> f64 {
        match self.student_weights {
            StudentWeights::Equal => self.ramp,
            StudentWeights::Width => self.ramp * student.width.fraction() / full.width.fraction(),
        }
    }

    /// Dropout of the full network (0) or of a student (1, 2, …).
    pub(crate) fn dropout_of(&self, network: usize) -> Option<Dropout> {
        let StepDropout { share, regularize, key } = self.dropout?;
        let applies = network == 0 || regularize == Regularize::All;
        applies.then(|| Dropout { share, key: key.sample(network as u64) })
    }

    /// Sizes of inputs that the teacher needs besides that of the full network.
    pub(crate) fn more_inputs(&self) -> &[InputSize] {
        match self.teacher {
            Teacher::Full | Teacher::Ema(_) => &[],
            Teacher::Ensemble(inputs) => inputs,
        }
    }
}

impl Teacher<'_> {
    /// What the teacher answers for the batch, without gradients; `own` is the full network's answer in this step.
    pub(crate) fn answer<O: Objective>(
        &self,
        net: &Net,
        parameters: &Parameters,
        (batch, pyramid): (&StepBatch<O>, &Pyramid),
        (full, own): (Subnet, O::Answer),
    ) -> Result<O::Answer> {
        let run = |parameters: &Parameters, input| {
            let slice = net.slice(parameters, full.width)?;
            let (inputs, norm) = (pyramid.inputs(net.network(), input), Norm::Batch);
            O::answer(Pass { net, slice: &slice, inputs: &inputs, norm, dropout: None }, &batch.targets, None)
        };
        no_grad(|| match *self {
            Self::Full => Ok(own),
            Self::Ema(average) => run(average, full.input),
            Self::Ensemble(inputs) => {
                let mut answers = vec![own];
                for &input in inputs.iter().filter(|&&input| input != full.input) {
                    answers.push(run(parameters, input)?);
                }
                O::mean(&answers, &batch.targets)
            }
        })
    }
}
