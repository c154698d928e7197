//! Where the pixels of a finished image come from: crop, resize, shift and flip, as they were drawn for it.
//!
//! Separate from the pipeline because the labels of an image follow it: its mask takes the same way, by nearest neighbour,
//! and so do boxes and masks of objects.
//! Invariant: a geometry says all of it; pixels and labels that are moved by one geometry stay together.

use mutualnet_detect::{Corners, Extent, Rle, RleFault};
use mutualnet_image::Mask;
use mutualnet_image::resize::{Fitted, Rect};

use crate::IGNORE;
use crate::augment::PadCrop;

/// What was drawn for one image. Everything but colors follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Which part of the image is seen, and how it is resized.
    pub fitted: Fitted,
    /// How far the seen part is shifted, and what fills the border.
    pub shift: Option<Shift>,
    /// Whether it is mirrored left to right after that.
    pub flip: bool,
    /// Columns and rows of the finished image; the seen part may be smaller, and then lies in its top left corner.
    pub size: [u32; 2],
}

/// A window of a padded image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// The padding.
    pub pad: PadCrop,
    /// First column and row of the window in the padded image.
    pub from: [u32; 2],
}

impl Geometry {
    /// A whole image or its middle, resized.
    pub fn of(fitted: Fitted) -> Self {
        let size = [fitted.window.width, fitted.window.height];
        Self { fitted, shift: None, flip: false, size }
    }

    /// A rectangle that is resized to `filled` columns and rows, in an image of `size`.
    pub fn cut(from: Rect, filled: [u32; 2], size: [u32; 2]) -> Self {
        let fitted = Fitted { from, resized: filled, window: Rect::whole(filled) };
        Self { size, ..Self::of(fitted) }
    }

    /// Moves a mask like the pixels of its image: every pixel takes the number at its centre. What is outside of the image
    /// becomes [`IGNORE`].
    ///
    /// # Shapes
    /// - `out`: `[rows, columns]` of the finished image
    ///
    /// # Panics
    /// The mask does not have the size of the image that the geometry was drawn for, or `out` has another length.
    pub fn write_mask(&self, mask: &Mask, out: &mut [u8]) {
        let Rect { left, top, width, height } = self.fitted.window;
        let columns = self.line(0, [left, width]);
        let rows = self.line(1, [top, height]);
        assert_eq!(out.len(), columns.len() * rows.len(), "a mask of {:?}", self.size);
        let stride = mask.size()[0] as usize;
        for (line, row) in out.chunks_exact_mut(columns.len()).zip(rows) {
            let Some(row) = row else {
                line.fill(IGNORE);
                continue;
            };
            let source = &mask.numbers()[row * stride..][..stride];
            for (number, column) in line.iter_mut().zip(&columns) {
                *number = column.map_or(IGNORE, |column| source[column]);
            }
        }
    }

    /// Moves a box of the image, in pixels, like its pixels; what is not seen of it is cut off. `None` if its center is not
    /// seen.
    ///
    /// # Panics
    /// The image is shifted, which no image with boxes is.
    ///
    /// # Source
    /// `[SSD]` §2.2 for what happens to boxes that a crop cuts.
    pub fn moved_box(&self, [left, top, right, bottom]: [f64; 4]) -> Option<Corners> {
        assert!(self.shift.is_none(), "boxes are not shifted");
        let Fitted { from, resized, window } = self.fitted;
        let along = |at: f64, [first, length, resized, start]: [u32; 4]| {
            (at - f64::from(first)) * f64::from(resized) / f64::from(length) - f64::from(start)
        };
        let x = |at| along(at, [from.left, from.width, resized[0], window.left]);
        let y = |at| along(at, [from.top, from.height, resized[1], window.top]);
        let (columns, rows) = (f64::from(window.width), f64::from(window.height));
        let (mut left, mut right) = (x(left), x(right));
        if self.flip {
            (left, right) = (columns - right, columns - left);
        }
        let (top, bottom) = (y(top), y(bottom));
        let center = [0.5 * (left + right) / columns, 0.5 * (top + bottom) / rows];
        let is_seen = center.iter().all(|at| (0.0..=1.0).contains(at));
        let seen = [left.max(0.0), top.max(0.0), right.min(columns), bottom.min(rows)];
        is_seen.then(|| seen.map(|at| at as f32))
    }

    /// Moves the mask of an object of the image like its pixels: every pixel takes that at its centre.
    ///
    /// # Errors
    /// Never for images of batches, which have pixels.
    ///
    /// # Panics
    /// The image is shifted, which no image with objects is, or the mask is not of its size.
    pub fn moved_mask(&self, mask: &Rle) -> Result<Rle, RleFault> {
        assert!(self.shift.is_none(), "masks of objects are not shifted");
        let Rect { left, top, width, height } = self.fitted.window;
        let [columns, rows] = [(0, [left, width]), (1, [top, height])].map(|(axis, seen)| {
            // What is not filled comes last.
            let places = self.line(axis, seen).into_iter().map_while(|place| place);
            places.map(|place| place as u32).collect::<Vec<_>>()
        });
        let [width, height] = self.size;
        mask.moved(&columns, &rows, Extent { height, width })
    }

    /// The column (axis 0) or row (axis 1) of the image that each one of the finished image shows.
    fn line(&self, axis: usize, [first, seen]: [u32; 2]) -> Vec<Option<usize>> {
        let Rect { left, top, width, height } = self.fitted.from;
        let (begin, length) = [(left, width), (top, height)][axis];
        let resized = self.fitted.resized[axis];
        let source = |place: u32| {
            let place = (place < seen).then_some(place)?;
            let place = if axis == 0 && self.flip { seen - 1 - place } else { place };
            let place = match self.shift {
                Some(Shift { pad, from }) => pad.source(from[axis] + place, seen)?,
                None => place,
            };
            Some((begin + at_center(first + place, length, resized)) as usize)
        };
        (0..self.size[axis]).map(source).collect()
    }
}

/// Which of `length` pixels lies under the centre of one of the `resized` pixels that they become.
fn at_center(place: u32, length: u32, resized: u32) -> u32 {
    ((2 * u64::from(place) + 1) * u64::from(length) / (2 * u64::from(resized))) as u32
}

#[cfg(test)]
mod tests;
