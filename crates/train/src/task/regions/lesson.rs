//! Which anchors and regions of a batch are learned from, and what should be answered there.
//!
//! Separate because it computes with boxes alone, and knows neither losses nor masks.

use mutualnet_core::rng::RngStream;
use mutualnet_detect::balanced::{Balance, LearnedAnchor, LearnedRegion, learned_anchors, learned_regions};
use mutualnet_detect::decode::ProposalRules;
use mutualnet_detect::{BoxCoder, Corners, Proposer, boxes};

use super::super::BoxTargets;
use super::maps::Maps;
use crate::Result;

/// What is learned from the images of a batch.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    /// The learned anchors, counted through all images, with 1 for those with an object and 0 for others.
    pub(super) anchors: Vec<i64>,
    pub(super) is_object: Vec<f32>,
    /// The anchors with an object, and the codes of their objects.
    pub(super) found: Vec<i64>,
    pub(super) anchor_codes: Vec<f32>,
    /// The learned regions image by image, and the class of each.
    pub(super) regions: Vec<Vec<LearnedRegion>>,
    pub(super) classes: Vec<i64>,
    pub(super) region_codes: Vec<f32>,
}

impl Lesson {
    /// Chooses what is learned from the images of a batch, from at most so many regions of each.
    pub(super) fn new(maps: &Maps, targets: &BoxTargets, most_regions: Option<u32>) -> Result<Self> {
        let balance = Balance::REGIONS.at_most(most_regions);
        let mut lesson = Self::default();
        let proposals = maps.proposals(ProposalRules::TRAINING)?;
        for ((proposals, objects), key) in proposals.iter().zip(&targets.images).zip(&targets.draws) {
            let resized = |&corners: &Corners| boxes::resized(corners, targets.extent, maps.seen);
            let of_image: Vec<_> = objects.boxes.iter().map(resized).collect();
            lesson.add(
                (&maps.proposer, balance),
                proposals,
                (&of_image, &objects.classes),
                &mut key.stream(),
            );
        }
        Ok(lesson)
    }

    /// The boxes of the learned regions.
    pub(super) fn corners(&self) -> Vec<Vec<Corners>> {
        let of_image = |regions: &Vec<LearnedRegion>| regions.iter().map(|region| region.corners).collect();
        self.regions.iter().map(of_image).collect()
    }

    /// Chooses what is learned from an image with these objects.
    fn add(
        &mut self,
        (proposer, balance): (&Proposer, Balance),
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
        let learned = learned_regions(balance, proposals, objects, rng);
        for LearnedRegion { corners, object } in &learned {
            self.classes.push(object.map_or(0, |object| i64::from(classes[object])));
            if let Some(object) = *object {
                self.region_codes.extend(BoxCoder::REGIONS.encode(objects[object], *corners));
            }
        }
        self.regions.push(learned);
    }

    /// Regions with an object times classes plus its class: where its codes are.
    pub(super) fn code_places(&self, n_classes: usize) -> Vec<i64> {
        let with_object = self.classes.iter().zip(0..).filter(|(class, _)| **class > 0);
        with_object.map(|(class, region): (_, i64)| region * n_classes as i64 + class).collect()
    }
}
