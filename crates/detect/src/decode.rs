//! From the numbers of a network to proposals and detections.
//!
//! Separate because these are the rules of what a detector answers: scores, thresholds, how many.
//! Invariant: boxes are inside of the image, and the surest come first.

use crate::boxes::{clip, has_sides};
use crate::suppress::{suppress_in_groups, surest_first};
use crate::{BoxCoder, Corners, Extent};

/// A box that might contain an object of any class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The box, inside of the image.
    pub corners: Corners,
    /// From 0 to 1.
    pub score: f32,
}

/// A box with an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The box, inside of the image.
    pub corners: Corners,
    /// From 0 to 1.
    pub score: f32,
    /// Class of the object, from 1; 0 is the background.
    pub class: usize,
}

/// The rules for proposals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProposalRules {
    /// The surest boxes of every level that are looked at.
    pub before: usize,
    /// The surest boxes that stay in the end.
    pub after: usize,
    /// Smallest score.
    pub score: f32,
    /// Boxes of one level that overlap more are one.
    pub overlap: f64,
}

impl ProposalRules {
    /// While training.
    pub const TRAINING: Self = Self { before: 2000, after: 2000, score: 0.0, overlap: 0.7 };
    /// Otherwise.
    pub const TESTING: Self = Self { before: 1000, after: 1000, score: 0.0, overlap: 0.7 };
    /// Smallest score of `fasterrcnn_mobilenet_v3_large_fpn`, while training and otherwise.
    pub const MOBILE_SCORE: f32 = 0.05;
    /// Shortest side of a box, in pixels.
    const SIDE: f32 = 1e-3;

    /// So many proposals at most; as many as before if `n` is `None`.
    pub fn at_most(self, n: Option<u32>) -> Self {
        Self { after: n.map_or(self.after, |n| n as usize), ..self }
    }

    /// The proposals of one image, out of the decoded boxes of every level with their logits.
    ///
    /// # Panics
    /// A level has more or fewer logits than boxes.
    ///
    /// # Source
    /// torchvision, `RegionProposalNetwork.filter_proposals`.
    pub fn proposals(self, levels: &[(&[Corners], &[f32])], image: Extent) -> Vec<Proposal> {
        let (mut boxes, mut scores, mut groups) = (vec![], vec![], vec![]);
        for (level, &(corners, logits)) in levels.iter().enumerate() {
            assert_eq!(corners.len(), logits.len(), "every box of a level has a logit");
            for idx in surest_first(logits).into_iter().take(self.before) {
                let (clipped, score) = (clip(corners[idx], image), sigmoid(logits[idx]));
                if has_sides(clipped, Self::SIDE) && score >= self.score {
                    boxes.push(clipped);
                    scores.push(score);
                    groups.push(level);
                }
            }
        }
        let kept = suppress_in_groups(&boxes, &scores, &groups, self.overlap).into_iter().take(self.after);
        kept.map(|idx| Proposal { corners: boxes[idx], score: scores[idx] }).collect()
    }
}

/// The rules for detections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionRules {
    /// Scores must be above it.
    pub score: f32,
    /// Boxes of one class that overlap more are one object.
    pub overlap: f64,
    /// The surest that stay in the end.
    pub most: usize,
}

impl DetectionRules {
    /// Those of Faster and Mask R-CNN.
    pub const TWO_STAGE: Self = Self { score: 0.05, overlap: 0.5, most: 100 };
    /// Those of SSDlite, with the 300 surest boxes of each class.
    pub const SSDLITE: Self = Self { score: 0.001, overlap: 0.55, most: 300 };
    /// The surest boxes of each class that SSDlite looks at.
    pub const SSDLITE_CANDIDATES: usize = 300;
    /// Shortest side of a box of a two-stage detector, in pixels.
    const SIDE: f32 = 1e-2;

    /// So many detections at most; as many as before if `n` is `None`.
    pub fn at_most(self, n: Option<u32>) -> Self {
        Self { most: n.map_or(self.most, |n| n as usize), ..self }
    }

    /// The detections of a two-stage detector, which has a box per class for every region.
    ///
    /// # Shapes
    /// - `logits`: `[regions, classes]`, the background first
    /// - `codes`: `[regions, classes]`
    ///
    /// # Panics
    /// The numbers do not fit together.
    ///
    /// # Source
    /// torchvision, `RoIHeads.postprocess_detections`.
    pub fn two_stage(
        self,
        regions: &[Corners],
        logits: &[f32],
        codes: &[[f32; 4]],
        image: Extent,
    ) -> Vec<Found> {
        assert_eq!(logits.len(), codes.len(), "every class of a region has a box");
        let classes = classes_of(logits, regions.len());
        let mut candidates = vec![];
        for (number, &region) in regions.iter().enumerate() {
            let range = number * classes..(number + 1) * classes;
            let scores = softmax(&logits[range.clone()]);
            for (class, (score, &codes)) in scores.into_iter().zip(&codes[range]).enumerate().skip(1) {
                let corners = clip(BoxCoder::REGIONS.decode(codes, region), image);
                if score > self.score && has_sides(corners, Self::SIDE) {
                    candidates.push(Found { corners, score, class });
                }
            }
        }
        self.surest(candidates)
    }

    /// The detections of a one-stage detector, which has one box for all classes at every anchor. Of each class the surest
    /// `candidates` are looked at.
    ///
    /// # Shapes
    /// - `logits`: `[anchors, classes]`, the background first
    ///
    /// # Panics
    /// The numbers do not fit together.
    ///
    /// # Source
    /// torchvision, `SSD.postprocess_detections`.
    pub fn one_stage(self, answers: Answers<'_>, candidates: usize, image: Extent) -> Vec<Found> {
        let Answers { anchors, logits, codes } = answers;
        assert_eq!(anchors.len(), codes.len(), "every anchor has a box");
        let decode = |(&codes, &anchor)| clip(BoxCoder::REGIONS.decode(codes, anchor), image);
        let boxes: Vec<_> = codes.iter().zip(anchors).map(decode).collect();
        let classes = classes_of(logits, anchors.len());
        let scores: Vec<f32> = logits.chunks(classes.max(1)).flat_map(softmax).collect();
        let mut found = vec![];
        for class in 1..classes {
            let of_class: Vec<_> = scores.iter().skip(class).step_by(classes).copied().collect();
            let surest = surest_first(&of_class).into_iter().take_while(|&idx| of_class[idx] > self.score);
            found.extend(surest.take(candidates).map(|idx| Found {
                corners: boxes[idx],
                score: of_class[idx],
                class,
            }));
        }
        self.surest(found)
    }

    fn surest(self, candidates: Vec<Found>) -> Vec<Found> {
        let boxes: Vec<_> = candidates.iter().map(|found| found.corners).collect();
        let scores: Vec<_> = candidates.iter().map(|found| found.score).collect();
        let classes: Vec<_> = candidates.iter().map(|found| found.class).collect();
        let kept = suppress_in_groups(&boxes, &scores, &classes, self.overlap);
        kept.into_iter().take(self.most).map(|idx| candidates[idx]).collect()
    }
}

/// What a one-stage detector answers.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a> {
    /// The boxes that it starts from.
    pub anchors: &'a [Corners],
    /// Logits of all classes at every anchor.
    pub logits: &'a [f32],
    /// Codes of the box at every anchor.
    pub codes: &'a [[f32; 4]],
}

fn classes_of(logits: &[f32], n: usize) -> usize {
    let classes = logits.len().checked_div(n).unwrap_or(0);
    assert_eq!(classes * n, logits.len(), "there are as many logits for every box");
    classes
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<_> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}
