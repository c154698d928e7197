//! One step of mutual learning, from a batch and a choice of sub-networks to gradients. Read this first.

use mutualnet_core::sample::StepSubnets;
use mutualnet_engine::Tensor;
use mutualnet_nn::{Net, Norm, Parameters, Slice};

use crate::Result;
use crate::events::StudentLoss;
use crate::step_batch::{Pyramid, StepBatch};
use crate::step_gradients::StepGradients;
use crate::step_rules::StepRules;
use crate::task::{Objective, Pass};

/// The losses of a step.
#[derive(Debug)]
pub struct StepLosses {
    /// Loss of the full network: cross-entropy, mean over the batch.
    pub full: f64,
    /// Share of the batch, in images or pixels, that the full network classified correctly; the first label of mixed
    /// images counts.
    pub full_accuracy: f64,
    /// Share of the batch that gets the full network's most frequent answer.
    pub full_most_frequent: f64,
    /// Divergence of the best constant answer from the teacher; 0 if nothing is learned from one.
    pub constant: f64,
    /// Divergence of every student from the teacher, in the order of training; the loss of its labels if it learns from them
    /// alone.
    pub students: Vec<StudentLoss>,
}

impl StepLosses {
    /// Every number, to be averaged over processes that share a batch.
    pub(crate) fn numbers(&mut self) -> impl Iterator<Item = &mut f64> {
        let Self { full, full_accuracy, full_most_frequent, constant, students } = self;
        let of_students =
            students.iter_mut().flat_map(|student| [&mut student.loss, &mut student.most_frequent]);
        [full, full_accuracy, full_most_frequent, constant].into_iter().chain(of_students)
    }
}

/// The gradient of one step for every parameter, in the order of the network, and the losses it is made of:
///
/// 1. The full network sees the batch (at the largest resolution) and learns from the labels (cross-entropy).
/// 2. Every student sees the same images at a resolution of its own and learns from the full network's output
///    (KL divergence, temperature 1, no labels; the output is detached, so nothing flows back into the teacher).
///    What an output and a loss are is up to the task, `O`.
/// 3. The gradients are summed; narrower networks reach the leading channels only. If several processes share the batch,
///    gradients and losses are averaged over them, most of the gradients while the last student works.
///
/// Batch norms use the statistics of the current batch in every pass and keep none.
/// `rules` can choose another teacher, another divergence, weights other than 1, and students that learn from the labels
/// too; without students a step is plain training. The losses are returned without their weights, those of students without
/// what they learn from the labels, unless that is all.
///
/// # Errors
/// The batch does not fit the network, the engine has no memory, or another process is gone.
///
/// # Source
/// `[MN-ECCV §3.3, Eq. 1–3]`, `[MN-code train.py train]`.
pub fn mutual_step<O: Objective>(
    net: &Net,
    parameters: &Parameters,
    batch: &StepBatch<O>,
    subnets: &StepSubnets,
    rules: &StepRules<'_>,
) -> Result<(Vec<Tensor>, StepLosses)> {
    let mut gradients = StepGradients::new(parameters, rules.ranks);
    let seen = std::iter::once(&subnets.full).chain(&subnets.students).map(|subnet| subnet.input);
    let pyramid = Pyramid::new(&batch.images, seen.chain(rules.more_inputs().iter().copied()))?;
    let answer = |slice: &Slice, input, dropout, teacher: Option<&O::Answer>| {
        let inputs = pyramid.inputs(net.network(), input);
        O::answer(Pass { net, slice, inputs: &inputs, norm: Norm::Batch, dropout }, &batch.targets, teacher)
    };

    let slice = net.slice(parameters, subnets.full.width)?;
    let full = answer(&slice, subnets.full.input, rules.dropout_of(0), None)?;
    let full_loss = O::supervised_loss(&full, &batch.targets, rules.label_smoothing)?;
    full_loss.scale(rules.full_weight)?.backward()?;
    gradients.add(slice)?;
    let full = O::detached(&full)?;
    let own_answer = O::detached(&full)?;

    let mut student_losses = Vec::with_capacity(subnets.students.len());
    let teacher = match !subnets.students.is_empty() && rules.student_labels < 1.0 {
        true => Some(rules.teacher.answer(net, parameters, (batch, &pyramid), (subnets.full, full))?),
        false => None,
    };
    for (idx, student) in subnets.students.iter().enumerate() {
        if idx + 1 == subnets.students.len() {
            gradients.send()?;
        }
        let slice = net.slice(parameters, student.width)?;
        let own = answer(&slice, student.input, rules.dropout_of(idx + 1), teacher.as_ref())?;
        let weight = rules.weight_of(*student, subnets.full);
        let mut losses = Vec::with_capacity(2);
        if let Some(teacher) = &teacher {
            let loss = O::student_loss(&own, teacher, &batch.targets, rules.divergence)?;
            losses.push((loss, weight * (1.0 - rules.student_labels)));
        }
        if rules.student_labels > 0.0 {
            let loss = O::supervised_loss(&own, &batch.targets, rules.label_smoothing)?;
            losses.push((loss, weight * rules.student_labels));
        }
        weighted_sum(&losses)?.backward()?;
        gradients.add(slice)?;
        let shown = losses.swap_remove(0).0;
        student_losses.push((shown, O::most_frequent_answer(&own, &batch.targets)?));
    }
    let constant = teacher.map(|teacher| O::information(&teacher, &batch.targets)).transpose()?;

    // Read last: on a GPU each of these waits for the device.
    let students = subnets.students.iter().zip(student_losses);
    let mut losses = StepLosses {
        full: full_loss.scalar()?,
        full_accuracy: O::accuracy(&own_answer, &batch.targets)?,
        full_most_frequent: O::most_frequent_answer(&own_answer, &batch.targets)?.scalar()?,
        constant: constant.map_or(Ok(0.0), |constant| constant.scalar())?,
        students: students
            .map(|(&subnet, (loss, most_frequent))| {
                Ok(StudentLoss { subnet, loss: loss.scalar()?, most_frequent: most_frequent.scalar()? })
            })
            .collect::<Result<_>>()?,
    };
    if let Some(ranks) = rules.ranks {
        ranks.average(&mut losses)?;
    }
    Ok((gradients.finish()?, losses))
}

/// The sum of at least one loss, each times its weight.
fn weighted_sum(losses: &[(Tensor, f64)]) -> Result<Tensor> {
    let (first, weight) = &losses[0];
    let mut sum = first.scale(*weight)?;
    for (loss, weight) in &losses[1..] {
        sum = sum.add(&loss.scale(*weight)?)?;
    }
    Ok(sum)
}
