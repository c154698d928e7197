//! Which detections of one category in one image match which objects.
//!
//! Separate because this is where the order of everything counts: detections by score, objects that count before those
//! that do not.
//! Invariant: an object that is no crowd is matched at most once per threshold and range of areas.

use super::curve::{N_THRESHOLDS, threshold};
use super::{Area, Compare};
use crate::coco::{Annotation, Detection};
use crate::{Extent, Rle};

/// Number of ranges of areas.
pub(super) const N_AREAS: usize = 4;

/// What became of a detection, for every range of areas; bit `i` stands for threshold number `i`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    pub(super) image: usize,
    pub(super) score: f64,
    /// How many detections of the image and category are surer.
    pub(super) rank: u8,
    /// Whether it found an object.
    pub(super) hits: [u16; N_AREAS],
    /// Whether it counts neither as a hit nor as a miss.
    pub(super) ignored: [u16; N_AREAS],
}

/// An object as it is compared.
pub(super) struct Object {
    bounds: [f64; 4],
    area: f64,
    is_crowd: bool,
    mask: Option<Rle>,
}

impl Object {
    pub(super) fn new(annotation: &Annotation, extent: Extent, compare: Compare) -> Self {
        let Annotation { bounds, area, is_crowd, shape, .. } = annotation;
        let shape = shape.as_ref().filter(|_| compare == Compare::Masks);
        // A polygon that is too long to be drawn is an object that cannot be found.
        let mask = shape.map(|shape| shape.mask(extent).unwrap_or_else(|_| nothing(extent)));
        let bounds = mask.as_ref().map_or(*bounds, |mask| mask.bounds().map(f64::from));
        Self { bounds, area: *area, is_crowd: *is_crowd, mask }
    }

    /// Whether it need not be found.
    pub(super) fn is_ignored(&self, area: Area) -> bool {
        self.is_crowd || area.excludes(self.area)
    }

    fn overlap(&self, found: &Detection) -> f64 {
        let Some(mask) = &self.mask else {
            return box_overlap(found.bounds, self);
        };
        let of_found = found.mask.as_ref().expect("masks of all detections were checked");
        let overlap = if self.is_crowd { of_found.share_in(mask) } else { of_found.iou(mask) };
        overlap.expect("masks have the size of their image")
    }
}

fn nothing(extent: Extent) -> Rle {
    Rle::empty(extent).expect("an image of ground truth has pixels")
}

/// Intersection over union of two boxes, or over the detection if the object is a crowd.
fn box_overlap([left, top, width, height]: [f64; 4], object: &Object) -> f64 {
    let [object_left, object_top, object_width, object_height] = object.bounds;
    let common_width = (width + left).min(object_width + object_left) - left.max(object_left);
    let common_height = (height + top).min(object_height + object_top) - top.max(object_top);
    if common_width <= 0.0 || common_height <= 0.0 {
        return 0.0;
    }
    let (common, area) = (common_width * common_height, width * height);
    let union = if object.is_crowd { area } else { area + object_width * object_height - common };
    common / union
}

/// Matches detections, surest first, with objects.
pub(super) fn matches(image: usize, objects: &[Object], found: &[&Detection]) -> Vec<Match> {
    let overlaps: Vec<f64> =
        found.iter().flat_map(|found| objects.iter().map(|object| object.overlap(found))).collect();
    let new = |(rank, found): (usize, &&Detection)| Match {
        image,
        score: found.score,
        rank: rank as u8,
        hits: [0; N_AREAS],
        ignored: [0; N_AREAS],
    };
    let mut matches: Vec<_> = found.iter().enumerate().map(new).collect();
    for area in Area::ALL {
        let is_ignored: Vec<_> = objects.iter().map(|object| object.is_ignored(area)).collect();
        let mut order: Vec<_> = (0..objects.len()).collect();
        order.sort_by_key(|&object| is_ignored[object]);
        for i in 0..N_THRESHOLDS {
            let mut is_taken = vec![false; objects.len()];
            for (row, (matched, found)) in matches.iter_mut().zip(found).enumerate() {
                let overlaps = &overlaps[row * objects.len()..][..objects.len()];
                let free =
                    order.iter().copied().filter(|&object| !is_taken[object] || objects[object].is_crowd);
                let best = best(free, overlaps, &is_ignored, threshold(i));
                if let Some(object) = best {
                    is_taken[object] = true;
                }
                let is_hit = best.is_some_and(|object| !is_ignored[object]);
                let is_ignored = best.map_or_else(|| area.excludes(found.area), |object| is_ignored[object]);
                matched.hits[area as usize] |= u16::from(is_hit) << i;
                matched.ignored[area as usize] |= u16::from(is_ignored) << i;
            }
        }
    }
    matches
}

/// The last of the free objects that overlaps most; one that is ignored only if no other overlaps enough.
fn best(
    free: impl Iterator<Item = usize>,
    overlaps: &[f64],
    is_ignored: &[bool],
    threshold: f64,
) -> Option<usize> {
    let (mut best, mut most) = (None, threshold.min(1.0 - 1e-10));
    for object in free {
        if best.is_some_and(|best: usize| !is_ignored[best] && is_ignored[object]) {
            break;
        }
        if overlaps[object] >= most {
            (best, most) = (Some(object), overlaps[object]);
        }
    }
    best
}
