//! From the maps of a network that proposes regions to the proposals.
//!
//! Separate because training, evaluation and the run side do the same with the same numbers.
//! Invariant: numbers are listed anchor by anchor: maps, rows, columns, and the boxes of one position.

use crate::anchors::Anchors;
use crate::decode::ProposalRules;
use crate::{BoxCoder, Corners, Extent};

/// The anchors of a network for images of one size, and which boxes it proposes.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposer {
    anchors: Vec<Corners>,
    /// How many of them each map has.
    of_maps: Vec<usize>,
    seen: Extent,
    score: f32,
}

impl Proposer {
    /// For images of the size `seen` and maps with so many boxes at every position: five maps with 3, as
    /// `fasterrcnn_resnet50_fpn` has them, or three with 15, as `fasterrcnn_mobilenet_v3_large_fpn`. `None` of other networks, and
    /// if a map has no pixels.
    pub fn new(seen: Extent, maps: &[Extent], boxes_per_position: usize) -> Option<Self> {
        let (anchors, score) = match (maps.len(), boxes_per_position) {
            (5, 3) => (Anchors::pyramid(), 0.0),
            (3, 15) => (Anchors::mobile(), ProposalRules::MOBILE_SCORE),
            _ => return None,
        };
        if maps.iter().any(|map| map.width == 0 || map.height == 0) {
            return None;
        }
        let of_maps = maps.iter().map(|map| map.height as usize * map.width as usize * boxes_per_position);
        Some(Self { anchors: anchors.grid(seen, maps), of_maps: of_maps.collect(), seen, score })
    }

    /// All anchors.
    pub fn anchors(&self) -> &[Corners] {
        &self.anchors
    }

    /// The boxes that are proposed for an image, surest first, from the logit and the codes of every anchor.
    ///
    /// # Panics
    /// There are more or fewer of them than anchors.
    ///
    /// # Source
    /// torchvision, `RegionProposalNetwork.forward`.
    pub fn proposals(&self, rules: ProposalRules, logits: &[f32], codes: &[[f32; 4]]) -> Vec<Corners> {
        assert_eq!(
            (logits.len(), codes.len()),
            (self.anchors.len(), self.anchors.len()),
            "every anchor has a logit and codes"
        );
        let boxes =
            codes.iter().zip(&self.anchors).map(|(&codes, &anchor)| BoxCoder::ANCHORS.decode(codes, anchor));
        let boxes: Vec<_> = boxes.collect();
        let mut levels: Vec<(&[Corners], &[f32])> = Vec::with_capacity(self.of_maps.len());
        let mut start = 0;
        for n in &self.of_maps {
            levels.push((&boxes[start..start + n], &logits[start..start + n]));
            start += n;
        }
        let rules = ProposalRules { score: self.score, ..rules };
        rules.proposals(&levels, self.seen).into_iter().map(|proposal| proposal.corners).collect()
    }
}
