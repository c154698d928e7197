//! Detection with one stage: boxes with classes, as SSD learns and answers them.
//!
//! Every network of a step learns from the objects, as in the paper's detectors. Default boxes depend on the resolution, so
//! objects are matched with them anew for each. A student with a teacher learns what the teacher answers at the nearest
//! default boxes with the same sides.
//! Invariant: whatever a loss from the objects or a score says equals torchvision's `SSD`.
//!
//! # Source
//! `[MN-ECCV §4.4]` for what students learn from; arXiv 1512.02325 and torchvision's `SSD` for losses and answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use mutualnet_bundle::Quality;
use mutualnet_core::network::Output;
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Metric, Network, Task};
use mutualnet_data::{Batch, Objects, Targets};
use mutualnet_detect::anchors::DefaultBoxes;
use mutualnet_detect::coco::{Detection, Instances};
use mutualnet_detect::decode::{Answers, DetectionRules, Found};
use mutualnet_detect::evaluate::{Compare, Evaluation, Measure, evaluate};
use mutualnet_detect::{BoxCoder, Corners, Extent, Matcher, SquareMask, Target, boxes, hardest};
use mutualnet_engine::{Device, Tensor, no_grad};

use super::{Objective, Outputs, Pass, Score, Staged, extent_of};
use crate::Result;
use crate::divergence::Divergence;

/// Numbers of a box's codes.
pub(super) const CODES: usize = 4;
/// Anchors whose scores are learned, for each one with an object.
const LEARNED: f64 = 4.0;

/// The objective of [`Task::Detect`].
#[derive(Debug)]
pub enum Detect {}

/// The objects of a batch.
#[derive(Debug)]
pub struct BoxTargets {
    truth: Arc<Instances>,
    pub(super) images: Vec<Objects>,
    /// Size of the images that the boxes are in.
    pub(super) extent: Extent,
    /// For every image, the key of what is drawn at random.
    pub(super) draws: Vec<Key>,
    pub(super) device: Device,
}

impl BoxTargets {
    /// Objects of images of a size, which belong to a ground truth, with a key for each image of what is drawn at random.
    ///
    /// # Panics
    /// There are more or fewer keys than images.
    pub fn new(
        truth: Arc<Instances>,
        (images, draws): (Vec<Objects>, Vec<Key>),
        extent: Extent,
        device: Device,
    ) -> Self {
        assert_eq!(images.len(), draws.len(), "every image has a key");
        Self { truth, images, extent, draws, device }
    }
}

/// What a network answers at every default box of a batch, and what it should answer.
#[derive(Debug)]
pub struct BoxAnswer {
    /// `[images × anchors, classes]`.
    scores: Tensor,
    /// `[images × anchors, 4]`.
    codes: Tensor,
    wanted: Rc<Wanted>,
}

/// What should be answered at the default boxes.
#[derive(Debug)]
struct Wanted {
    /// Image by image, the target of every anchor.
    targets: Vec<Vec<Target>>,
    /// `[images × anchors]`, the class at every anchor.
    classes: Vec<i64>,
    /// The anchors with an object, counted through all images.
    found: Vec<i64>,
    /// The codes of their objects.
    codes: Vec<f32>,
    grid: Grid,
    device: Device,
}

/// The default boxes of a network for images of a size.
#[derive(Debug)]
struct Grid {
    maps: Vec<Extent>,
    seen: Extent,
    anchors: Vec<Corners>,
}

impl Grid {
    fn new(maps: Vec<Extent>, seen: Extent) -> Self {
        let anchors = DefaultBoxes::ssdlite().grid(seen, &maps);
        Self { maps, seen, anchors }
    }
}

