//! Semantic segmentation: one class per pixel.
//!
//! Pixels are treated as the images of a classifier: the losses are means over pixels, and pixels without a class are
//! left out of everything. Networks at a smaller resolution answer for all pixels of the largest one. In training an answer
//! is the coarse map of scores that the network has before it resizes it; the losses interpolate it to the mask at once.
//!
//! # Source
//! Losses and the weight of the auxiliary output: torchvision's `references/segmentation`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mutualnet_bundle::Quality;
use mutualnet_core::network::Output;
use mutualnet_core::{Metric, Network, Task};
use mutualnet_data::{Batch, IGNORE, Targets};
use mutualnet_engine::{Device, Filter, NO_CLASS, PixelSummary, Tensor};

use super::classify::mean;
use super::{Objective, Pass, Score, Staged};
use crate::divergence::Divergence;
use crate::{Error, Result};

/// Weight of the loss of every output besides the first.
const AUXILIARY_WEIGHT: f64 = 0.5;

const _: () = assert!(IGNORE == NO_CLASS, "the engine leaves out what masks ignore");

/// The objective of [`Task::Segment`].
#[derive(Debug)]
pub enum Segment {}

/// The classes of the pixels of a batch.
#[derive(Debug)]
pub struct PixelLabels {
    /// Height and width of the masks.
    size: [usize; 2],
    /// The masks, image by image and line by line.
    masks: Vec<u8>,
    /// `[n, height, width]` u8, the same on the device.
    on_device: Tensor,
}

impl PixelLabels {
    /// Labels from masks `[n, height, width]`.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new(masks: &[u8], size: [usize; 2], device: Device) -> Result<Self> {
        let shape = [masks.len() / (size[0] * size[1]), size[0], size[1]];
        let on_device = Tensor::from_slice_u8(masks, &shape)?.to_device(device)?;
        Ok(Self { size, masks: masks.to_vec(), on_device })
    }

    fn has_classes(&self) -> bool {
        self.masks.iter().any(|&class| class != IGNORE)
    }

    /// A map at the size of the masks.
    fn resized(&self, map: &Tensor) -> Result<Tensor> {
        Ok(map.resize_to(&self.size, Filter::Bilinear)?)
    }
}

/// Maps of scores `[n, classes, h, w]`.
#[derive(Debug)]
pub struct PixelAnswer {
    map: Tensor,
    /// Those of the outputs that only training has.
    auxiliary: Vec<Tensor>,
    /// What the map says about the targets that it answers for, computed once for all copies of the answer.
    summary: Rc<OnceCell<PixelSummary>>,
}

impl PixelAnswer {
    fn new(map: Tensor, auxiliary: Vec<Tensor>) -> Self {
        Self { map, auxiliary, summary: Rc::default() }
    }

    fn summary(&self, targets: &PixelLabels) -> Result<PixelSummary> {
        if let Some(&summary) = self.summary.get() {
            return Ok(summary);
        }
        let summary = self.map.pixel_summary(&targets.on_device)?;
        Ok(*self.summary.get_or_init(|| summary))
    }
}

impl Objective for Segment {
    const TASK: Task = Task::Segment;
    type Targets = PixelLabels;
    type Answer = PixelAnswer;
    type Score = Overlap;

    fn guessing_loss(network: &Network) -> f64 {
        let auxiliary = network.outputs().len() - 1;
        (1.0 + AUXILIARY_WEIGHT * auxiliary as f64) * (network.classes() as f64).ln()
    }

    fn targets(batch: &Batch, device: Device) -> Result<PixelLabels> {
        let Targets::Masks(masks) = &batch.targets else {
            panic!("the data set was opened for segmentation");
        };
        PixelLabels::new(masks, batch.size, device)
    }

    fn answer(mut pass: Pass<'_>, _: &PixelLabels, _: Option<&PixelAnswer>) -> Result<PixelAnswer> {
        let mut maps = pass.run_unresized()?.into_tensors();
        let map = maps.next().expect("a network has an output");
        Ok(PixelAnswer::new(map, maps.collect()))
    }

    /// Cross-entropy, mean over pixels, plus half of that of every auxiliary output; 0 if no pixel has a class.
    fn supervised_loss(answer: &PixelAnswer, targets: &PixelLabels, smoothing: f64) -> Result<Tensor> {
        let loss = |map: &Tensor| map.pixel_cross_entropy(&targets.on_device, smoothing);
        let mut sum = loss(&answer.map)?;
        for map in &answer.auxiliary {
            sum = sum.add(&loss(map)?.scale(AUXILIARY_WEIGHT)?)?;
        }
        Ok(sum)
    }

    /// Mean over pixels, 0 if none has a class; auxiliary outputs learn from labels only.
    fn student_loss(
        student: &PixelAnswer,
        teacher: &PixelAnswer,
        targets: &PixelLabels,
        divergence: Divergence,
    ) -> Result<Tensor> {
        let masks = &targets.on_device;
        match divergence {
            Divergence::Kl => Ok(student.map.pixel_kl_divergence(&teacher.map, masks)?),
            Divergence::Alpha if targets.has_classes() => {
                divergence.of(&student.map.pixel_scores(masks)?, &teacher.map.pixel_scores(masks)?)
            }
            Divergence::Alpha => Ok(student.map.mean()?.scale(0.0)?),
        }
    }

    fn detached(answer: &PixelAnswer) -> Result<PixelAnswer> {
        let summary = answer.summary.clone();
        Ok(PixelAnswer { map: answer.map.detach()?, auxiliary: Vec::new(), summary })
    }

