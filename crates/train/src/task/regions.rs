//! Detection with two stages: boxes are proposed, and each is looked at, as Faster R-CNN learns and answers them; and Mask R-CNN,
//! which draws the masks of those that it finds.
//!
//! The list [`List::MAIN`] proposes regions, which are cut out of its maps for the list [`List::BOX`], and for [`List::MASK`] if
//! the network has it. Every network of a step learns from the objects, as in the paper's detectors, with proposals of its own.
//! A student with a teacher looks at the teacher's regions instead, and learns the teacher's classes, boxes and masks there. Its
//! proposals learn from the objects all the same, because anchors are others at every resolution.
//! Invariant: whatever a loss from the objects or a score says equals torchvision's `FasterRCNN` and `MaskRCNN`, but for which
//! anchors and regions are drawn.
//!
//! # Source
//! `[MN-ECCV §4.4]` for what students learn from; arXiv 1506.01497, 1703.06870 and torchvision's `FasterRCNN` and
//! `MaskRCNN` for losses and answers.

use std::collections::HashMap;
use std::rc::Rc;

use mutualnet_core::network::{List, Output};
use mutualnet_core::{Network, Task};
use mutualnet_data::Batch;
use mutualnet_detect::decode::{DetectionRules, ProposalRules};
use mutualnet_engine::{Device, Tensor};

use super::detect::{CODES, DetectionScore};
use super::{BoxTargets, Detect, Objective, Pass, Staged, extent_of};
use crate::Result;
use crate::divergence::Divergence;

mod maps;
use maps::Maps;

mod lesson;
use lesson::{LearnedRegions, Lesson};

mod masks;
use masks::{MaskAnswer, drawn};

/// Where the distance of codes becomes linear.
const BETA: f64 = 1.0 / 9.0;

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
    /// The masks of those whose object has one, if the network draws masks and there are such.
    masks: Option<MaskAnswer>,
    /// Where they are, image by image.
    regions: Rc<LearnedRegions>,
}

/// On how many regions of an image a list of the network runs at most, if there is such a list and it says so.
fn most_of(network: &Network, list: &str) -> Option<u32> {
    network.list(list).ok().and_then(List::regions)
}

/// Numbers as a tensor on a device.
fn numbers(numbers: &[f32], shape: &[usize], device: Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(numbers, shape)?.to_device(device)?)
}

fn places(places: &[i64], device: Device) -> Result<Tensor> {
    Ok(Tensor::from_slice_i64(places, &[places.len()])?.to_device(device)?)
}

/// The sum of what is learned at anchors and regions, and from masks.
fn sum(([a, b, c, d], masks): ([Tensor; 4], Option<Tensor>)) -> Result<Tensor> {
    let of_boxes = a.add(&b)?.add(&c)?.add(&d)?;
    match masks {
        Some(of_masks) => Ok(of_boxes.add(&of_masks)?),
        None => Ok(of_boxes),
    }
}

impl RegionAnswer {
    /// Runs the other lists on regions of the images: those of the teacher, or without one on some that the network proposes.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new(network: Staged<'_>, targets: &BoxTargets, teacher: Option<&Self>) -> Result<Self> {
        let Staged { outputs, seen, network, run } = network;
        let maps = Maps::new(&outputs, seen);
        let device = targets.device;
        let teachers = teacher.map(|teacher| &*teacher.regions);
        let lesson = Lesson::new(&maps, targets, most_of(network, List::BOX), teachers)?;
        let masks = match network.list(List::MASK).is_ok() {
            true => MaskAnswer::new(&maps, &lesson, targets, run)?,
            false => None,
        };
        let [objects, codes] = maps.by_anchor()?;
        let answers = run(List::BOX, &maps.cut(&lesson.corners())?)?;
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
            masks,
            regions: Rc::new(lesson.regions),
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

