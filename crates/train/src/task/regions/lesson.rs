//! Which anchors and regions of a batch are learned from, and what should be answered there.
//!
//! Separate because it computes with boxes alone, and knows neither losses nor masks.

use mutualnet_core::rng::RngStream;
use mutualnet_detect::balanced::{Balance, LearnedAnchor, LearnedRegion, learned_anchors, learned_regions};
use mutualnet_detect::decode::ProposalRules;
use mutualnet_detect::{BoxCoder, Corners, Extent, Proposer, boxes};

use super::super::BoxTargets;
use super::maps::Maps;
use crate::Result;

/// The regions that a network learns at, image by image.
#[derive(Debug)]
pub(super) struct LearnedRegions {
    pub(super) images: Vec<Vec<LearnedRegion>>,
    /// Size of the images that they are in.
    seen: Extent,
}

impl LearnedRegions {
    /// Those of an image when it has another size.
    fn of_image(&self, image: usize, seen: Extent) -> Vec<LearnedRegion> {
        let resized = |&LearnedRegion { corners, object }: &LearnedRegion| LearnedRegion {
            corners: boxes::resized(corners, self.seen, seen),
            object,
        };
        self.images[image].iter().map(resized).collect()
    }
}

/// What is learned from the images of a batch.
#[derive(Debug)]
pub(super) struct Lesson {
    /// The learned anchors, counted through all images, with 1 for those with an object and 0 for others.
    pub(super) anchors: Vec<i64>,
    pub(super) is_object: Vec<f32>,
    /// The anchors with an object, and the codes of their objects.
    pub(super) found: Vec<i64>,
    pub(super) anchor_codes: Vec<f32>,
    pub(super) regions: LearnedRegions,
    /// The class of every region.
    pub(super) classes: Vec<i64>,
    pub(super) region_codes: Vec<f32>,
}

impl Lesson {
    /// Chooses what is learned from the images of a batch: anchors, and the teacher's regions, or without a teacher at most so
    /// many regions of each image that are proposed or objects.
    pub(super) fn new(
        maps: &Maps,
        targets: &BoxTargets,
        most_regions: Option<u32>,
        teachers: Option<&LearnedRegions>,
    ) -> Result<Self> {
        let balance = Balance::REGIONS.at_most(most_regions);
        let proposals = match teachers {
            Some(_) => Vec::new(),
            None => maps.proposals(ProposalRules::TRAINING)?,
        };
        let mut lesson = Self::of_nothing(maps.seen);
        for (image, (objects, key)) in targets.images.iter().zip(&targets.draws).enumerate() {
            let resized = |&corners: &Corners| boxes::resized(corners, targets.extent, maps.seen);
            let of_image: Vec<_> = objects.boxes.iter().map(resized).collect();
            let rng = &mut key.stream();
            lesson.add_anchors(&maps.proposer, &of_image, rng);
            let regions = match teachers {
                Some(teachers) => teachers.of_image(image, maps.seen),
                None => learned_regions(balance, &proposals[image], &of_image, rng),
            };
            lesson.add_regions(regions, (&of_image, &objects.classes));
        }
        Ok(lesson)
    }

    fn of_nothing(seen: Extent) -> Self {
        Self {
            anchors: Vec::new(),
            is_object: Vec::new(),
            found: Vec::new(),
            anchor_codes: Vec::new(),
            regions: LearnedRegions { images: Vec::new(), seen },
            classes: Vec::new(),
            region_codes: Vec::new(),
        }
    }

    /// The boxes of the learned regions.
    pub(super) fn corners(&self) -> Vec<Vec<Corners>> {
        let of_image = |regions: &Vec<LearnedRegion>| regions.iter().map(|region| region.corners).collect();
        self.regions.images.iter().map(of_image).collect()
    }

    /// Chooses the anchors that are learned from the next image, which has these objects.
    fn add_anchors(&mut self, proposer: &Proposer, objects: &[Corners], rng: &mut RngStream) {
        let anchors = proposer.anchors();
        let first = (self.regions.images.len() * anchors.len()) as i64;
        for LearnedAnchor { anchor, object } in learned_anchors(anchors, objects, rng) {
            let place = first + anchor as i64;
            self.anchors.push(place);
            self.is_object.push(if object.is_some() { 1.0 } else { 0.0 });
            if let Some(object) = object {
                self.found.push(place);
                self.anchor_codes.extend(BoxCoder::ANCHORS.encode(objects[object], anchors[anchor]));
            }
        }
    }

    /// Adds the regions of the next image, which has these objects of these classes.
    fn add_regions(&mut self, regions: Vec<LearnedRegion>, (objects, classes): (&[Corners], &[u32])) {
        for LearnedRegion { corners, object } in &regions {
            self.classes.push(object.map_or(0, |object| i64::from(classes[object])));
            if let Some(object) = *object {
                self.region_codes.extend(BoxCoder::REGIONS.encode(objects[object], *corners));
            }
        }
        self.regions.images.push(regions);
    }

    /// Regions with an object times classes plus its class: where its codes are.
    pub(super) fn code_places(&self, n_classes: usize) -> Vec<i64> {
        let with_object = self.classes.iter().zip(0..).filter(|(class, _)| **class > 0);
        with_object.map(|(class, region): (_, i64)| region * n_classes as i64 + class).collect()
    }
}
