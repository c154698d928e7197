//! What a step may do differently from the paper: who teaches, how far a student is from its teacher, and how
//! overfitting of the full network is held back. Off by default; `docs/methods.md` says where each comes from.

use mutualnet_core::rng::Key;
use mutualnet_core::{Resolution, Subnet};
use mutualnet_engine::{Tensor, no_grad};
use mutualnet_nn::{Dropout, Net, Norm, Parameters};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::step_batch::Pyramid;

/// Ratio of probabilities, student over teacher, above which [`Divergence::Alpha`] no longer grows.
///
/// # Source
/// `[AlphaNet-code loss_ops.py AdaptiveLossSoft]`.
const RATIO_CLIP: f64 = 5.0;

/// Names of the teachers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TeacherKind {
    /// The full network, as it is in this step `[MN-ECCV]`.
    #[default]
    Full,
    /// The running average of the full network `[DS-Net]`.
    Ema,
    /// The mean output of the full network over all resolutions `[RS-Net]`.
    Ensemble,
}

/// How far a student is from its teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// Kullback-Leibler divergence at temperature 1 `[MN-ECCV]`.
    #[default]
    Kl,
    /// The larger one of two α-divergences, clipped `[AlphaNet]`.
    Alpha,
}

/// Which networks of a step dropout applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Regularize {
    /// All of them.
    #[default]
    All,
    /// The full network only `[BigNAS]`.
    Full,
}

/// Whose output the students of a step learn from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Teacher<'a> {
    /// The full network of this step.
    #[default]
    Full,
    /// The full network of these averaged parameters.
    Ema(&'a Parameters),
    /// The full network at all of these resolutions, mean over its logits.
    Ensemble(&'a [Resolution]),
}

/// Dropout of one step: every network of the step leaves out features of its own choice.
#[derive(Debug, Clone, Copy)]
pub struct StepDropout {
    /// Share of the features that are left out.
    pub share: f64,
    /// Which networks do.
    pub regularize: Regularize,
    /// The stream of the step.
    pub key: Key,
}

/// The rules of one step; the defaults are the paper's.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepRules<'a> {
    /// Whose output students learn from.
    pub teacher: Teacher<'a>,
    /// How far they are from it.
    pub divergence: Divergence,
    /// Share of the full network's label that is spread over all classes.
    pub label_smoothing: f64,
    /// Features left out before the classifier.
    pub dropout: Option<StepDropout>,
}

impl StepRules<'_> {
    /// Dropout of the full network (0) or of a student (1, 2, …).
    pub(crate) fn dropout_of(&self, network: usize) -> Option<Dropout> {
        let StepDropout { share, regularize, key } = self.dropout?;
        let applies = network == 0 || regularize == Regularize::All;
        applies.then(|| Dropout { share, key: key.sample(network as u64) })
    }

    /// Resolutions at which the teacher is needed besides the full network's.
    pub(crate) fn more_resolutions(&self) -> &[Resolution] {
        match self.teacher {
            Teacher::Full | Teacher::Ema(_) => &[],
            Teacher::Ensemble(resolutions) => resolutions,
        }
    }

    /// The divergence of a student's logits from the teacher's, mean over the batch.
    pub(crate) fn distance(&self, student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
        Ok(match self.divergence {
            Divergence::Kl => student.kl_divergence(teacher)?,
            Divergence::Alpha => student.alpha_divergence(teacher, RATIO_CLIP)?,
        })
    }
}

impl Teacher<'_> {
    /// The teacher's logits `[n, classes]`, not recorded; `own` are the full network's of this step.
    pub(crate) fn logits(
        &self,
        net: &Net,
        parameters: &Parameters,
        pyramid: &Pyramid,
        (full, own): (Subnet, &Tensor),
    ) -> Result<Tensor> {
        let run = |parameters: &Parameters, resolution| {
            let slice = net.slice(parameters, full.width)?;
            Ok::<_, crate::Error>(net.forward(&slice, pyramid.at(resolution), Norm::Batch)?)
        };
        no_grad(|| match *self {
            Self::Full => Ok(own.alias()),
            Self::Ema(average) => run(average, full.resolution),
            Self::Ensemble(resolutions) => {
                let mut sum = own.copy()?;
                for &resolution in resolutions.iter().filter(|&&resolution| resolution != full.resolution) {
                    sum = sum.add(&run(parameters, resolution)?)?;
                }
                Ok(sum.scale(1.0 / resolutions.len() as f64)?)
            }
        })
    }
}
