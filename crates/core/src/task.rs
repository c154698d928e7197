//! What a network is trained for, and the number that says how good it is.
//!
//! Separate because every part of the system names the task, but few act on it: targets in `data`, the objective in
//! `train`, the decoder in `predict`.
//! Invariant: no other crate decides which outputs a task needs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::network::{List, Op, Output, Rank};
use crate::{Error, Fit, Network, Result};

/// What comes out of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// One class per image or clip.
    #[default]
    Classify,
    /// One class per pixel (semantic segmentation).
    Segment,
    /// Boxes with a class and a score.
    Detect,
}

/// Maps of a one-stage detector, and boxes at every position of one: those of SSDlite's default boxes.
const MAPS: usize = 6;
const BOXES_PER_POSITION: usize = 6;

/// Maps on which a two-stage detector proposes boxes, with the boxes at every position: those of torchvision's networks behind
/// MobileNetV3 and behind ResNets.
const REGION_MAPS: [(usize, usize); 2] = [(3, 15), (5, 3)];
/// Positions of a region.
const REGION_POSITIONS: usize = 7 * 7;
/// Cells along a side of a region that masks are drawn from.
const MASK_SIDE: u32 = 14;

impl Task {
    /// All tasks.
    pub const ALL: [Self; 3] = [Self::Classify, Self::Segment, Self::Detect];

    /// The task's name, as in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Segment => "segment",
            Self::Detect => "detect",
        }
    }

    /// The measure of quality that the query table has for this task.
    pub fn metric(self) -> Metric {
        match self {
            Self::Classify => Metric::Accuracy,
            Self::Segment => Metric::MeanIou,
            Self::Detect => Metric::BoxAp,
        }
    }

    /// What a class is given to, in the plural.
    pub fn judged(self, rank: Rank) -> &'static str {
        match self {
            Self::Classify => rank.samples(),
            Self::Segment => "pixels",
            Self::Detect => "objects",
        }
    }

    /// How much of an image the task's networks see at test time.
    pub fn sees(self) -> Fit {
        match self {
            Self::Classify => Fit::CenterCrop,
            Self::Segment => Fit::Whole,
            Self::Detect => Fit::Square,
        }
    }

    /// Checks that a network computes what the task needs.
    ///
    /// # Errors
    /// [`Error::Task`]: the first output of a classifier is [`Output::LOGITS`], that of a network that segments images is
    /// [`Output::MAP`]. The outputs of a detector are maps of scores and maps of boxes, as SSDlite has them, or those of Faster
    /// R-CNN if it has a list [`List::BOX`], and of Mask R-CNN if it has a list [`List::MASK`] too.
    pub fn check(self, network: &Network) -> Result<()> {
        let Some(reason) = self.misfit(network) else { return Ok(()) };
        // Names of outputs say little to people who chose a network of another task.
        let fitting = Self::ALL.into_iter().find(|other| other.misfit(network).is_none());
        let reason = fitting.map_or(reason, |other| format!("it is made to {}", other.name()));
        Err(Error::Task { task: self.name(), network: network.name().to_owned(), reason })
    }

    /// Why a network does not compute what the task needs, if so.
    fn misfit(self, network: &Network) -> Option<String> {
        match self {
            Self::Classify => wrong_first(network, Output::LOGITS),
            Self::Segment => wrong_first(network, Output::MAP).or_else(|| no_images(network)),
            Self::Detect => {
                let wrong = if network.list(List::BOX).is_ok() { wrong_regions } else { wrong_maps };
                wrong(network).or_else(|| no_images(network))
            }
        }
    }
}

/// Why the first output of a network is not the needed one, if so.
fn wrong_first(network: &Network, needed: &str) -> Option<String> {
    let first = &network.outputs()[0].name;
    (first != needed).then(|| format!("its first output is `{first}`, not `{needed}`"))
}

fn no_images(network: &Network) -> Option<String> {
    (network.rank() != Rank::Image).then(|| "it does not read images".to_owned())
}

/// Why the outputs of a network are not the maps of a one-stage detector, if so.
fn wrong_maps(network: &Network) -> Option<String> {
    let kinds = [Output::SCORES, Output::BOXES];
    let needed = kinds.into_iter().flat_map(|kind| (0..MAPS).map(move |idx| format!("{kind}.{idx}")));
    let outputs = network.outputs();
    if !outputs.iter().map(|output| output.name.clone()).eq(needed) {
        let first = &outputs[0].name;
        let last = MAPS - 1;
        return Some(format!(
            "its outputs, of which the first is `{first}`, are not the maps `scores.0` to `boxes.{last}`"
        ));
    }
    let channels = network.channels(network.widths().full()).expect("checked at construction");
    let (scores, boxes) = outputs.split_at(MAPS);
    let have = |maps: &[Output], n| maps.iter().all(|map| channels[map.node.0] == n * BOXES_PER_POSITION);
    let fit = have(boxes, 4) && have(scores, network.classes());
    (!fit).then(|| format!("its maps do not have {BOXES_PER_POSITION} boxes at every position"))
}

