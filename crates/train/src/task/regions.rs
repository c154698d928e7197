//! Detection with two stages: boxes are proposed, and each is looked at, as Faster R-CNN learns and answers them.
//!
//! The list [`List::MAIN`] proposes regions, which are cut out of its maps for the list [`List::BOX`]. Every network of a step
//! learns from the objects, as in the paper's detectors, with proposals of its own.
//! Invariant: whatever a loss or a score says equals torchvision's `FasterRCNN`, but for which anchors and regions are drawn.
//!
//! # Source
//! `[MN-ECCV §4.4]` for what students learn from; arXiv 1506.01497 and torchvision's `FasterRCNN` for losses and answers.

use std::collections::HashMap;

use mutualnet_core::network::{List, Output};
use mutualnet_core::rng::RngStream;
use mutualnet_core::{Network, Task};
use mutualnet_data::Batch;
use mutualnet_detect::balanced::{LearnedAnchor, LearnedRegion, learned_anchors, learned_regions};
use mutualnet_detect::decode::{DetectionRules, ProposalRules};
use mutualnet_detect::{BoxCoder, Corners, Extent, Proposer, RoiAlign, boxes};
use mutualnet_engine::{Device, Tensor};

use super::detect::{CODES, DetectionScore, by_anchor, extents};
use super::{BoxTargets, Detect, Evaluated, Objective, Outputs, Pass, extent_of};
use crate::Result;
use crate::divergence::Divergence;
use crate::regions::cut;

/// Where the distance of codes becomes linear.
const BETA: f64 = 1.0 / 9.0;
/// Cells along a side of a region.
const REGION_SIDE: usize = 7;

/// The objective of [`Task::Detect`] for networks with the list [`List::BOX`].
#[derive(Debug)]
pub enum Regions {}

/// What a network answers at the anchors and regions that are learned from, and what it should answer.
#[derive(Debug)]
pub struct RegionAnswer {
    /// Logits at the anchors, and whether each should find an object: both `[anchors]`.
    objects: [Tensor; 2],
    /// Codes at the anchors that should, and those of their objects: both `[anchors with an object, 4]`.
    anchor_codes: [Tensor; 2],
    /// Logits of regions, `[regions, classes]`.
    scores: Tensor,
    /// Their classes.
    classes: Vec<i64>,
    /// Codes of the regions with an object for its class, and those of the objects: both `[regions with an object, 4]`.
    region_codes: [Tensor; 2],
}

/// The outputs of the list [`List::MAIN`].
#[derive(Debug)]
struct Maps {
    /// Those that regions are cut from.
    features: Vec<Tensor>,
    objects: Vec<Tensor>,
    codes: Vec<Tensor>,
    n: usize,
    seen: Extent,
    proposer: Proposer,
}

impl Maps {
    /// # Panics
    /// They are not those of a two-stage detector, which [`Task::check`] asks for.
    fn new(main: &Outputs<'_>, seen: Extent) -> Self {
        let [features, objects, codes] =
            [Output::FEATURES, Output::OBJECTS, Output::CODES].map(|kind| main.maps(kind));
        let shape = objects[0].shape();
        let proposer =
            Proposer::new(seen, &extents(&objects), shape[1]).expect("the task checked the network");
        Self { features, objects, codes, n: shape[0], seen, proposer }
    }

    /// `[n × anchors]` and `[n × anchors, 4]`.
    fn by_anchor(&self) -> Result<[Tensor; 2]> {
        let objects = by_anchor(&self.objects, (self.n, 1))?;
        Ok([objects.reshape(&[objects.elements()])?, by_anchor(&self.codes, (self.n, CODES))?])
    }

    /// The boxes proposed for every image.
    fn proposals(&self, rules: ProposalRules) -> Result<Vec<Vec<Corners>>> {
        let [objects, codes] = self.by_anchor()?;
        let (objects, codes) = (objects.detach()?.to_vec_f32()?, codes.detach()?.to_vec_f32()?);
        let n_anchors = self.proposer.anchors().len();
        let images =
            objects.chunks_exact(n_anchors).zip(codes.as_chunks::<CODES>().0.chunks_exact(n_anchors));
        Ok(images.map(|(objects, codes)| self.proposer.proposals(rules, objects, codes)).collect())
    }

    /// Regions of one image of the batch, image by image.
    fn of_image(&self, image: usize, regions: &[Corners]) -> Vec<Vec<Corners>> {
        let mut all = vec![Vec::new(); self.n];
        all[image] = regions.to_vec();
        all
    }

    /// What the list [`List::BOX`] reads, for the regions of every image: `[regions, channels × 7 × 7, 1, 1]`.
    fn cut(&self, regions: &[Vec<Corners>]) -> Result<Tensor> {
        let align = RoiAlign::new(&extents(&self.features), self.seen, REGION_SIDE);
        let squares = cut(&align.expect("the task checked the network"), &self.features, regions)?;
        let [n, channels] = [squares.shape()[0], squares.shape()[1]];
        Ok(squares.contiguous()?.reshape(&[n, channels * REGION_SIDE * REGION_SIDE, 1, 1])?)
    }
}