impl Wanted {
    fn new(targets: &BoxTargets, grid: Grid) -> Self {
        let (mut all, mut classes, mut found, mut codes) = (vec![], vec![], vec![], vec![]);
        for objects in &targets.images {
            let resized = |&corners: &Corners| boxes::resized(corners, targets.extent, grid.seen);
            let of_image: Vec<_> = objects.boxes.iter().map(resized).collect();
            let matched = Matcher::DEFAULT_BOXES.targets(&of_image, &grid.anchors);
            for (target, &anchor) in matched.iter().zip(&grid.anchors) {
                let Target::Object(object) = *target else {
                    classes.push(0);
                    continue;
                };
                found.push(classes.len() as i64);
                classes.push(i64::from(objects.classes[object]));
                codes.extend(BoxCoder::REGIONS.encode(of_image[object], anchor));
            }
            all.push(matched);
        }
        Self { targets: all, classes, found, codes, grid, device: targets.device }
    }

    /// Numbers on the device.
    fn labels(&self, numbers: &[i64]) -> Result<Tensor> {
        Ok(Tensor::from_slice_i64(numbers, &[numbers.len()])?.to_device(self.device)?)
    }

    /// The anchors whose scores are learned, given the loss at each.
    fn learned(&self, losses: &[f32]) -> Vec<i64> {
        let mut learned = Vec::new();
        let mut first = 0;
        for targets in &self.targets {
            let losses = &losses[first..first + targets.len()];
            learned.extend(hardest(targets, losses).into_iter().map(|anchor| (first + anchor) as i64));
            first += targets.len();
        }
        learned
    }

    /// The teacher's anchors that are nearest to these.
    fn nearest(&self, teacher: &Self, anchors: &[i64]) -> Vec<i64> {
        let nearest = DefaultBoxes::ssdlite().nearest(&self.grid.maps, &teacher.grid.maps);
        let n_theirs = teacher.grid.anchors.len();
        let moved = |&anchor: &i64| {
            let (image, anchor) = (anchor as usize / nearest.len(), anchor as usize % nearest.len());
            (image * n_theirs + nearest[anchor]) as i64
        };
        anchors.iter().map(moved).collect()
    }

    /// The teacher's boxes at some of its anchors, given its codes there, as codes at the anchors of the student.
    fn moved(&self, teacher: &Self, codes: &[[f32; CODES]], [from, to]: [&[i64]; 2]) -> Vec<f32> {
        let anchor = |grid: &Grid, at: i64| grid.anchors[at as usize % grid.anchors.len()];
        let moved = codes.iter().zip(from).zip(to).flat_map(|((&codes, &from), &to)| {
            let theirs = BoxCoder::REGIONS.decode(codes, anchor(&teacher.grid, from));
            let seen = boxes::resized(theirs, teacher.grid.seen, self.grid.seen);
            BoxCoder::REGIONS.encode(seen, anchor(&self.grid, to))
        });
        moved.collect()
    }
}

