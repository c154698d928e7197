//! Which objects and detections belong together: those of one category in one image.
//!
//! Separate from what is done with them. There are hundreds of thousands of these cells, most of them tiny, so they are
//! ranges of two sorted lists.

use std::ops::Range;

use rayon::prelude::*;

use super::cell::{Object, Scratch, matches};
use super::{Area, Compare, MAX_DETECTIONS, Matches, rank_key};
use crate::coco::{Annotation, Detection, Instances};

/// Cells that one task takes.
const PER_TASK: usize = 64;

/// All cells, by category and image.
pub(super) struct Cells<'a> {
    truth: &'a Instances,
    compare: Compare,
    objects: Vec<&'a Annotation>,
    /// Surest first within a cell.
    found: Vec<&'a Detection>,
    cells: Vec<Cell>,
}

struct Cell {
    category: usize,
    image: usize,
    objects: Range<usize>,
    found: Range<usize>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(truth: &'a Instances, detections: &'a [Detection], compare: Compare) -> Self {
        let is_compared = |object: &&Annotation| compare == Compare::Boxes || object.shape.is_some();
        let mut objects: Vec<_> = truth.annotations().iter().filter(is_compared).collect();
        objects.sort_by_key(|object| (object.category, object.image));
        let found = sorted(detections);
        let cells = merge(&objects, &found);
        Self { truth, compare, objects, found, cells }
    }

    /// What became of all detections: parts of categories, in order.
    pub(super) fn matched(&self) -> Vec<(usize, Matches)> {
        let chunks = self.cells.par_chunks(PER_TASK);
        let parts = chunks.map_init(Scratch::default, |scratch, chunk| {
            let mut parts: Vec<(usize, Matches)> = vec![];
            for cell in chunk {
                if parts.last().is_none_or(|(category, _)| *category != cell.category) {
                    parts.push((cell.category, Matches::default()));
                }
                if let Some((_, part)) = parts.last_mut() {
                    self.add(cell, scratch, part);
                }
            }
            parts
        });
        parts.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn add(&self, cell: &Cell, scratch: &mut Scratch, part: &mut Matches) {
        let extent = self.truth.images()[cell.image].extent;
        let objects = self.objects[cell.objects.clone()].iter();
        let objects: Vec<_> =
            objects.map(|annotation| Object::new(annotation, extent, self.compare)).collect();
        let count = |area| objects.iter().filter(|object| !object.is_ignored(area)).count() as u32;
        if !objects.is_empty() {
            part.expected.push((cell.image, Area::ALL.map(count)));
        }
        matches(&objects, &self.found[cell.found.clone()], scratch, &mut part.found);
    }
}

/// Detections by category, image and score; equally sure ones as they were.
fn sorted(detections: &[Detection]) -> Vec<&Detection> {
    let key = |(idx, found): (usize, &Detection)| (found.category, found.image, rank_key(found.score), idx);
    let mut keys: Vec<_> = detections.par_iter().enumerate().map(key).collect();
    keys.par_sort_unstable();
    keys.into_iter().map(|(.., idx)| &detections[idx]).collect()
}

/// The cells of two lists that are sorted by category and image.
fn merge(objects: &[&Annotation], found: &[&Detection]) -> Vec<Cell> {
    let of_object = |at: usize| objects.get(at).map(|object| (object.category, object.image));
    let of_found = |at: usize| found.get(at).map(|found| (found.category, found.image));
    let (mut at_object, mut at_found, mut cells) = (0, 0, vec![]);
    while let Some((category, image)) = of_object(at_object).into_iter().chain(of_found(at_found)).min() {
        let end = |mut at: usize, of: &dyn Fn(usize) -> Option<(usize, usize)>| {
            while of(at) == Some((category, image)) {
                at += 1;
            }
            at
        };
        let (next_object, next_found) = (end(at_object, &of_object), end(at_found, &of_found));
        cells.push(Cell {
            category,
            image,
            objects: at_object..next_object,
            found: at_found..next_found.min(at_found + MAX_DETECTIONS),
        });
        (at_object, at_found) = (next_object, next_found);
    }
    cells
}