/// Numbers as a tensor on a device.
fn numbers(numbers: &[f32], shape: &[usize], device: Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(numbers, shape)?.to_device(device)?)
}

fn places(places: &[i64], device: Device) -> Result<Tensor> {
    Ok(Tensor::from_slice_i64(places, &[places.len()])?.to_device(device)?)
}

/// What is learned from the images of a batch.
#[derive(Debug, Default)]
struct Lesson {
    /// The learned anchors, counted through all images, with 1 for those with an object and 0 for others.
    anchors: Vec<i64>,
    is_object: Vec<f32>,
    /// The anchors with an object, and the codes of their objects.
    found: Vec<i64>,
    anchor_codes: Vec<f32>,
    /// The learned regions image by image, and the class of each.
    regions: Vec<Vec<Corners>>,
    classes: Vec<i64>,
    region_codes: Vec<f32>,
}

impl Lesson {
    /// Chooses what is learned from an image with these objects.
    fn add(
        &mut self,
        proposer: &Proposer,
        proposals: &[Corners],
        (objects, classes): (&[Corners], &[u32]),
        rng: &mut RngStream,
    ) {
        let anchors = proposer.anchors();
        let first = (self.regions.len() * anchors.len()) as i64;
        for LearnedAnchor { anchor, object } in learned_anchors(anchors, objects, rng) {
            let place = first + anchor as i64;
            self.anchors.push(place);
            self.is_object.push(if object.is_some() { 1.0 } else { 0.0 });
            if let Some(object) = object {
                self.found.push(place);
                self.anchor_codes.extend(BoxCoder::ANCHORS.encode(objects[object], anchors[anchor]));
            }
        }
        let learned = learned_regions(proposals, objects, rng);
        for LearnedRegion { corners, object } in &learned {
            self.classes.push(object.map_or(0, |object| i64::from(classes[object])));
            if let Some(object) = *object {
                self.region_codes.extend(BoxCoder::REGIONS.encode(objects[object], *corners));
            }
        }
        self.regions.push(learned.into_iter().map(|learned| learned.corners).collect());
    }

    /// Regions with an object times classes plus its class: where its codes are.
    fn code_places(&self, n_classes: usize) -> Vec<i64> {
        let with_object = self.classes.iter().zip(0..).filter(|(class, _)| **class > 0);
        with_object.map(|(class, region): (_, i64)| region * n_classes as i64 + class).collect()
    }
}

impl RegionAnswer {
    /// From the outputs of [`List::MAIN`] for images of the size `seen`; `run` runs [`List::BOX`].
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new<'a>(
        main: &Outputs<'_>,
        seen: Extent,
        targets: &BoxTargets,
        run: impl FnOnce(&Tensor) -> Result<Outputs<'a>>,
    ) -> Result<Self> {
        let maps = Maps::new(main, seen);
        let device = targets.device;
        let mut lesson = Lesson::default();
        let proposals = maps.proposals(ProposalRules::TRAINING)?;
        for ((proposals, objects), key) in proposals.iter().zip(&targets.images).zip(&targets.draws) {
            let resized = |&corners: &Corners| boxes::resized(corners, targets.extent, seen);
            let of_image: Vec<_> = objects.boxes.iter().map(resized).collect();
            lesson.add(&maps.proposer, proposals, (&of_image, &objects.classes), &mut key.stream());
        }
        let [objects, codes] = maps.by_anchor()?;
        let answers = run(&maps.cut(&lesson.regions)?)?;
        let scores = answers.get(Output::SCORES);
        let n_classes = scores.shape()[1];
        let of_classes = answers.get(Output::CODES).reshape(&[lesson.classes.len() * n_classes, CODES])?;
        let found = lesson.code_places(n_classes);
        Ok(Self {
            objects: [
                objects.rows(&places(&lesson.anchors, device)?)?,
                numbers(&lesson.is_object, &[lesson.is_object.len()], device)?,
            ],
            anchor_codes: [
                codes.rows(&places(&lesson.found, device)?)?,
                numbers(&lesson.anchor_codes, &[lesson.found.len(), CODES], device)?,
            ],
            region_codes: [
                of_classes.rows(&places(&found, device)?)?,
                numbers(&lesson.region_codes, &[found.len(), CODES], device)?,
            ],
            scores: scores.alias(),
            classes: lesson.classes,
        })
    }

    /// The losses of the proposals' logits and boxes, and of the regions' classes and boxes: torchvision's `loss_objectness`,
    /// `loss_rpn_box_reg`, `loss_classifier` and `loss_box_reg`.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn losses(&self, smoothing: f64) -> Result<[Tensor; 4]> {
        let share = |n: usize| 1.0 / n.max(1) as f64;
        let [objects, is_object] = &self.objects;
        let per_anchor = share(objects.elements());
        let per_region = share(self.classes.len());
        let distance = |[codes, wanted]: &[Tensor; 2]| codes.smooth_l1(wanted, BETA);
        let classes = places(&self.classes, self.scores.device())?;
        let of_classes = self.scores.cross_entropy_each(&classes, smoothing)?.sum()?;
        Ok([
            objects.binary_cross_entropy(is_object)?.scale(per_anchor)?,
            distance(&self.anchor_codes)?.scale(per_anchor)?,
            of_classes.scale(per_region)?,
            distance(&self.region_codes)?.scale(per_region)?,
        ])
    }

    fn loss(&self, smoothing: f64) -> Result<Tensor> {
        let [a, b, c, d] = self.losses(smoothing)?;
        Ok(a.add(&b)?.add(&c)?.add(&d)?)
    }

    /// The class of every region with an object, and the surest one.
    fn answers(&self) -> Result<Vec<[i64; 2]>> {
        let found = self.scores.detach()?.argmax()?.to_vec_i64()?;
        let pairs = self.classes.iter().zip(found).filter(|(class, _)| **class > 0);
        Ok(pairs.map(|(class, found)| [*class, found]).collect())
    }
}