impl BoxAnswer {
    /// From the maps of a network, [`Output::SCORES`] and [`Output::BOXES`], for images of the size `seen`.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new(outputs: &Outputs<'_>, seen: Extent, targets: &BoxTargets) -> Result<Self> {
        let [scores, boxes] = [Output::SCORES, Output::BOXES].map(|kind| outputs.maps(kind));
        let wanted = Wanted::new(targets, Grid::new(extents(&scores), seen));
        let n_classes = scores[0].shape()[1] * CODES / boxes[0].shape()[1];
        let n = targets.images.len();
        Ok(Self {
            scores: by_anchor(&scores, (n, n_classes))?,
            codes: by_anchor(&boxes, (n, CODES))?,
            wanted: Rc::new(wanted),
        })
    }

    fn loss(&self, smoothing: f64) -> Result<Tensor> {
        let losses = self.losses_of_classes(smoothing)?;
        let learned = self.wanted.learned(&losses.detach()?.to_vec_f32()?);
        self.sum(&losses.rows(&self.wanted.labels(&learned)?)?.sum()?, &self.wanted.codes)
    }

    /// The loss of a student at the same anchors: the divergence of its scores, and the distance of its boxes, from those of
    /// the teacher at the nearest anchors.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn loss_from(&self, teacher: &Self, divergence: Divergence) -> Result<Tensor> {
        let own = &*self.wanted;
        let losses = no_grad(|| self.losses_of_classes(0.0))?;
        let learned = own.learned(&losses.to_vec_f32()?);
        let theirs = own.labels(&own.nearest(&teacher.wanted, &learned))?;
        let [own_scores, their_scores] =
            [self.scores.rows(&own.labels(&learned)?)?, teacher.scores.rows(&theirs)?];
        let of_classes = divergence.of(&own_scores, &their_scores)?.scale(learned.len() as f64)?;
        let nearest = own.nearest(&teacher.wanted, &own.found);
        let codes = teacher.codes.detach()?.rows(&own.labels(&nearest)?)?.to_vec_f32()?;
        let wanted = own.moved(&teacher.wanted, codes.as_chunks().0, [&nearest, &own.found]);
        self.sum(&of_classes, &wanted)
    }

    /// The loss at every anchor, `[images × anchors]`.
    fn losses_of_classes(&self, smoothing: f64) -> Result<Tensor> {
        Ok(self.scores.cross_entropy_each(&self.wanted.labels(&self.wanted.classes)?, smoothing)?)
    }

    /// The loss of the classes and the distance from the codes wanted at the anchors with an object, divided by their number.
    fn sum(&self, of_classes: &Tensor, codes: &[f32]) -> Result<Tensor> {
        let Wanted { found, device, .. } = &*self.wanted;
        let codes = Tensor::from_slice(codes, &[found.len(), CODES])?.to_device(*device)?;
        let of_boxes = self.codes.rows(&self.wanted.labels(found)?)?.smooth_l1(&codes, 1.0)?;
        Ok(of_classes.add(&of_boxes)?.scale(1.0 / found.len().max(1) as f64)?)
    }

    /// The surest class at every anchor with an object.
    fn answers(&self) -> Result<Vec<i64>> {
        let places = self.wanted.labels(&self.wanted.found)?;
        Ok(self.scores.detach()?.rows(&places)?.argmax()?.to_vec_i64()?)
    }
}

/// Height and width of maps.
pub(super) fn extents(maps: &[Tensor]) -> Vec<Extent> {
    let extent = |map: &Tensor| Extent { height: map.shape()[2] as u32, width: map.shape()[3] as u32 };
    maps.iter().map(extent).collect()
}

/// The numbers of maps `[n, boxes × m, h, w]`, anchor by anchor: `[n × anchors, m]`.
pub(super) fn by_anchor(maps: &[Tensor], (n, m): (usize, usize)) -> Result<Tensor> {
    let listed = maps.iter().map(|map| {
        let anchors = map.elements() / (n * m);
        Ok(map.by_pixel()?.reshape(&[n, anchors, m])?)
    });
    let listed: Vec<_> = listed.collect::<Result<_>>()?;
    let all = Tensor::concatenate(&listed.iter().collect::<Vec<_>>(), 1)?;
    Ok(all.reshape(&[all.elements() / m, m])?)
}

impl Objective for Detect {
    const TASK: Task = Task::Detect;
    type Targets = BoxTargets;
    type Answer = BoxAnswer;
    type Score = DetectionScore;
    /// All: students learn from the objects, as in the paper.
    const STUDENT_LABELS: f64 = 1.0;

    /// That of the scores, which the boxes' comes on top of.
    fn guessing_loss(network: &Network) -> f64 {
        LEARNED * (network.classes() as f64).ln()
    }

    fn targets(batch: &Batch, device: Device) -> Result<BoxTargets> {
        let Targets::Objects { truth, images } = &batch.targets else {
            panic!("the data set was opened for detection");
        };
        let [height, width] = batch.size.map(|side| side as u32);
        let key = Key::new(batch.seed, Purpose::Regions).epoch(batch.epoch).step(batch.step as u64);
        let draws = batch.indices.iter().map(|&sample| key.sample(sample.into())).collect();
        let extent = Extent { height, width };
        Ok(BoxTargets::new(Arc::clone(truth), (images.clone(), draws), extent, device))
    }

