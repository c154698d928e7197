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

/// A bit for every threshold.
const ALL_THRESHOLDS: u16 = (1 << N_THRESHOLDS) - 1;

/// What became of a detection, for every range of areas; bit `i` stands for threshold number `i`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    pub(super) image: u32,
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
    /// The mask and its area in pixels, if masks are compared.
    mask: Option<(Rle, u64)>,
}

impl Object {
    pub(super) fn new(annotation: &Annotation, extent: Extent, compare: Compare) -> Self {
        let Annotation { bounds, area, is_crowd, shape, .. } = annotation;
        let shape = shape.as_ref().filter(|_| compare == Compare::Masks);
        // A polygon that is too long to be drawn is an object that cannot be found.
        let mask = shape.map(|shape| shape.mask(extent).unwrap_or_else(|_| nothing(extent)));
        let mask = mask.map(|mask| (mask.area(), mask)).map(|(area, mask)| (mask, area));
        Self { bounds: *bounds, area: *area, is_crowd: *is_crowd, mask }
    }

    /// Whether it need not be found.
    pub(super) fn is_ignored(&self, area: Area) -> bool {
        self.is_crowd || area.excludes(self.area)
    }

    /// How much a detection overlaps, of whose mask the area is given.
    fn overlap(&self, found: &Detection, area: u64) -> f64 {
        let Some((mask, own_area)) = &self.mask else {
            return box_overlap(found.bounds, self);
        };
        let of_found = found.mask.as_ref().expect("masks of all detections were checked");
        let common = of_found.intersection_area(mask).expect("masks have the size of their image");
        let union = if self.is_crowd { area } else { area + own_area - common };
        if common == 0 { 0.0 } else { common as f64 / union as f64 }
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

/// Memory that is used again from cell to cell.
#[derive(Default)]
pub(super) struct Scratch {
    /// For every detection, its overlap with every object.
    overlaps: Vec<f64>,
    /// For every detection, the most that it overlaps any object.
    most: Vec<f64>,
    /// The objects, those that do not count last.
    order: Vec<usize>,
    is_ignored: Vec<bool>,
    is_taken: Vec<bool>,
}

/// Matches detections, surest first, with objects, and appends what became of them.
pub(super) fn matches(
    objects: &[Object],
    found: &[&Detection],
    scratch: &mut Scratch,
    matches: &mut Vec<Match>,
) {
    let first = matches.len();
    for (rank, found) in found.iter().enumerate() {
        let (image, score, rank) = (found.image as u32, found.score, rank as u8);
        let ignored = Area::ALL.map(|area| if area.excludes(found.area) { ALL_THRESHOLDS } else { 0 });
        matches.push(Match { image, score, rank, hits: [0; N_AREAS], ignored });
    }
    scratch.compare(objects, found);
    if scratch.most.iter().all(|most| *most < threshold(0)) {
        return;
    }
    for area in Area::ALL {
        scratch.sort(objects, area);
        for i in 0..N_THRESHOLDS {
            scratch.match_at(objects, threshold(i), |row, is_hit| {
                let matched = &mut matches[first + row];
                let bit = 1 << i;
                matched.hits[area as usize] |= if is_hit { bit } else { 0 };
                matched.ignored[area as usize] &= !bit;
                matched.ignored[area as usize] |= if is_hit { 0 } else { bit };
            });
        }
    }
}

impl Scratch {
    fn compare(&mut self, objects: &[Object], found: &[&Detection]) {
        self.overlaps.clear();
        self.most.clear();
        if objects.is_empty() {
            return;
        }
        for found in found {
            let area = found.mask.as_ref().filter(|_| objects[0].mask.is_some()).map_or(0, Rle::area);
            let start = self.overlaps.len();
            self.overlaps.extend(objects.iter().map(|object| object.overlap(found, area)));
            self.most.push(self.overlaps[start..].iter().copied().fold(0.0, f64::max));
        }
    }

    fn sort(&mut self, objects: &[Object], area: Area) {
        self.is_ignored.clear();
        self.is_ignored.extend(objects.iter().map(|object| object.is_ignored(area)));
        self.order.clear();
        self.order.extend(0..objects.len());
        self.order.sort_by_key(|&object| self.is_ignored[object]);
    }

    /// Tells for every detection that is matched at a threshold whether its object counts.
    fn match_at(&mut self, objects: &[Object], threshold: f64, mut tell: impl FnMut(usize, bool)) {
        self.is_taken.clear();
        self.is_taken.resize(objects.len(), false);
        for (row, _) in self.most.iter().enumerate().filter(|(_, most)| **most >= threshold) {
            let overlaps = &self.overlaps[row * objects.len()..][..objects.len()];
            let is_free = |object: &usize| !self.is_taken[*object] || objects[*object].is_crowd;
            let free = self.order.iter().copied().filter(is_free);
            if let Some(object) = best(free, overlaps, &self.is_ignored, threshold) {
                self.is_taken[object] = true;
                tell(row, !self.is_ignored[object]);
            }
        }
    }
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
