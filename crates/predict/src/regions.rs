//! Detection with two stages: the network proposes regions, and then looks at each of them.
//!
//! Separate from detection with one stage because a second list of the network runs in between.
//! Invariant: boxes are in pixels of the image as the network sees it, until they are decoded.

use std::sync::Arc;

use mutualnet_core::network::{List, Output as Name};
use mutualnet_detect::boxes::resized;
use mutualnet_detect::decode::{DetectionRules, ProposalRules};
use mutualnet_detect::{Corners, Extent, Proposer, RoiAlign};
use mutualnet_runtime::Output;

use crate::decoder::maps;
use crate::detect::{Boxes, CODES};
use crate::{Decoder, Error, Prediction, Result};

/// Cells along a side of a region.
const SIDE: usize = 7;

/// Regions of an image that another list of the network has to run on.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    boxes: Vec<Corners>,
    /// Cut out of the feature maps: `[regions, channels × 7 × 7]`.
    squares: Vec<f32>,
    seen: Extent,
}

impl Regions {
    /// The list.
    pub const LIST: &'static str = List::BOX;

    /// How many there are.
    pub fn n(&self) -> usize {
        self.boxes.len()
    }

    /// What the list reads.
    pub fn input(&self) -> &[f32] {
        &self.squares
    }
}

pub(crate) struct DetectRegions {
    /// The background first.
    pub(crate) classes: Arc<[String]>,
}

fn extent(output: &Output<'_>) -> Extent {
    let [height, width] = output.size.map(|side| side as u32);
    Extent { height, width }
}

impl Decoder for DetectRegions {
    fn draws(&self) -> bool {
        true
    }

    fn has_masks(&self) -> bool {
        false
    }

    fn regions(&self, outputs: &[Output<'_>], seen: [usize; 2]) -> Result<Option<Regions>> {
        let [features, objects, codes] =
            [Name::FEATURES, Name::OBJECTS, Name::CODES].map(|kind| maps(outputs, kind));
        let [height, width] = seen.map(|side| side as u32);
        let seen = Extent { height, width };
        let (proposed_from, cut_from): (Vec<_>, Vec<_>) =
            (objects.iter().map(extent).collect(), features.iter().map(extent).collect());
        let per_position = objects.first().map_or(0, |map| map.channels);
        let proposer = Proposer::new(seen, &proposed_from, per_position).ok_or(Error::NoDetector)?;
        let align = RoiAlign::new(&cut_from, seen, SIDE).ok_or(Error::NoDetector)?;
        let all = |outputs: &[Output<'_>]| outputs.iter().flat_map(|output| output.data).copied().collect();
        let (logits, codes): (Vec<f32>, Vec<f32>) = (all(&objects), all(&codes));
        let (codes, _) = codes.as_chunks::<CODES>();
        if [logits.len(), codes.len()] != [proposer.anchors().len(); 2] {
            return Err(Error::NoDetector);
        }
        let boxes = proposer.proposals(ProposalRules::TESTING, &logits, codes);
        let maps: Vec<_> = features.iter().map(|output| output.data).collect();
        let squares = align.cut(&maps, features[0].channels, &boxes);
        Ok(Some(Regions { boxes, squares, seen }))
    }

    fn decode(&self, _: &[Output<'_>], _: [u32; 2]) -> Result<Box<dyn Prediction>> {
        Err(Error::NoDetector)
    }

    fn decode_regions(
        &self,
        regions: &Regions,
        outputs: &[Output<'_>],
        [height, width]: [u32; 2],
    ) -> Result<Box<dyn Prediction>> {
        let numbers = |name: &str| {
            outputs.iter().find(|output| output.name == name).map_or(&[][..], |output| output.data)
        };
        let (logits, (codes, _)) = (numbers(Name::SCORES), numbers(Name::CODES).as_chunks::<CODES>());
        let n_classes = self.classes.len();
        if [logits.len(), codes.len()] != [regions.n() * n_classes; 2] {
            return Err(Error::NoDetector);
        }
        let own = Extent { height, width };
        let found = DetectionRules::TWO_STAGE.two_stage(&regions.boxes, logits, codes, regions.seen);
        let found = found.into_iter().map(|mut found| {
            found.corners = resized(found.corners, regions.seen, own);
            found
        });
        Ok(Box::new(Boxes::new(Arc::clone(&self.classes), found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_another_network_are_refused() {
        let decoder = DetectRegions { classes: Arc::new([]) };
        let output = Output { name: "logits", size: [1, 1], channels: 3, data: &[0.0; 3] };
        for n in [0, 1, 2, 5, 8] {
            let regions = decoder.regions(&vec![output; n], [32, 32]);
            assert!(matches!(regions, Err(Error::NoDetector)), "{n}");
        }
    }
}