    /// The loss of the masks: torchvision's `loss_mask`. `None` if no mask is learned from.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn mask_loss(&self) -> Result<Option<Tensor>> {
        self.masks.as_ref().map(MaskAnswer::loss).transpose()
    }

    /// The same five losses of a student at its teacher's regions: the first two, of proposals, from the objects, and those of
    /// classes, boxes and masks as distances from the teacher's.
    ///
    /// # Errors
    /// The engine has no memory.
    ///
    /// # Panics
    /// The student has regions of its own.
    pub fn losses_from(
        &self,
        teacher: &Self,
        divergence: Divergence,
    ) -> Result<([Tensor; 4], Option<Tensor>)> {
        assert_eq!(self.classes, teacher.classes, "the student looks at its teacher's regions");
        let [objects, anchor_codes, _, _] = self.losses(0.0)?;
        let codes = self.region_codes[0].smooth_l1(&teacher.region_codes[0], BETA)?;
        let losses = [
            objects,
            anchor_codes,
            divergence.of(&self.scores, &teacher.scores)?,
            codes.scale(1.0 / self.classes.len().max(1) as f64)?,
        ];
        let masks = self.masks.as_ref().zip(teacher.masks.as_ref());
        Ok((losses, masks.map(|(own, theirs)| own.loss_from(theirs)).transpose()?))
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
    /// All: students learn from the objects, as in the paper.
    const STUDENT_LABELS: f64 = 1.0;

    /// That of the proposals' logits and of the regions' scores, and of the pixels of masks.
    fn guessing_loss(network: &Network) -> f64 {
        let two_answers = if network.list(List::MASK).is_ok() { 2.0 } else { 1.0 };
        two_answers * 2.0_f64.ln() + (network.classes() as f64).ln()
    }

    fn targets(batch: &Batch, device: Device) -> Result<BoxTargets> {
        Detect::targets(batch, device)
    }

    fn answer(
        mut pass: Pass<'_>,
        targets: &BoxTargets,
        teacher: Option<&RegionAnswer>,
    ) -> Result<RegionAnswer> {
        let (seen, outputs) = (extent_of(pass.inputs[0]), pass.run()?);
        let network = pass.net.network();
        let run = &mut |list: &str, input: &Tensor| pass.run_list(list, &[input]);
        RegionAnswer::new(Staged { outputs, seen, network, run }, targets, teacher)
    }

    /// Cross-entropy of the learned anchors and of the learned regions, and the smooth L1 distances of the codes of those with
    /// an object, divided by the number of all that are learned from.
    fn supervised_loss(answer: &RegionAnswer, _: &BoxTargets, smoothing: f64) -> Result<Tensor> {
        sum((answer.losses(smoothing)?, answer.mask_loss()?))
    }

    /// The same of the proposals, and the distances of classes, boxes and masks from the teacher's.
    fn student_loss(
        student: &RegionAnswer,
        teacher: &RegionAnswer,
        _: &BoxTargets,
        divergence: Divergence,
    ) -> Result<Tensor> {
        sum(student.losses_from(teacher, divergence)?)
    }

    fn detached(answer: &RegionAnswer) -> Result<RegionAnswer> {
        let both = |[a, b]: &[Tensor; 2]| -> Result<_> { Ok([a.detach()?, b.detach()?]) };
        Ok(RegionAnswer {
            objects: both(&answer.objects)?,
            anchor_codes: both(&answer.anchor_codes)?,
            scores: answer.scores.detach()?,
            classes: answer.classes.clone(),
            region_codes: both(&answer.region_codes)?,
            masks: answer.masks.as_ref().map(MaskAnswer::detached).transpose()?,
            regions: Rc::clone(&answer.regions),
        })
    }

    /// The first: recipes have no teacher of several answers for detectors.
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

    /// 0, because a constant answer says nothing of boxes, so that students are not compared with one.
    fn information(_: &RegionAnswer, _: &BoxTargets) -> Result<Tensor> {
        Ok(Tensor::from_slice(&[0.0], &[])?)
    }

    /// The regions of one image are run at a time: a thousand of them take 50 MB.
    fn count(score: &mut DetectionScore, network: Staged<'_>, targets: &BoxTargets) -> Result<()> {
        let Staged { outputs, seen, network, run } = network;
        let maps = Maps::new(&outputs, seen);
        let draws_masks = network.list(List::MASK).is_ok();
        let proposals = maps.proposals(ProposalRules::TESTING.at_most(most_of(network, List::BOX)))?;
        let rules = DetectionRules::TWO_STAGE.at_most(most_of(network, List::MASK));
        for (image, (regions, objects)) in proposals.into_iter().zip(&targets.images).enumerate() {
            let found = if regions.is_empty() {
                Vec::new()
            } else {
                let answers = run(List::BOX, &maps.cut(&maps.of_image(image, &regions))?)?;
                let [scores, codes] =
                    [Output::SCORES, Output::CODES].map(|name| answers.get(name).to_vec_f32());
                rules.two_stage(&regions, &scores?, codes?.as_chunks::<CODES>().0, seen)
            };
            let masks = match draws_masks {
                true => Some(drawn(&maps, (image, &found), run)?),
                false => None,
            };
            score.add((targets, objects), (found, masks), seen);
        }
        Ok(())
    }
}
