//! Classification: one class per image, or two if images are mixed.

use mutualnet_bundle::Quality;
use mutualnet_core::Task;
use mutualnet_data::Batch;
use mutualnet_detect::Extent;
use mutualnet_engine::{Device, Tensor};

use super::{Objective, Pass, Score};
use crate::divergence::Divergence;
use crate::{Error, Result};

/// The objective of [`Task::Classify`]. An answer is the logits `[n, classes]`.
#[derive(Debug)]
pub enum Classify {}

/// The classes of the images of a batch.
#[derive(Debug)]
pub struct Labels {
    /// `[n]` i64, class numbers.
    pub labels: Tensor,
    /// The second labels, if images are mixed.
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

/// Correct answers so far.
#[derive(Debug, Default)]
pub struct Correct {
    correct: u64,
    n: u64,
}

impl Objective for Classify {
    const TASK: Task = Task::Classify;
    type Targets = Labels;
    type Answer = Tensor;
    type Score = Correct;

    fn targets(batch: &Batch, device: Device) -> Result<Labels> {
        let (first, second) = batch.targets.classes().expect("the data set was opened for classification");
        let labels = |labels: &[i64]| Tensor::from_slice_i64(labels, &[batch.n])?.to_device(device);
        let second = second.map(|second| {
            let shares = Tensor::from_slice(&second.shares, &[batch.n])?.to_device(device)?;
            Ok::<_, Error>(SecondLabels { labels: labels(&second.labels)?, shares })
        });
        Ok(Labels { labels: labels(first)?, second: second.transpose()? })
    }

    fn answer(mut pass: Pass<'_>, _: &Labels) -> Result<Tensor> {
        Ok(pass.run()?.swap_remove(0))
    }

    /// Cross-entropy, mean over the batch; of mixed images, each label counts by its share.
    fn supervised_loss(logits: &Tensor, targets: &Labels, smoothing: f64) -> Result<Tensor> {
        Ok(match &targets.second {
            None => logits.cross_entropy(&targets.labels, smoothing)?,
            Some(SecondLabels { labels, shares }) => {
                logits.mixed_cross_entropy([&targets.labels, labels], shares, smoothing)?
            }
        })
    }

    fn student_loss(
        student: &Tensor,
        teacher: &Tensor,
        _: &Labels,
        divergence: Divergence,
    ) -> Result<Tensor> {
        divergence.of(student, teacher)
    }

    fn detached(logits: &Tensor) -> Result<Tensor> {
        Ok(logits.detach()?)
    }

    fn mean(logits: &[Tensor], _: &Labels) -> Result<Tensor> {
        mean(logits)
    }

    /// The first labels of mixed images count.
    fn accuracy(logits: &Tensor, targets: &Labels) -> Result<f64> {
        Ok(logits.top1_correct(&targets.labels)? as f64 / targets.labels.elements() as f64)
    }

    fn most_frequent_answer(logits: &Tensor, _: &Labels) -> Result<Tensor> {
        Ok(logits.detach()?.most_frequent_answer()?)
    }

    fn information(logits: &Tensor, _: &Labels) -> Result<Tensor> {
        Ok(logits.information()?)
    }

    fn count(score: &mut Correct, (outputs, _): (&[Tensor], Extent), targets: &Labels) -> Result<()> {
        let n = targets.labels.elements();
        // The run side gives logits a height and a width of 1.
        let logits = outputs[0].reshape(&[n, outputs[0].shape()[1]])?;
        score.n += n as u64;
        score.correct += logits.top1_correct(&targets.labels)? as u64;
        Ok(())
    }
}

impl Score for Correct {
    fn n(&self) -> u64 {
        self.n
    }

    fn quality(&self) -> Result<Quality> {
        Ok(Quality::of_counts(self.correct, self.n)?)
    }
}

/// The mean of tensors of one shape.
pub(super) fn mean(tensors: &[Tensor]) -> Result<Tensor> {
    let mut sum = tensors[0].copy()?;
    for tensor in &tensors[1..] {
        sum = sum.add(tensor)?;
    }
    Ok(sum.scale(1.0 / tensors.len() as f64)?)
}
