//! One step of mutual learning, from a batch and a choice of sub-networks to gradients. Read this first.

use mutualnet_core::sample::StepSubnets;
use mutualnet_engine::Tensor;
use mutualnet_nn::{Gradients, Net, Norm, Parameters, Slice};

use crate::Result;
use crate::events::StudentLoss;
use crate::step_batch::{Pyramid, StepBatch};
use crate::step_rules::StepRules;

/// The losses of a step.
#[derive(Debug)]
pub struct StepLosses {
    /// Cross-entropy of the full network, mean over the batch.
    pub full: f64,
    /// Images of the batch that the full network classified correctly; the first label of mixed images counts.
    pub full_correct: usize,
    /// Share of the batch that gets the full network's most frequent answer.
    pub full_most_frequent: f64,
    /// Divergence of the best constant answer from the teacher; 0 without students.
    pub constant: f64,
    /// Divergence of every student from the teacher, in the order of training.
    pub students: Vec<StudentLoss>,
}

/// The gradient of one step for every parameter, in the order of the network, and the losses it is made of:
///
/// 1. The full network sees the batch (at the largest resolution) and learns from the labels (cross-entropy).
/// 2. Every student sees the same images at a resolution of its own and learns from the full network's output
///    (KL divergence, temperature 1, no labels; the output is detached, so nothing flows back into the teacher).
/// 3. The gradients are summed; narrower networks reach the leading channels only.
///
/// Batch norms use the statistics of the current batch in every pass and keep none.
/// `rules` can choose another teacher, another divergence, and weights other than 1; without students a step is plain
/// training. The losses are returned without their weights.
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
    subnets: &StepSubnets,
    rules: &StepRules<'_>,
) -> Result<(Vec<Tensor>, StepLosses)> {
    let mut gradients = Gradients::none(parameters);
    let seen = std::iter::once(&subnets.full).chain(&subnets.students).map(|subnet| subnet.resolution);
    let pyramid = Pyramid::new(&batch.images, seen.chain(rules.more_resolutions().iter().copied()))?;
    let forward = |slice: &Slice, resolution, dropout| {
        net.forward_with_dropout(slice, pyramid.at(resolution), Norm::Batch, dropout)
    };

    let slice = net.slice(parameters, subnets.full.width)?;
    let logits = forward(&slice, subnets.full.resolution, rules.dropout_of(0))?;
    let full_loss = batch.cross_entropy(&logits, rules.label_smoothing)?;
    full_loss.scale(rules.full_weight)?.backward()?;
    gradients.add(parameters, slice)?;
    let logits = logits.detach()?;

    let mut student_losses = Vec::with_capacity(subnets.students.len());
    let mut constant = None;
    if !subnets.students.is_empty() {
        let teacher = rules.teacher.logits(net, parameters, &pyramid, (subnets.full, &logits))?;
        for (idx, student) in subnets.students.iter().enumerate() {
            let slice = net.slice(parameters, student.width)?;
            let logits = forward(&slice, student.resolution, rules.dropout_of(idx + 1))?;
            let loss = rules.distance(&logits, &teacher)?;
            loss.scale(rules.weight_of(*student, subnets.full))?.backward()?;
            gradients.add(parameters, slice)?;
            student_losses.push((loss, logits.detach()?.most_frequent_answer()?));
        }
        constant = Some(teacher.information()?);
    }

    // Read last: on a GPU each of these waits for the device.
    let students = subnets.students.iter().zip(student_losses);
    let losses = StepLosses {
        full: full_loss.scalar()?,
        full_correct: logits.top1_correct(&batch.labels)?,
        full_most_frequent: logits.most_frequent_answer()?.scalar()?,
        constant: constant.map_or(Ok(0.0), |constant| constant.scalar())?,
        students: students
            .map(|(&subnet, (loss, most_frequent))| {
                Ok(StudentLoss { subnet, loss: loss.scalar()?, most_frequent: most_frequent.scalar()? })
            })
            .collect::<Result<_>>()?,
    };
    Ok((gradients.into_tensors(parameters)?, losses))
}
