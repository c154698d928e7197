//! From the small square mask of a detection to a mask of the image.
//!
//! Separate because it is the only resampling of this crate. Only pixels that are in the image are computed, however large
//! the box.

use crate::Corners;
use crate::rle::{Extent, Rle, RleFault};

/// Probabilities above this are inside of the mask.
const INSIDE: f32 = 0.5;

/// A square of probabilities that a network predicts for the inside of a box.
#[derive(Debug, Clone, Copy)]
pub struct SquareMask<'a> {
    side: usize,
    /// Row by row.
    probabilities: &'a [f32],
}

impl<'a> SquareMask<'a> {
    /// A mask, given row by row.
    ///
    /// # Panics
    /// The probabilities are no square, or there are none.
    pub fn new(probabilities: &'a [f32]) -> Self {
        let side = probabilities.len().isqrt();
        assert!(side > 0 && side * side == probabilities.len(), "the mask is a square");
        Self { side, probabilities }
    }

    /// The probability of every pixel of an image, row by row: the mask, with a border of zeros, is resized bilinearly to
    /// its box, whose corners are cut down to whole pixels.
    ///
    /// # Source
    /// torchvision, `paste_masks_in_image`.
    pub fn paste(self, corners: Corners, image: Extent) -> Vec<f32> {
        let mut pixels = vec![0.0; image.height as usize * image.width as usize];
        let [columns, rows] = self.axes(corners);
        for y in rows.inside(image.height) {
            for x in columns.inside(image.width) {
                pixels[y as usize * image.width as usize + x as usize] =
                    self.value(&columns.taps(x), &rows.taps(y));
            }
        }
        pixels
    }

    /// The pixels whose probability is above one half.
    ///
    /// # Errors
    /// The image has no pixels, or too many.
    pub fn paste_runs(self, corners: Corners, image: Extent) -> Result<Rle, RleFault> {
        let [columns, rows] = self.axes(corners);
        let (height, width) = (i64::from(image.height), i64::from(image.width));
        let (of_box, inside) = (columns.inside(image.width), rows.inside(image.height));
        let row_taps: Vec<_> = inside.clone().map(|y| rows.taps(y)).collect();
        let n_pixels = |columns: i64, rows: i64| (columns.max(0) * height + rows) as u32;
        // What is outside of the box is run through without looking at its pixels.
        let mut pieces = Vec::new();
        if row_taps.is_empty() || of_box.is_empty() {
            pieces.push((false, n_pixels(width, 0)));
        } else {
            pieces.push((false, n_pixels(of_box.start, inside.start)));
            for x in of_box.clone() {
                let taps = columns.taps(x);
                pieces.extend(row_taps.iter().map(|rows| (self.value(&taps, rows) > INSIDE, 1)));
                let above_next = if x + 1 < of_box.end { inside.start } else { 0 };
                pieces.push((false, n_pixels(0, height - inside.end + above_next)));
            }
            pieces.push((false, n_pixels(width - of_box.end, 0)));
        }
        Rle::from_pieces(image, pieces)
    }

    /// The axes of columns and of rows.
    fn axes(self, corners: Corners) -> [Axis; 2] {
        [Axis::new(self.side, corners[0], corners[2]), Axis::new(self.side, corners[1], corners[3])]
    }

    /// The probability between two columns and two rows.
    fn value(self, [column, right]: &[Tap; 2], [row, below]: &[Tap; 2]) -> f32 {
        let across =
            |row: usize| self.at(row, column.idx) * column.weight + self.at(row, right.idx) * right.weight;
        across(row.idx) * row.weight + across(below.idx) * below.weight
    }

    /// A probability of the mask with its border, from 0 to `side + 1`.
    fn at(self, row: usize, column: usize) -> f32 {
        let is_border = |at: usize| at == 0 || at > self.side;
        if is_border(row) || is_border(column) {
            0.0
        } else {
            self.probabilities[(row - 1) * self.side + column - 1]
        }
    }
}

/// One axis of a box: where its pixels are in the image, and where in the mask.
struct Axis {
    /// First pixel of the box in the image; may lie outside.
    first: i64,
    /// Number of pixels of the box, at least 1.
    len: i64,
    /// Cells of the mask with its border.
    cells: usize,
}

/// A cell of the mask and how much it counts.
struct Tap {
    idx: usize,
    weight: f32,
}

impl Axis {
    fn new(side: usize, from: f32, to: f32) -> Self {
        let half = (to - from) * 0.5 * ((side + 2) as f64 / side as f64) as f32;
        let center = (to + from) * 0.5;
        // Far more than any image has; NaN becomes 0.
        let pixel = |at: f32| (at as i64).clamp(-(1 << 40), 1 << 40);
        let (first, last) = (pixel(center - half), pixel(center + half));
        Self { first, len: (last - first + 1).max(1), cells: side + 2 }
    }

    /// The pixels of the image that are in the box.
    fn inside(&self, pixels: u32) -> std::ops::Range<i64> {
        self.first.max(0)..(self.first + self.len).min(i64::from(pixels))
    }

    fn taps(&self, pixel: i64) -> [Tap; 2] {
        let scale = self.cells as f32 / self.len as f32;
        let at = (scale * ((pixel - self.first) as f32 + 0.5) - 0.5).max(0.0);
        let idx = (at as usize).min(self.cells - 1);
        let weight = at - idx as f32;
        let next = (idx + 1).min(self.cells - 1);
        [Tap { idx, weight: 1.0 - weight }, Tap { idx: next, weight }]
    }
}
