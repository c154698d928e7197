//! Semantic segmentation: one class per pixel.
//!
//! Pixels are treated as the images of a classifier: the losses are means over pixels, and pixels without a class are
//! left out of everything. Networks at a smaller resolution answer for all pixels of the largest one: their map of scores
//! is resized bilinearly to the size of the mask.
//!
//! # Source
//! Losses and the weight of the auxiliary output: torchvision's `references/segmentation`.

use mutualnet_bundle::Quality;
use mutualnet_core::{Network, Task};
use mutualnet_data::{Batch, IGNORE, Targets};
use mutualnet_engine::{Device, Filter, Tensor};

use super::classify::mean;
use super::{Objective, Pass, Score};
use crate::Result;
use crate::divergence::Divergence;

/// Weight of the loss of every output besides the first.
const AUXILIARY_WEIGHT: f64 = 0.5;

/// The objective of [`Task::Segment`].
#[derive(Debug)]
pub enum Segment {}

/// The classes of the pixels of a batch.
#[derive(Debug)]
pub struct PixelLabels {
    /// Height and width of the masks.
    size: [usize; 2],
    /// `[pixels]` i64: the classes of all pixels that have one, image by image and line by line.
    labels: Tensor,
    /// `[pixels]` i64: where these are among all pixels; `None` if every pixel has a class.
    places: Option<Tensor>,
    /// How many of them each image has.
    n_pixels: Vec<usize>,
}

impl PixelLabels {
    /// Labels from masks `[n, height, width]`.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new(masks: &[u8], size: [usize; 2], device: Device) -> Result<Self> {
        let per_image = masks.chunks_exact(size[0] * size[1]);
        let n_pixels: Vec<_> =
            per_image.map(|mask| mask.iter().filter(|&&class| class != IGNORE).count()).collect();
        let labelled = masks.iter().zip(0_i64..).filter(|&(&class, _)| class != IGNORE);
        let (labels, places): (Vec<_>, Vec<_>) =
            labelled.map(|(&class, place)| (i64::from(class), place)).unzip();
        let on_device =
            |numbers: &[i64]| Tensor::from_slice_i64(numbers, &[numbers.len()])?.to_device(device);
        let has_all = places.len() == masks.len();
        let places = if has_all { None } else { Some(on_device(&places)?) };
        Ok(Self { size, labels: on_device(&labels)?, places, n_pixels })
    }

    /// The scores of the pixels that have a class, `[pixels, classes]`, from a map `[n, classes, h, w]` of any size.
    fn of(&self, map: &Tensor) -> Result<Tensor> {
        let is_same = map.shape()[2..] == self.size;
        let map = if is_same { map.alias() } else { map.resize_to(self.size, Filter::Bilinear)? };
        let scores = map.by_pixel()?;
        Ok(match &self.places {
            None => scores,
            Some(places) => scores.rows(places)?,
        })
    }
}

/// The scores of the pixels that have a class.
#[derive(Debug)]
pub struct PixelAnswer {
    /// `[pixels, classes]`.
    scores: Tensor,
    /// Those of the outputs that only training has.
    auxiliary: Vec<Tensor>,
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

    fn answer(mut pass: Pass<'_>, targets: &PixelLabels) -> Result<PixelAnswer> {
        let maps = pass.run()?;
        let scores = targets.of(&maps[0])?;
        let auxiliary = maps[1..].iter().map(|map| targets.of(map)).collect::<Result<_>>()?;
        Ok(PixelAnswer { scores, auxiliary })
    }

    /// Cross-entropy, mean over pixels, plus half of that of every auxiliary output.
    fn supervised_loss(answer: &PixelAnswer, targets: &PixelLabels, smoothing: f64) -> Result<Tensor> {
        let mut loss = answer.scores.cross_entropy(&targets.labels, smoothing)?;
        for scores in &answer.auxiliary {
            let more = scores.cross_entropy(&targets.labels, smoothing)?;
            loss = loss.add(&more.scale(AUXILIARY_WEIGHT)?)?;
        }
        Ok(loss)
    }

    /// Mean over pixels; auxiliary outputs learn from labels only.
    fn student_loss(student: &PixelAnswer, teacher: &PixelAnswer, divergence: Divergence) -> Result<Tensor> {
        divergence.of(&student.scores, &teacher.scores)
    }

