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
        let (columns, rows) =
            (Axis::new(self.side, corners[0], corners[2]), Axis::new(self.side, corners[1], corners[3]));
        for y in rows.inside(image.height) {
            let (row, below) = rows.taps(y);
            for x in columns.inside(image.width) {
                let (column, right) = columns.taps(x);
                let across = |row: usize| {
                    self.at(row, column.idx) * column.weight + self.at(row, right.idx) * right.weight
                };
                pixels[y as usize * image.width as usize + x as usize] =
                    across(row.idx) * row.weight + across(below.idx) * below.weight;
            }
        }
        pixels
    }

    /// The pixels whose probability is above one half.
    ///
    /// # Errors
    /// The image has no pixels, or too many.
    pub fn paste_runs(self, corners: Corners, image: Extent) -> Result<Rle, RleFault> {
        let inside: Vec<_> =
            self.paste(corners, image).into_iter().map(|pixel| u8::from(pixel > INSIDE)).collect();
        Rle::encode(image, &inside)
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

    fn taps(&self, pixel: i64) -> (Tap, Tap) {
        let scale = self.cells as f32 / self.len as f32;
        let at = (scale * ((pixel - self.first) as f32 + 0.5) - 0.5).max(0.0);
        let idx = (at as usize).min(self.cells - 1);
        let weight = at - idx as f32;
        let next = (idx + 1).min(self.cells - 1);
        (Tap { idx, weight: 1.0 - weight }, Tap { idx: next, weight })
    }
}
