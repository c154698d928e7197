//! Binary masks as lengths of runs, as COCO stores them: column by column, beginning with a run of zeros.
//!
//! Separate because data, evaluation and predictions all exchange masks in this form, and most questions about a mask are
//! answered from its runs, without its pixels.
//! Invariant: the runs cover the mask exactly, and only the first run may be empty; equal masks are therefore equal values.

mod moved;
mod polygon;
mod text;

#[cfg(test)]
mod tests;

/// Height and width of a mask or an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Number of rows.
    pub height: u32,
    /// Number of columns.
    pub width: u32,
}

impl Extent {
    /// Number of pixels.
    pub fn pixels(self) -> u64 {
        u64::from(self.height) * u64::from(self.width)
    }
}

/// Why runs are not a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RleFault {
    /// A mask without pixels, or with more than 2³² − 1.
    #[error("a mask of {height} by {width} pixels")]
    Extent {
        /// Its height.
        height: u32,
        /// Its width.
        width: u32,
    },
    /// Runs that are too short or too long together.
    #[error("the runs cover {covered} of {pixels} pixels")]
    Cover {
        /// How many pixels the runs cover.
        covered: u64,
        /// How many there are.
        pixels: u64,
    },
    /// A character that COCO's compressed text does not have.
    #[error("no character of compressed runs, at byte {at}")]
    Character {
        /// Where it is, from 0.
        at: usize,
    },
    /// Compressed text that ends within a number.
    #[error("the compressed runs end within a number")]
    Unfinished,
    /// A polygon that would take too long.
    #[error("the border of a polygon crosses more than {limit} columns")]
    Crossings {
        /// How many it may cross.
        limit: usize,
    },
    /// A run that is negative or longer than any mask.
    #[error("run number {number} is no length")]
    Length {
        /// Which run, from 0.
        number: usize,
    },
}

/// A binary mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rle {
    extent: Extent,
    counts: Vec<u32>,
}

impl Rle {
    /// The mask with the given runs: pixels column by column, zeros first.
    ///
    /// # Errors
    /// The runs do not cover the mask exactly, or it has no pixels.
    pub fn from_counts(extent: Extent, counts: impl IntoIterator<Item = u32>) -> Result<Self, RleFault> {
        Self::from_vec(extent, counts.into_iter().collect())
    }

    fn from_vec(extent: Extent, mut counts: Vec<u32>) -> Result<Self, RleFault> {
        check(extent)?;
        let covered = counts.iter().map(|&count| u64::from(count)).sum();
        if covered != extent.pixels() {
            return Err(RleFault::Cover { covered, pixels: extent.pixels() });
        }
        if counts[1..].contains(&0) {
            let mut runs = Runs::default();
            counts.iter().enumerate().for_each(|(number, &count)| runs.push(number % 2 == 1, count));
            counts = runs.counts;
        }
        Ok(Self { extent, counts })
    }

    /// The mask of pixels that are not 0, which are given row by row.
    ///
    /// # Errors
    /// There are more or fewer pixels than the extent says, or none.
    pub fn encode(extent: Extent, pixels: &[u8]) -> Result<Self, RleFault> {
        check(extent)?;
        if pixels.len() as u64 != extent.pixels() {
            return Err(RleFault::Cover { covered: pixels.len() as u64, pixels: extent.pixels() });
        }
        let width = extent.width as usize;
        let mut runs = Runs::default();
        for column in 0..width {
            for pixel in pixels[column..].iter().step_by(width) {
                runs.push(*pixel != 0, 1);
            }
        }
        Ok(Self { extent, counts: runs.counts })
    }

    /// The mask of pieces that are inside or outside as a whole, with their lengths: pixels column by column.
    pub(crate) fn from_pieces(
        extent: Extent,
        pieces: impl IntoIterator<Item = (bool, u32)>,
    ) -> Result<Self, RleFault> {
        check(extent)?;
        let mut runs = Runs::default();
        pieces.into_iter().for_each(|(is_inside, count)| runs.push(is_inside, count));
        let covered = runs.counts.iter().map(|&count| u64::from(count)).sum();
        if covered != extent.pixels() {
            return Err(RleFault::Cover { covered, pixels: extent.pixels() });
        }
        Ok(Self { extent, counts: runs.counts })
    }

    /// The mask of no pixel at all.
    ///
    /// # Errors
    /// The mask has no pixels, or too many.
    pub fn empty(extent: Extent) -> Result<Self, RleFault> {
        check(extent)?;
        Ok(Self { extent, counts: vec![extent.pixels() as u32] })
    }

    /// Pixels row by row, 1 inside and 0 outside.
    pub fn decode(&self) -> Vec<u8> {
        let (height, width) = (self.extent.height as usize, self.extent.width as usize);
        let mut pixels = vec![0; height * width];
        for (start, len) in self.inside() {
            for at in start..start + len {
                pixels[at % height * width + at / height] = 1;
            }
        }
        pixels
    }

    /// Start and length of every run inside the mask, in pixels column by column.
    fn inside(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut at = 0;
        self.counts.chunks(2).filter_map(move |pair| {
            let start = at + pair[0] as usize;
            let len = *pair.get(1)? as usize;
            at = start + len;
            Some((start, len))
        })
    }