    fn answer(mut pass: Pass<'_>, targets: &BoxTargets, _: Option<&BoxAnswer>) -> Result<BoxAnswer> {
        let seen = extent_of(pass.inputs[0]);
        BoxAnswer::new(&pass.run()?, seen, targets)
    }

    /// Cross-entropy at the anchors with an object and three times as many hard ones without, and smooth L1 distance of the
    /// codes at those with an object, divided by their number.
    fn supervised_loss(answer: &BoxAnswer, _: &BoxTargets, smoothing: f64) -> Result<Tensor> {
        answer.loss(smoothing)
    }

    /// At the same anchors as the loss from the objects: the divergence of the scores, and the distance of the boxes of those
    /// with an object.
    fn student_loss(
        student: &BoxAnswer,
        teacher: &BoxAnswer,
        _: &BoxTargets,
        divergence: Divergence,
    ) -> Result<Tensor> {
        student.loss_from(teacher, divergence)
    }

    fn detached(answer: &BoxAnswer) -> Result<BoxAnswer> {
        let BoxAnswer { scores, codes, wanted } = answer;
        Ok(BoxAnswer { scores: scores.detach()?, codes: codes.detach()?, wanted: Rc::clone(wanted) })
    }

    /// The first: recipes have no teacher of several answers for detectors.
    fn mean(answers: &[BoxAnswer], _: &BoxTargets) -> Result<BoxAnswer> {
        Self::detached(&answers[0])
    }

    /// The share of the anchors with an object whose surest class is that of the object; 0 without objects.
    fn accuracy(answer: &BoxAnswer, _: &BoxTargets) -> Result<f64> {
        let Wanted { classes, found, .. } = &*answer.wanted;
        let answers = answer.answers()?;
        let n = found.iter().zip(answers).filter(|(at, class)| classes[**at as usize] == *class).count();
        Ok(n as f64 / found.len().max(1) as f64)
    }

    /// Of the anchors with an object.
    fn most_frequent_answer(answer: &BoxAnswer, _: &BoxTargets) -> Result<Tensor> {
        let mut counts = HashMap::new();
        for class in answer.answers()? {
            *counts.entry(class).or_insert(0_u32) += 1;
        }
        let most = counts.into_values().max().unwrap_or(0);
        let share = most as f32 / answer.wanted.found.len().max(1) as f32;
        Ok(Tensor::from_slice(&[share], &[])?)
    }

    /// 0, because a constant answer says nothing of boxes, so that students are not compared with one.
    fn information(_: &BoxAnswer, _: &BoxTargets) -> Result<Tensor> {
        Ok(Tensor::from_slice(&[0.0], &[])?)
    }

    fn count(score: &mut DetectionScore, network: Staged<'_>, targets: &BoxTargets) -> Result<()> {
        let [scores, boxes] = [Output::SCORES, Output::BOXES].map(|kind| network.outputs.maps(kind));
        let n = targets.images.len();
        if n == 0 {
            return Ok(());
        }
        let n_classes = scores[0].shape()[1] * CODES / boxes[0].shape()[1];
        let maps = extents(&scores);
        let logits = by_anchor(&scores, (n, n_classes))?.to_vec_f32()?;
        let codes = by_anchor(&boxes, (n, CODES))?.to_vec_f32()?;
        let n_anchors = codes.len() / (n * CODES);
        let images = logits.chunks_exact(n_anchors * n_classes).zip(codes.chunks_exact(n_anchors * CODES));
        for ((logits, codes), objects) in images.zip(&targets.images) {
            // Boxes are relative to the image, which was stretched to a square.
            let extent = targets.truth.images()[objects.image].extent;
            let anchors = DefaultBoxes::ssdlite().grid(extent, &maps);
            let (codes, _) = codes.as_chunks::<CODES>();
            let answers = Answers { anchors: &anchors, logits, codes };
            let found =
                DetectionRules::SSDLITE.one_stage(answers, DetectionRules::SSDLITE_CANDIDATES, extent);
            score.add((targets, objects), (found, None), extent);
        }
        Ok(())
    }
}