    fn detached(answer: &PixelAnswer) -> Result<PixelAnswer> {
        Ok(PixelAnswer { scores: answer.scores.detach()?, auxiliary: Vec::new() })
    }

    fn mean(answers: &[PixelAnswer]) -> Result<PixelAnswer> {
        let scores: Vec<_> = answers.iter().map(|answer| answer.scores.alias()).collect();
        Ok(PixelAnswer { scores: mean(&scores)?, auxiliary: Vec::new() })
    }

    fn scores(answer: &PixelAnswer) -> &Tensor {
        &answer.scores
    }

    fn classes(targets: &PixelLabels) -> &Tensor {
        &targets.labels
    }

    fn count(score: &mut Overlap, answer: &PixelAnswer, targets: &PixelLabels) -> Result<()> {
        let n_classes = answer.scores.shape()[1];
        let (answers, labels) = (answer.scores.argmax()?.to_vec_i64()?, targets.labels.to_vec_i64()?);
        let mut start = 0;
        for &n in &targets.n_pixels {
            let pixels = start..start + n;
            score.add(n_classes, &answers[pixels.clone()], &labels[pixels]);
            start += n;
        }
        Ok(())
    }
}

/// For every image and class, the pixels that have the class in both answer and label, and in either.
#[derive(Debug, Default)]
pub struct Overlap {
    n_classes: usize,
    /// `[images, classes]`: intersection and union.
    counts: Vec<[u32; 2]>,
}

impl Overlap {
    /// Adds one image, by the class of each of its pixels.
    fn add(&mut self, n_classes: usize, answers: &[i64], labels: &[i64]) {
        self.n_classes = n_classes;
        let start = self.counts.len();
        self.counts.resize(start + n_classes, [0; 2]);
        let counts = &mut self.counts[start..];
        for (&answer, &label) in answers.iter().zip(labels) {
            let is_hit = answer == label;
            counts[label as usize][0] += u32::from(is_hit);
            counts[label as usize][1] += 1;
            if !is_hit {
                counts[answer as usize][1] += 1;
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
        ious.iter().sum::<f64>() / ious.len().max(1) as f64
    }
}

impl Score for Overlap {
    fn n(&self) -> u64 {
        (self.counts.len() / self.n_classes.max(1)) as u64
    }

    fn quality(&self) -> Result<Quality> {
        Ok(Quality::of_samples(self.n() as usize, |weights| self.mean_iou(weights))?)
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
        // The first image twice, the second not at all.
        assert!((overlap.mean_iou(&[2, 0]) - (1.0 / 2.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn pixels_without_a_class_do_not_count() {
        let masks = [0, IGNORE, 1, 0, IGNORE, IGNORE, IGNORE, 1];
        let labels = PixelLabels::new(&masks, [2, 2], Device::Cpu).unwrap();
        assert_eq!(labels.labels.to_vec_i64().unwrap(), [0, 1, 0, 1]);
        assert_eq!(labels.places.as_ref().unwrap().to_vec_i64().unwrap(), [0, 2, 3, 7]);
        assert_eq!(labels.n_pixels, [3, 1]);
        // Two images of two classes and 2 × 2 pixels; the score of a pixel is its number.
        let numbers: Vec<f32> = (0..8).flat_map(|pixel| [pixel as f32, -(pixel as f32)]).collect();
        let map = Tensor::from_nhwc(&numbers, [2, 2, 2, 2], Device::Cpu).unwrap();
        let scores = labels.of(&map).unwrap();
        assert_eq!(scores.to_vec_f32().unwrap(), [0.0, 0.0, 2.0, -2.0, 3.0, -3.0, 7.0, -7.0]);
    }

    #[test]
    fn maps_of_other_sizes_answer_for_the_same_pixels() {
        let labels = PixelLabels::new(&[0; 16], [4, 4], Device::Cpu).unwrap();
        let map = Tensor::from_nhwc(&[1.0, 3.0], [1, 1, 1, 2], Device::Cpu).unwrap();
        assert_eq!(labels.of(&map).unwrap().to_vec_f32().unwrap(), [1.0, 3.0].repeat(16));
    }
}
