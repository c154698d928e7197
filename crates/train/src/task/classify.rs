//! Classification: one class per image, or two if images are mixed.

use mutualnet_bundle::Quality;
use mutualnet_core::Task;
use mutualnet_core::network::Output;
use mutualnet_data::Batch;
use mutualnet_engine::{Device, Tensor};

use super::{Objective, Pass, Score, Staged};
use crate::divergence::Divergence;
use crate::{Error, Result};

/// The objective of [`Task::Classify`]. An answer is the logits `[n, classes]`.
#[derive(Debug)]
pub enum Classify {}

/// The classes of the images or clips of a batch.
#[derive(Debug)]
pub struct Labels {
    /// `[n]` i64, class numbers.
    pub labels: Tensor,
    /// The second labels, if images are mixed.
    pub second: Option<SecondLabels>,
    /// The sample of each clip, if a video has several of them in evaluation.
    pub views: Option<LabeledViews>,
}

/// Which clips of a batch are of the same video.
#[derive(Debug)]
pub struct LabeledViews {
    /// How many clips each video has, one after another, in this batch and the next ones.
    pub of_each: usize,
    /// The video and the class of every clip.
    pub clips: Vec<(u32, i64)>,
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
    /// The video of which some clips were seen.
    current: Option<SomeViews>,
}

/// Clips of a video so far.
#[derive(Debug)]
struct SomeViews {
    sample: u32,
    n: usize,
    /// The sum of their probabilities, of every class.
    sum: Vec<f32>,
}

impl Correct {
    /// Adds the probabilities of one clip to those of its video, and counts the video if it was the last one. A video of
    /// which a clip could not be read is not counted.
    fn add_view(&mut self, (sample, label): (u32, i64), of_each: usize, probabilities: &[f32]) {
        let mut video = self
            .current
            .take()
            .filter(|video| video.sample == sample)
            .unwrap_or_else(|| SomeViews { sample, n: 0, sum: vec![0.0; probabilities.len()] });
        video.n += 1;
        video.sum.iter_mut().zip(probabilities).for_each(|(sum, probability)| *sum += probability);
        if video.n < of_each {
            self.current = Some(video);
            return;
        }
        // The first of several largest ones, as the engine has it.
        let largest = video.sum.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let answer = video.sum.iter().position(|&sum| sum == largest);
        self.n += 1;
        self.correct += u64::from(answer == Some(label as usize));
    }
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
        let clips = || batch.indices.iter().copied().zip(first.iter().copied()).collect();
        let views = (batch.views > 1).then(|| LabeledViews { of_each: batch.views, clips: clips() });
        Ok(Labels { labels: labels(first)?, second: second.transpose()?, views })
    }

    fn answer(mut pass: Pass<'_>, _: &Labels, _: Option<&Tensor>) -> Result<Tensor> {
        Ok(pass.run()?.get(Output::LOGITS).alias())
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

    fn count(score: &mut Correct, network: Staged<'_>, targets: &Labels) -> Result<()> {
        let n = targets.labels.elements();
        // The run side gives logits a height and a width of 1.
        let logits = network.outputs.get(Output::LOGITS);
        let n_classes = logits.shape()[1];
        let logits = logits.reshape(&[n, n_classes])?;
        if let Some(LabeledViews { of_each, clips }) = &targets.views {
            let probabilities = logits.softmax()?.to_vec_f32()?;
            for (&clip, probabilities) in clips.iter().zip(probabilities.chunks_exact(n_classes)) {
                score.add_view(clip, *of_each, probabilities);
            }
            return Ok(());
        }
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
