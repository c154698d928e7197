//! Detection with two stages: the network proposes regions, then looks at each of them, and may draw masks of what it finds.
//!
//! Separate from detection with one stage because other lists of the network run in between.
//! Invariant: boxes are in pixels of the image as the network sees it, until they are decoded.

use std::sync::Arc;

use mutualnet_core::network::{List, Output as Name};
use mutualnet_detect::boxes::resized;
use mutualnet_detect::decode::{DetectionRules, Found, ProposalRules};
use mutualnet_detect::{Corners, Extent, Proposer, RoiAlign, SquareMask};
use mutualnet_runtime::Output;

use crate::decoder::Step;
use crate::decoder::maps;
use crate::detect::{Boxes, CODES, FoundObject};
use crate::{Decoder, Error, Prediction, Result};

/// Cells along a side of a region whose class is asked for.
const SIDE: usize = 7;
/// Cells along a side of a region whose mask is asked for.
const MASK_SIDE: usize = 14;

/// Regions of an image that another list of the network has to run on.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    /// Cut out of the feature maps: `[regions, channels × 7 × 7]`, or for masks `[regions, 14, 14, channels]`.
    squares: Vec<f32>,
    seen: Extent,
    wanted: Wanted,
}

/// What the list shall say about regions.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    /// What is in them, and where exactly. Masks are cut out of the maps then.
    Objects { boxes: Vec<Corners>, maps: Option<Maps> },
    /// The masks of what was found.
    Masks { found: Vec<Found> },
}

/// The feature maps of an image, kept while another list runs.
#[derive(Debug, Clone, PartialEq)]
struct Maps {
    extents: Vec<Extent>,
    channels: usize,
    /// `[h, w, channels]` each.
    numbers: Vec<Vec<f32>>,
}

impl Regions {
    /// The list.
    pub fn list(&self) -> &'static str {
        match self.wanted {
            Wanted::Objects { .. } => List::BOX,
            Wanted::Masks { .. } => List::MASK,
        }
    }

    /// How many there are.
    pub fn n(&self) -> usize {
        match &self.wanted {
            Wanted::Objects { boxes, .. } => boxes.len(),
            Wanted::Masks { found } => found.len(),
        }
    }

    /// What the list reads.
    pub fn input(&self) -> &[f32] {
        &self.squares
    }
}

impl Maps {
    fn of(features: &[Output<'_>]) -> Self {
        Self {
            extents: features.iter().map(extent).collect(),
            channels: features.first().map_or(0, |map| map.channels),
            numbers: features.iter().map(|map| map.data.to_vec()).collect(),
        }
    }

    /// The regions of what was found.
    fn cut(&self, found: Vec<Found>, seen: Extent) -> Result<Regions> {
        let align = RoiAlign::new(&self.extents, seen, MASK_SIDE).ok_or(Error::NoDetector)?;
        let maps: Vec<_> = self.numbers.iter().map(Vec::as_slice).collect();
        let corners: Vec<_> = found.iter().map(|found| found.corners).collect();
        let squares = align.cut_by_pixel(&maps, self.channels, &corners);
        Ok(Regions { squares, seen, wanted: Wanted::Masks { found } })
    }
}

pub(crate) struct DetectRegions {
    /// The background first.
    pub(crate) classes: Arc<[String]>,
    /// The least score of an object that is told and drawn.
    pub(crate) least_score: f32,
    /// How many regions of an image the network looks at, if it says so.
    pub(crate) most_regions: Option<u32>,
    /// Whether the network has the list [`List::MASK`].
    pub(crate) draws_masks: bool,
    /// How many objects of an image get a mask, if the network says so.
    pub(crate) most_masks: Option<u32>,
}

/// The output with a name; nothing if there is none.
fn named<'a>(outputs: &[Output<'a>], name: &str) -> Option<Output<'a>> {
    outputs.iter().find(|output| output.name == name).copied()
}

