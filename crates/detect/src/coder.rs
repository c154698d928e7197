//! From boxes to the numbers that a network learns, and back.
//!
//! Separate because training encodes and prediction decodes, with the same weights.

use crate::Corners;

/// How a box is expressed relative to an anchor or a region: shift of the center, logarithm of the sides, each with a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxCoder {
    /// Weights of x, y, width and height.
    weights: [f32; 4],
}

/// The largest logarithm of the growth of a side, `ln(1000 / 16)`, as torchvision rounds it.
const MAX_GROWTH: f32 = 4.135_166_556_742_356_f64 as f32;

impl BoxCoder {
    /// Of the heads of two-stage detectors, and of SSD: 10, 10, 5, 5.
    pub const REGIONS: Self = Self { weights: [10.0, 10.0, 5.0, 5.0] };
    /// Of networks that propose regions.
    pub const ANCHORS: Self = Self { weights: [1.0; 4] };

    /// What the network should answer at `anchor` for an object with the box `object`. Infinite if one has no area.
    ///
    /// # Source
    /// torchvision, `BoxCoder.encode_single`.
    pub fn encode(self, object: Corners, anchor: Corners) -> [f32; 4] {
        let ([x, y], [width, height]) = center_and_sides(anchor);
        let ([object_x, object_y], [object_width, object_height]) = center_and_sides(object);
        let [wx, wy, ww, wh] = self.weights;
        [
            wx * (object_x - x) / width,
            wy * (object_y - y) / height,
            ww * (object_width / width).ln(),
            wh * (object_height / height).ln(),
        ]
    }

    /// The box that the network answers at `anchor`. A side grows at most 62.5 times.
    ///
    /// # Source
    /// torchvision, `BoxCoder.decode_single`.
    pub fn decode(self, codes: [f32; 4], anchor: Corners) -> Corners {
        let ([x, y], [width, height]) = center_and_sides(anchor);
        let [wx, wy, ww, wh] = self.weights;
        let (x, y) = (codes[0] / wx * width + x, codes[1] / wy * height + y);
        let grown = |code: f32, side: f32| 0.5 * (at_most(code, MAX_GROWTH).exp() * side);
        let (width, height) = (grown(codes[2] / ww, width), grown(codes[3] / wh, height));
        [x - width, y - height, x + width, y + height]
    }
}

/// Unlike `min`, NaN stays NaN, so that a broken network does not answer with boxes.
fn at_most(number: f32, limit: f32) -> f32 {
    if number > limit { limit } else { number }
}

fn center_and_sides([left, top, right, bottom]: Corners) -> ([f32; 2], [f32; 2]) {
    let (width, height) = (right - left, bottom - top);
    ([left + 0.5 * width, top + 0.5 * height], [width, height])
}
