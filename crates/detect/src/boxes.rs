//! Boxes by their corners, as networks compute with them, and torchvision's arithmetic on them.
//!
//! Separate because anchors, matching, suppression and decoding all start from these few functions. COCO's files have left,
//! top, width and height instead. Invariant: single precision, in torchvision's order of operations.

use crate::Extent;

/// Left, top, right and bottom, in pixels.
pub type Corners = [f32; 4];

/// Area in square pixels; negative if right is left of left.
pub fn area([left, top, right, bottom]: Corners) -> f32 {
    (right - left) * (bottom - top)
}

/// Intersection over union; NaN for two boxes without an area.
///
/// # Source
/// torchvision, `box_iou`.
pub fn overlap(a: Corners, b: Corners) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let common = width * height;
    common / (area(a) + area(b) - common)
}

/// The part of a box that is inside of an image.
pub fn clip([left, top, right, bottom]: Corners, image: Extent) -> Corners {
    let (width, height) = (image.width as f32, image.height as f32);
    [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)]
}

/// A box as COCO's files have it: left, top, width and height.
pub fn left_top_sides([left, top, right, bottom]: Corners) -> [f32; 4] {
    [left, top, right - left, bottom - top]
}

/// Whether both sides of a box have at least a length. Boxes with NaN do not.
pub fn has_sides([left, top, right, bottom]: Corners, at_least: f32) -> bool {
    right - left >= at_least && bottom - top >= at_least
}

/// A box of an image after the image is resized.
pub fn resized([left, top, right, bottom]: Corners, from: Extent, to: Extent) -> Corners {
    let x = to.width as f32 / from.width as f32;
    let y = to.height as f32 / from.height as f32;
    [left * x, top * y, right * x, bottom * y]
}

/// The levels of a feature pyramid from which regions are taken; level `n` has an n-th power of two as its stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// The finest.
    pub finest: u32,
    /// The coarsest.
    pub coarsest: u32,
}

impl Levels {
    /// The level of a region: the one for regions of 224 pixels is 4. A box without an area gets the finest.
    ///
    /// # Source
    /// torchvision, `LevelMapper`; `[FPN]`, Eq. 1.
    pub fn of(self, region: Corners) -> u32 {
        let level = (4.0 + (area(region).sqrt() / 224.0).log2() + 1e-6).floor();
        // NaN and what is below 0 become 0.
        (level as u32).clamp(self.finest, self.coarsest)
    }
}