/// What was detected in the images so far.
#[derive(Debug, Default)]
pub struct DetectionScore {
    truth: Option<Arc<Instances>>,
    /// Whether the network draws masks.
    has_masks: bool,
    /// The images, as indices in the ground truth.
    images: Vec<usize>,
    detections: Vec<Detection>,
}

impl DetectionScore {
    /// Adds what was found in an image, with boxes in pixels of a size at which it was seen, and the square mask of each if the
    /// network draws them.
    pub(super) fn add(
        &mut self,
        (targets, objects): (&BoxTargets, &Objects),
        (found, masks): (Vec<Found>, Option<Vec<Vec<f32>>>),
        seen: Extent,
    ) {
        self.has_masks |= masks.is_some();
        let masks = masks.unwrap_or_default();
        let truth = self.truth.get_or_insert_with(|| Arc::clone(&targets.truth));
        let extent = truth.images()[objects.image].extent;
        self.detections.extend(found.into_iter().enumerate().map(|(idx, found)| {
            let corners = boxes::resized(found.corners, seen, extent);
            let bounds = boxes::left_top_sides(corners).map(f64::from);
            Detection {
                image: objects.image,
                category: found.class - 1,
                score: f64::from(found.score),
                bounds,
                area: bounds[2] * bounds[3],
                mask: masks.get(idx).map(|square| {
                    let pasted = SquareMask::new(square).paste_runs(corners, extent);
                    pasted.expect("images have pixels")
                }),
            }
        }));
        self.images.push(objects.image);
    }

    /// COCO's evaluation of the images seen; objects of other images do not count as missed. `None` without images.
    ///
    /// # Errors
    /// Never.
    pub fn evaluation(&self) -> Result<Option<Evaluation>> {
        self.compared(Compare::Boxes)
    }

    /// That of masks.
    ///
    /// # Errors
    /// The network draws none, or the objects have none.
    pub fn mask_evaluation(&self) -> Result<Option<Evaluation>> {
        self.compared(Compare::Masks)
    }

    fn compared(&self, compare: Compare) -> Result<Option<Evaluation>> {
        let Some(truth) = &self.truth else { return Ok(None) };
        let seen: BTreeSet<_> = self.images.iter().collect();
        let truth = truth.restricted(|image| seen.contains(&image));
        Ok(Some(evaluate(&truth, &self.detections, compare)?))
    }
}

impl Score for DetectionScore {
    fn n(&self) -> u64 {
        self.images.len() as u64
    }

    fn quality(&self) -> Result<Quality> {
        let evaluation = self.evaluation()?;
        let n_all = self.truth.as_ref().map_or(0, |truth| truth.images().len());
        let ap = |weights: &[u32]| {
            let mut counts = vec![0; n_all];
            self.images.iter().zip(weights).for_each(|(&image, &weight)| counts[image] += weight);
            evaluation.as_ref().map_or(0.0, |evaluation| evaluation.resampled_ap(&counts))
        };
        Ok(Quality::of_samples(self.images.len(), ap)?)
    }

    fn others(&self) -> BTreeMap<Metric, f64> {
        let mut others = BTreeMap::new();
        let mut add = |evaluation: Result<Option<Evaluation>>, wanted: &[(Metric, Measure)]| {
            let Ok(Some(evaluation)) = evaluation else { return };
            let summary = evaluation.summary();
            let found = wanted.iter().filter_map(|&(metric, measure)| Some((metric, summary.get(measure)?)));
            others.extend(found);
        };
        add(self.evaluation(), &[(Metric::BoxAp50, Measure::Ap50)]);
        if self.has_masks {
            let wanted = [(Metric::MaskAp, Measure::Ap), (Metric::MaskAp50, Measure::Ap50)];
            add(self.mask_evaluation(), &wanted);
        }
        others
    }
}