    /// Its height and width.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Lengths of the runs, zeros first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Number of pixels inside.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&count| u64::from(count)).sum()
    }

    /// The smallest box around the pixels inside: left, top, width and height. Zeros if there are none.
    ///
    /// # Source
    /// `[pycocotools]`, `toBbox`.
    pub fn bounds(&self) -> [u32; 4] {
        let height = self.extent.height as usize;
        let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
        for (start, len) in self.inside() {
            let last = start + len - 1;
            left = left.min(start / height);
            right = right.max(last / height);
            if start / height < last / height {
                // The run goes over the end of a column.
                (top, bottom) = (0, height - 1);
            } else {
                (top, bottom) = (top.min(start % height), bottom.max(last % height));
            }
        }
        if left == usize::MAX {
            return [0; 4];
        }
        [left, top, right - left + 1, bottom - top + 1].map(|n| n as u32)
    }

    /// Number of pixels inside both masks, or nothing if their extents differ.
    pub fn intersection_area(&self, other: &Self) -> Option<u64> {
        (self.extent == other.extent).then(|| intersection(&self.counts, &other.counts))
    }

    /// Intersection over union with another mask, or nothing if the extents differ. Two empty masks have 0.
    pub fn iou(&self, other: &Self) -> Option<f64> {
        let inside = self.intersection_area(other)?;
        Some(ratio(inside, self.area() + other.area() - inside))
    }

    /// The share of this mask that lies in a crowd, or nothing if the extents differ.
    ///
    /// A detection may match any part of a crowd, so that the union counts as the detection itself.
    pub fn share_in(&self, crowd: &Self) -> Option<f64> {
        Some(ratio(self.intersection_area(crowd)?, self.area()))
    }

    /// Pixels that are in any of the masks; nothing if there are no masks, or if their extents differ.
    pub fn union<'a>(masks: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        Self::merge(masks, |a, b| a || b)
    }

    /// Pixels that are in all of the masks; nothing if there are no masks, or if their extents differ.
    pub fn intersection<'a>(masks: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        Self::merge(masks, |a, b| a && b)
    }

    fn merge<'a>(
        masks: impl IntoIterator<Item = &'a Self>,
        inside: impl Fn(bool, bool) -> bool,
    ) -> Option<Self> {
        let mut masks = masks.into_iter();
        let mut merged = masks.next()?.clone();
        for mask in masks {
            if mask.extent != merged.extent {
                return None;
            }
            let mut runs = Runs::default();
            walk(&merged.counts, &mask.counts, |a, b, count| runs.push(inside(a, b), count));
            merged.counts = runs.counts;
        }
        Some(merged)
    }
}

fn check(extent: Extent) -> Result<(), RleFault> {
    let Extent { height, width } = extent;
    if (1..=u64::from(u32::MAX)).contains(&extent.pixels()) {
        Ok(())
    } else {
        Err(RleFault::Extent { height, width })
    }
}

/// `part / whole`, and 0 if the part is empty.
fn ratio(part: u64, whole: u64) -> f64 {
    if part == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Runs that are put together piece by piece.
#[derive(Default)]
struct Runs {
    counts: Vec<u32>,
}

impl Runs {
    /// Appends pixels that are all inside or all outside of the mask.
    fn push(&mut self, is_inside: bool, count: u32) {
        if self.counts.is_empty() {
            self.counts.push(0);
        }
        // An odd number of runs ends with one of zeros.
        let in_last = self.counts.len().is_multiple_of(2);
        match self.counts.last_mut() {
            Some(last) if in_last == is_inside => *last += count,
            _ if count > 0 => self.counts.push(count),
            _ => {}
        }
    }
}

/// Goes through two masks of one extent together: for every piece, whether it is inside of each, and its length.
fn walk(a: &[u32], b: &[u32], mut piece: impl FnMut(bool, bool, u32)) {
    let pairs = |counts: &[u32], idx: usize| counts.get(idx).copied();
    let (mut i, mut j) = (0, 0);
    let (mut left_a, mut left_b) = (pairs(a, 0), pairs(b, 0));
    while let (Some(in_a), Some(in_b)) = (left_a, left_b) {
        let count = in_a.min(in_b);
        piece(i % 2 == 1, j % 2 == 1, count);
        left_a = Some(in_a - count);
        left_b = Some(in_b - count);
        if in_a == count {
            i += 1;
            left_a = pairs(a, i);
        }
        if in_b == count {
            j += 1;
            left_b = pairs(b, j);
        }
    }
}

/// Number of pixels that are inside of both masks.
fn intersection(a: &[u32], b: &[u32]) -> u64 {
    /// The run of ones number `idx`, after one that ended at `end`: its start and end.
    fn run(counts: &[u32], idx: usize, end: u64) -> Option<[u64; 2]> {
        let pair = counts.get(2 * idx..2 * idx + 2)?;
        let start = end + u64::from(pair[0]);
        Some([start, start + u64::from(pair[1])])
    }
    let (mut i, mut j, mut inside) = (0, 0, 0);
    let (mut in_a, mut in_b) = (run(a, 0, 0), run(b, 0, 0));
    while let (Some([start_a, end_a]), Some([start_b, end_b])) = (in_a, in_b) {
        inside += end_a.min(end_b).saturating_sub(start_a.max(start_b));
        if end_a < end_b {
            i += 1;
            in_a = run(a, i, end_a);
        } else {
            j += 1;
            in_b = run(b, j, end_b);
        }
    }
    inside
}