impl Objective for Regions {
    const TASK: Task = Task::Detect;
    type Targets = BoxTargets;
    type Answer = RegionAnswer;
    type Score = DetectionScore;

    /// That of the proposals' logits and of the regions' scores.
    fn guessing_loss(network: &Network) -> f64 {
        2.0_f64.ln() + (network.classes() as f64).ln()
    }

    fn targets(batch: &Batch, device: Device) -> Result<BoxTargets> {
        Detect::targets(batch, device)
    }

    fn answer(mut pass: Pass<'_>, targets: &BoxTargets) -> Result<RegionAnswer> {
        let seen = extent_of(pass.inputs[0]);
        let main = pass.run()?;
        RegionAnswer::new(&main, seen, targets, |regions| pass.run_list(List::BOX, &[regions]))
    }

    /// Cross-entropy of the learned anchors and of the learned regions, and the smooth L1 distances of the codes of those with
    /// an object, divided by the number of all that are learned from.
    fn supervised_loss(answer: &RegionAnswer, _: &BoxTargets, smoothing: f64) -> Result<Tensor> {
        answer.loss(smoothing)
    }

    /// That of the full network without smoothing: a student learns from the objects, with proposals of its own.
    fn student_loss(
        student: &RegionAnswer,
        _: &RegionAnswer,
        _: &BoxTargets,
        _: Divergence,
    ) -> Result<Tensor> {
        student.loss(0.0)
    }

    fn detached(answer: &RegionAnswer) -> Result<RegionAnswer> {
        let both = |[a, b]: &[Tensor; 2]| -> Result<_> { Ok([a.detach()?, b.detach()?]) };
        Ok(RegionAnswer {
            objects: both(&answer.objects)?,
            anchor_codes: both(&answer.anchor_codes)?,
            scores: answer.scores.detach()?,
            classes: answer.classes.clone(),
            region_codes: both(&answer.region_codes)?,
        })
    }

    /// The first: recipes have no teacher of several answers for detectors, because students learn from the objects.
    fn mean(answers: &[RegionAnswer], _: &BoxTargets) -> Result<RegionAnswer> {
        Self::detached(&answers[0])
    }

    /// The share of the learned regions with an object whose surest class is that of the object; 0 without objects.
    fn accuracy(answer: &RegionAnswer, _: &BoxTargets) -> Result<f64> {
        let answers = answer.answers()?;
        let n = answers.iter().filter(|[class, found]| class == found).count();
        Ok(n as f64 / answers.len().max(1) as f64)
    }

    /// Of the learned regions with an object.
    fn most_frequent_answer(answer: &RegionAnswer, _: &BoxTargets) -> Result<Tensor> {
        let answers = answer.answers()?;
        let mut counts = HashMap::new();
        for [_, found] in &answers {
            *counts.entry(*found).or_insert(0_u32) += 1;
        }
        let most = counts.into_values().max().unwrap_or(0);
        Ok(Tensor::from_slice(&[most as f32 / answers.len().max(1) as f32], &[])?)
    }

    /// 0: nothing is learned from the teacher.
    fn information(_: &RegionAnswer, _: &BoxTargets) -> Result<Tensor> {
        Ok(Tensor::from_slice(&[0.0], &[])?)
    }

    /// The regions of one image are run at a time: a thousand of them take 50 MB.
    fn count(score: &mut DetectionScore, network: Evaluated<'_>, targets: &BoxTargets) -> Result<()> {
        let Evaluated { outputs, seen, run } = network;
        let maps = Maps::new(&outputs, seen);
        let proposals = maps.proposals(ProposalRules::TESTING)?;
        for (image, (regions, objects)) in proposals.into_iter().zip(&targets.images).enumerate() {
            let found = if regions.is_empty() {
                Vec::new()
            } else {
                let answers = run(List::BOX, &maps.cut(&maps.of_image(image, &regions))?)?;
                let [scores, codes] =
                    [Output::SCORES, Output::CODES].map(|name| answers.get(name).to_vec_f32());
                DetectionRules::TWO_STAGE.two_stage(&regions, &scores?, codes?.as_chunks::<CODES>().0, seen)
            };
            score.add((targets, objects), found, seen);
        }
        Ok(())
    }
}