    fn mean(answers: &[PixelAnswer], targets: &PixelLabels) -> Result<PixelAnswer> {
        let maps = answers.iter().map(|answer| targets.resized(&answer.map));
        Ok(PixelAnswer::new(mean(&maps.collect::<Result<Vec<_>>>()?)?, Vec::new()))
    }

    fn accuracy(answer: &PixelAnswer, targets: &PixelLabels) -> Result<f64> {
        let summary = answer.summary(targets)?;
        Ok(summary.correct as f64 / summary.n.max(1) as f64)
    }

    fn most_frequent_answer(answer: &PixelAnswer, targets: &PixelLabels) -> Result<Tensor> {
        let summary = answer.summary(targets)?;
        Ok(Tensor::from_slice(&[summary.most_frequent as f32 / summary.n.max(1) as f32], &[])?)
    }

    fn information(answer: &PixelAnswer, targets: &PixelLabels) -> Result<Tensor> {
        Ok(Tensor::from_slice(&[answer.summary(targets)?.information as f32], &[])?)
    }

    /// The network resizes its scores to its input, as it does in a prediction, and they are resized to the mask then.
    fn count(score: &mut Overlap, network: Staged<'_>, targets: &PixelLabels) -> Result<()> {
        let map = network.outputs.get(Output::MAP);
        let answers = map.pixel_answers(targets.size)?;
        let pixels = targets.size[0] * targets.size[1];
        for (answers, labels) in answers.chunks_exact(pixels).zip(targets.masks.chunks_exact(pixels)) {
            score.add(map.shape()[1], answers, labels);
        }
        Ok(())
    }
}

/// For every image and class, the pixels that have the class in both answer and label, and in either.
#[derive(Debug, Default)]
pub struct Overlap {
    n_classes: usize,
    /// Pixels that have a class, in all images.
    n_pixels: u64,
    /// `[images, classes]`: intersection and union.
    counts: Vec<[u32; 2]>,
}

impl Overlap {
    /// Adds one image, by the class of each of its pixels.
    fn add(&mut self, n_classes: usize, answers: &[u8], labels: &[u8]) {
        self.n_classes = n_classes;
        self.n_pixels += labels.iter().filter(|&&label| label != IGNORE).count() as u64;
        let start = self.counts.len();
        self.counts.resize(start + n_classes, [0; 2]);
        let counts = &mut self.counts[start..];
        for (&answer, &label) in answers.iter().zip(labels).filter(|&(_, &label)| label != IGNORE) {
            let is_hit = answer == label;
            counts[usize::from(label)][0] += u32::from(is_hit);
            counts[usize::from(label)][1] += 1;
            if !is_hit {
                counts[usize::from(answer)][1] += 1;
            }
        }
    }

    /// Mean over the classes that occur of intersection over union, if image `i` counts `weights[i]` times.
    fn mean_iou(&self, weights: &[u32]) -> f64 {
        let mut sums = vec![[0_u64; 2]; self.n_classes];
        for (counts, &weight) in self.counts.chunks_exact(self.n_classes).zip(weights) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = [0, 1].map(|i| sum[i] + u64::from(weight) * u64::from(count[i]));
            }
        }
        let ious: Vec<_> =
            sums.iter().filter(|sum| sum[1] > 0).map(|sum| sum[0] as f64 / sum[1] as f64).collect();
        // The sum of no numbers is -0.
        (ious.iter().sum::<f64>() + 0.0) / ious.len().max(1) as f64
    }
}

impl Score for Overlap {
    fn n(&self) -> u64 {
        (self.counts.len() / self.n_classes.max(1)) as u64
    }

    fn quality(&self) -> Result<Quality> {
        if self.counts.iter().all(|[_, union]| *union == 0) {
            return Err(Error::NoLabels);
        }
        Ok(Quality::of_samples(self.n() as usize, |weights| self.mean_iou(weights))?)
    }

    fn others(&self) -> BTreeMap<Metric, f64> {
        let correct: u64 = self.counts.iter().map(|[intersection, _]| u64::from(*intersection)).sum();
        [(Metric::PixelAccuracy, correct as f64 / self.n_pixels.max(1) as f64)].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_that_of_all_images_together() {
        let mut overlap = Overlap::default();
        overlap.add(3, &[0, 0, 1, 1], &[0, 1, 1, 1]);
        overlap.add(3, &[1, 1], &[0, 1]);
        // Class 0: 1 of 3; class 1: 3 of 5; class 2 does not occur.
        let expected = (1.0 / 3.0 + 3.0 / 5.0) / 2.0;
        let quality = overlap.quality().unwrap();
        assert!((quality.value - expected).abs() < 1e-12 && quality.n == 2, "{quality:?}");
        assert_eq!(overlap.others(), [(Metric::PixelAccuracy, 4.0 / 6.0)].into());
        // The first image twice, the second not at all.
        assert!((overlap.mean_iou(&[2, 0]) - (1.0 / 2.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn pixels_without_a_class_do_not_count() {
        let mut overlap = Overlap::default();
        overlap.add(2, &[0, 1, 1, 0], &[0, IGNORE, 1, IGNORE]);
        assert_eq!(overlap.counts, [[1, 1], [1, 1]]);
        let mut unlabelled = Overlap::default();
        unlabelled.add(2, &[0, 1], &[IGNORE; 2]);
        assert!(matches!(unlabelled.quality(), Err(Error::NoLabels)));
        assert!(unlabelled.mean_iou(&[1]).is_sign_positive(), "not -0");
    }
}