impl DetectRegions {
    /// What is in regions of the image.
    fn found(&self, boxes: &[Corners], outputs: &[Output<'_>], seen: Extent) -> Result<Vec<Found>> {
        let numbers = |name: &str| named(outputs, name).map_or(&[][..], |output| output.data);
        let (logits, (codes, _)) = (numbers(Name::SCORES), numbers(Name::CODES).as_chunks::<CODES>());
        if [logits.len(), codes.len()] != [boxes.len() * self.classes.len(); 2] {
            return Err(Error::NoDetector);
        }
        Ok(DetectionRules::TWO_STAGE.at_most(self.most_masks).two_stage(boxes, logits, codes, seen))
    }

    /// The answer for an image of the size `own`, of which the network saw `seen`.
    fn answer(&self, found: Vec<Found>, masks: Vec<Vec<f32>>, [seen, own]: [Extent; 2]) -> Result<Step> {
        let objects = found.into_iter().enumerate().map(|(idx, Found { corners, score, class })| {
            let corners = resized(corners, seen, own);
            let pasted = masks.get(idx).map(|square| SquareMask::new(square).paste_runs(corners, own));
            let mask = pasted.transpose().map_err(|_| Error::NoDetector)?;
            Ok(FoundObject { class, score, corners, mask })
        });
        let objects = objects.collect::<Result<_>>()?;
        Ok(Step::Answer(Box::new(Boxes::new(Arc::clone(&self.classes), self.least_score, objects))))
    }
}

/// The square masks of what was found, for its class each: probabilities row by row.
fn squares(found: &[Found], outputs: &[Output<'_>]) -> Result<Vec<Vec<f32>>> {
    let output = named(outputs, Name::MASKS).ok_or(Error::NoDetector)?;
    let ([height, width], classes) = (output.size, output.channels);
    let pixels = height * width;
    if height != width || output.data.len() != found.len() * pixels * classes {
        return Err(Error::NoDetector);
    }
    let of_all = output.data.chunks_exact(pixels * classes).zip(found);
    let of_class = of_all.map(|(logits, found)| {
        let of_class = logits.iter().skip(found.class).step_by(classes);
        of_class.map(|&logit| 1.0 / (1.0 + (-logit).exp())).collect()
    });
    Ok(of_class.collect())
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

    fn finds_objects(&self) -> bool {
        true
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
        let boxes = proposer.proposals(ProposalRules::TESTING.at_most(self.most_regions), &logits, codes);
        let maps: Vec<_> = features.iter().map(|output| output.data).collect();
        let squares = align.cut(&maps, features[0].channels, &boxes);
        let maps = self.draws_masks.then(|| Maps::of(&features));
        Ok(Some(Regions { squares, seen, wanted: Wanted::Objects { boxes, maps } }))
    }

    fn decode(&self, _: &[Output<'_>], _: [u32; 2]) -> Result<Box<dyn Prediction>> {
        Err(Error::NoDetector)
    }

    fn decode_regions(
        &self,
        regions: Regions,
        outputs: &[Output<'_>],
        [height, width]: [u32; 2],
    ) -> Result<Step> {
        let Regions { seen, wanted, .. } = regions;
        let sizes = [seen, Extent { height, width }];
        match wanted {
            Wanted::Objects { boxes, maps } => {
                let found = self.found(&boxes, outputs, seen)?;
                match maps.filter(|_| !found.is_empty()) {
                    Some(maps) => Ok(Step::Regions(maps.cut(found, seen)?)),
                    None => self.answer(found, Vec::new(), sizes),
                }
            }
            Wanted::Masks { found } => {
                let masks = squares(&found, outputs)?;
                self.answer(found, masks, sizes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_another_network_are_refused() {
        let decoder = DetectRegions {
            classes: Arc::new([]),
            least_score: 0.5,
            most_regions: None,
            draws_masks: false,
            most_masks: None,
        };
        let output = Output { name: "logits", size: [1, 1], channels: 3, data: &[0.0; 3] };
        for n in [0, 1, 2, 5, 8] {
            let regions = decoder.regions(&vec![output; n], [32, 32]);
            assert!(matches!(regions, Err(Error::NoDetector)), "{n}");
        }
    }
}