/// Why the lists of a network are not those of a two-stage detector, if so.
fn wrong_regions(network: &Network) -> Option<String> {
    let [Some(main), Some(of_region), of_mask, None] = [0, 1, 2, 3].map(|idx| network.lists().get(idx))
    else {
        return Some("it has other lists than `main`, `box` and `mask`".to_owned());
    };
    if of_mask.is_some_and(|list| list.name() != List::MASK) {
        return Some("it has other lists than `main`, `box` and `mask`".to_owned());
    }
    let channels = network.channels(network.widths().full()).expect("checked at construction");
    let outputs = |list: &List| -> Vec<_> {
        network.outputs_of(list).map(|output| (output.name.clone(), channels[output.node.0])).collect()
    };
    let (maps, answers) = (outputs(main), outputs(of_region));
    // Boxes are proposed on one map more than regions are cut from.
    let n_features = maps.iter().filter(|(name, _)| name.starts_with(Output::FEATURES)).count();
    let of = |kind: &str, n: usize, channels: usize| {
        (0..n).map(|idx| (format!("{kind}.{idx}"), channels)).collect::<Vec<_>>()
    };
    let fits = REGION_MAPS.into_iter().any(|(n, boxes)| {
        let features = maps.first().map_or(0, |(_, channels)| *channels);
        let expected = [
            of(Output::FEATURES, n_features, features),
            of(Output::OBJECTS, n, boxes),
            of(Output::CODES, n, 4 * boxes),
        ];
        n == n_features + 1 && maps == expected.concat()
    });
    if !fits {
        return Some("the outputs of `main` are not those of Faster R-CNN with 3 or 5 maps".to_owned());
    }
    let classes = answers.first().map_or(0, |(_, channels)| *channels);
    let expected = [(Output::SCORES.to_owned(), classes), (Output::CODES.to_owned(), 4 * classes)];
    let reads = |list: &List, n: usize, size: [u32; 3]| {
        let inputs: Vec<_> = network.inputs(list).map(|input| &network.node(input).op).collect();
        matches!(inputs[..], [&Op::Input { channels, size: Some(own) }] if channels as usize == n && own == size)
    };
    let features = maps[0].1;
    let reads_regions = reads(of_region, features * REGION_POSITIONS, [1; 3]);
    if !reads_regions || answers != expected || network.inputs(main).count() != 1 {
        return Some(
            "the list `box` does not read regions, or does not answer with scores and codes".to_owned(),
        );
    }
    let of_mask = of_mask?;
    let draws = outputs(of_mask) == [(Output::MASKS.to_owned(), classes)];
    (!draws || !reads(of_mask, features, [1, MASK_SIDE, MASK_SIDE]))
        .then(|| "the list `mask` does not read regions, or does not answer with a mask per class".to_owned())
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| Error::Parse {
            what: "task",
            text: text.to_owned(),
            reason: "the tasks are classify, segment and detect",
        })
    }
}

/// The number from 0 to 1 that says how good a row is; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Share of the samples whose most probable class is the right one.
    #[default]
    Accuracy,
    /// Mean over the classes of intersection over union of predicted and labelled pixels.
    MeanIou,
    /// Share of the labelled pixels whose most probable class is the right one.
    PixelAccuracy,
    /// COCO's average precision of boxes: mean over the classes, and over overlaps from 0.5 to 0.95.
    BoxAp,
    /// The same at an overlap of 0.5.
    BoxAp50,
    /// COCO's average precision of masks: mean over the classes, and over overlaps from 0.5 to 0.95.
    MaskAp,
    /// The same at an overlap of 0.5.
    MaskAp50,
}

impl Metric {
    /// Its name in tables, plots and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanIou => "mIoU",
            Self::PixelAccuracy => "pixel accuracy",
            Self::BoxAp => "box AP",
            Self::BoxAp50 => "box AP50",
            Self::MaskAp => "mask AP",
            Self::MaskAp50 => "mask AP50",
        }
    }

    /// Its name at the start of a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::MeanIou => "mIoU",
            Self::PixelAccuracy => "Pixel accuracy",
            Self::BoxAp => "Box AP",
            Self::BoxAp50 => "Box AP50",
            Self::MaskAp => "Mask AP",
            Self::MaskAp50 => "Mask AP50",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_an_error_lists_them() {
        let error = "pose".parse::<Task>().unwrap_err().to_string();
        for task in Task::ALL {
            assert_eq!(task.name().parse(), Ok(task));
            assert!(error.contains(task.name()), "{error}");
        }
    }
}
