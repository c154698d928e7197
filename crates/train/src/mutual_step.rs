//! One step of mutual learning: from a batch and a choice of sub-networks to gradients. Read this first.

use std::collections::{BTreeMap, BTreeSet};

use mutualnet_core::Resolution;
use mutualnet_core::sample::StepPlan;
use mutualnet_engine::Tensor;
use mutualnet_nn::{Gradients, Net, Norm, Parameters, Slice};

use crate::Result;
use crate::events::StudentLoss;
use crate::step_rules::StepRules;

/// A batch on the engine's device.
#[derive(Debug)]
pub struct StepBatch {
    /// `[n, 3, r, r]` f32 at the largest resolution, normalized, channels-last.
    pub images: Tensor,
    /// `[n]` i64, class numbers.
    pub labels: Tensor,
    /// What else is in the images, if they are mixed.
    pub second: Option<SecondLabels>,
}

/// The second labels of mixed images, on the engine's device.
#[derive(Debug)]
pub struct SecondLabels {
    /// `[n]` i64, class numbers.
    pub labels: Tensor,
    /// `[n]` f32, the share of each first label, from 0 to 1; the second one has the rest.
    pub shares: Tensor,
}

impl StepBatch {
    /// Cross-entropy of logits `[n, classes]` against the labels, mean over the batch; of mixed images, each label
    /// counts by its share.
    fn cross_entropy(&self, logits: &Tensor, smoothing: f64) -> Result<Tensor> {
        Ok(match &self.second {
            None => logits.cross_entropy(&self.labels, smoothing)?,
            Some(SecondLabels { labels, shares }) => {
                logits.mixed_cross_entropy([&self.labels, labels], shares, smoothing)?
            }
        })
    }
}

/// What a step found.
#[derive(Debug)]
pub struct StepLosses {
    /// Cross-entropy of the full network, mean over the batch.
    pub full: f64,
    /// Images of the batch that the full network got right; of mixed ones the first label counts.
    pub full_correct: usize,
    /// Divergence of every student from the full network, in the order of training.
    pub students: Vec<StudentLoss>,
}

/// The gradient of one step for every parameter, in the order of the network, and the losses it is made of:
///
/// 1. The full network sees the batch (at the largest resolution) and learns from the labels (cross-entropy).
/// 2. Every student sees the same images at a resolution of its own and learns from the full network's output
///    (KL divergence, temperature 1, no labels; the output is detached, so nothing flows back into the teacher).
/// 3. The gradients are summed with weight 1; narrower networks reach the leading channels only.
///
/// Batch norms use the statistics of the batch at hand in every pass and remember nothing.
/// `rules` can put another teacher or divergence in place; a plan without students is plain training.
///
/// # Errors
/// The batch does not fit the network, or the engine has no memory.
///
/// # Source
/// `[MN-ECCV §3.3, Eq. 1–3]`, `[MN-code train.py train]`.
pub fn mutual_step(
    net: &Net,
    parameters: &Parameters,
    batch: &StepBatch,
    plan: &StepPlan,
    rules: &StepRules<'_>,
) -> Result<(Vec<Tensor>, StepLosses)> {
    let mut gradients = Gradients::none(parameters);
    let pyramid = pyramid(&batch.images, plan, rules)?;
    let forward = |slice: &Slice, resolution, dropout| {
        net.forward_with_dropout(slice, &pyramid[&resolution], Norm::Batch, dropout)
    };

    let slice = parameters.slice(net.network(), plan.full.width)?;
    let logits = forward(&slice, plan.full.resolution, rules.dropout_of(0))?;
    let full_loss = batch.cross_entropy(&logits, rules.label_smoothing)?;
    full_loss.backward()?;
    gradients.add(parameters, slice)?;
    let logits = logits.detach()?;

    let mut student_losses = Vec::with_capacity(plan.students.len());
    if !plan.students.is_empty() {
        let teacher = rules.teacher.logits(net, parameters, &pyramid, (plan.full, &logits))?;
        for (idx, student) in plan.students.iter().enumerate() {
            let slice = parameters.slice(net.network(), student.width)?;
            let logits = forward(&slice, student.resolution, rules.dropout_of(idx + 1))?;
            let loss = rules.distance(&logits, &teacher)?;
            loss.backward()?;
            gradients.add(parameters, slice)?;
            student_losses.push(loss);
        }
    }

    // Read last: on a GPU each of these waits for the device.
    let students = plan.students.iter().zip(student_losses);
    let losses = StepLosses {
        full: full_loss.scalar()?,
        full_correct: logits.top1_correct(&batch.labels)?,
        students: students
            .map(|(&subnet, loss)| Ok(StudentLoss { subnet, loss: loss.scalar()? }))
            .collect::<Result<_>>()?,
    };
    Ok((gradients.into_tensors(parameters)?, losses))
}

/// The batch at every resolution that the step needs, each made once, from the largest.
///
/// # Source
/// `[MN-code utils/transforms.py InputList]`: bilinear, aligned corners, on the normalized images.
fn pyramid(images: &Tensor, plan: &StepPlan, rules: &StepRules<'_>) -> Result<BTreeMap<Resolution, Tensor>> {
    let subnets = std::iter::once(&plan.full).chain(&plan.students).map(|subnet| subnet.resolution);
    let resolutions: BTreeSet<_> = subnets.chain(rules.more_resolutions().iter().copied()).collect();
    let sides: Vec<_> = resolutions.iter().map(|resolution| resolution.get() as usize).collect();
    Ok(resolutions.into_iter().zip(images.resize_bilinear_all(&sides)?).collect())
}
