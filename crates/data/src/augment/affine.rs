//! Affine maps of an image onto itself with nearest-neighbor sampling: shear, translation and rotation.
//!
//! Separate from the code that draws their parameters, so that parity with PIL depends on this file alone.
//! Invariant: positions are counted in 65536ths of a pixel, as PIL counts them, so that the same pixel is nearest.

use mutualnet_image::Image;
/// Where the pixel at (x, y) of the result comes from: column `x · [x, y, 1]` and row `y · [x, y, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    x: [f64; 3],
    y: [f64; 3],
}

/// Fixed-point steps per pixel.
const ONE: f64 = 65536.0;

impl Affine {
    /// Moves every row to the left by `shear` times its number.
    pub(super) fn shear_x(shear: f64) -> Self {
        Self { x: [1.0, shear, 0.0], y: [0.0, 1.0, 0.0] }
    }

    /// Moves every column up by `shear` times its number.
    pub(super) fn shear_y(shear: f64) -> Self {
        Self { x: [1.0, 0.0, 0.0], y: [shear, 1.0, 0.0] }
    }

    /// Moves the image to the right and down, in pixels.
    pub(super) fn shift(right: f64, down: f64) -> Self {
        Self { x: [1.0, 0.0, -right], y: [0.0, 1.0, -down] }
    }

    /// Turns the image counter-clockwise around its middle.
    pub(super) fn rotation(degrees: f64, image: &Image) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (mid_x, mid_y) = (f64::from(image.width()) / 2.0, f64::from(image.height()) / 2.0);
        Self {
            x: [cos, -sin, mid_x - cos * mid_x + sin * mid_y],
            y: [sin, cos, mid_y - sin * mid_x - cos * mid_y],
        }
    }

    /// Maps the image; what comes from outside it is black.
    pub(super) fn apply(self, image: &mut Image, spare: &mut Vec<u8>) {
        image.redraw(spare, |image, pixels| self.draw(image, pixels));
    }

    fn draw(self, image: &Image, pixels: &mut Vec<u8>) {
        let (width, height) = (image.width(), image.height());
        let ([x_x, x_y, x_0], [y_x, y_y, y_0]) = (steps(self.x), steps(self.y));
        for y in 0..i64::from(height) {
            for x in 0..i64::from(width) {
                let from_x = (x_0 + x_x * x + x_y * y) >> 16;
                let from_y = (y_0 + y_x * x + y_y * y) >> 16;
                let inside =
                    (0..i64::from(width)).contains(&from_x) && (0..i64::from(height)).contains(&from_y);
                pixels.extend(if inside { image.pixel(from_x as u32, from_y as u32) } else { [0; 3] });
            }
        }
    }
}

/// Factors in steps; the offset is that of the first pixel's center.
fn steps([by_x, by_y, offset]: [f64; 3]) -> [i64; 3] {
    [by_x, by_y, offset + 0.5 * by_x + 0.5 * by_y].map(|value| (value * ONE + 0.5).floor() as i64)
}
