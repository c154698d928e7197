//! Pad and crop: a shift by a few pixels, as usual for CIFAR.

use mutualnet_core::RngStream;
use mutualnet_image::Image;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// What lies beyond the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    /// The image mirrored at its border, without repeating the border pixels.
    Reflect,
    /// Black.
    Zero,
}

/// Pads every side and crops a random window of the original size.
///
/// # Source
/// `[MN-code utils/datasets.py]`: pad 4, reflect, on CIFAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PadCrop {
    /// Pixels added to every side; below the image's side.
    pub pad: u32,
    /// What these pixels show.
    pub mode: PadMode,
}

impl PadCrop {
    /// Draws the first column and row of a window of the padded image.
    pub fn draw(&self, rng: &mut RngStream) -> [u32; 2] {
        let dy = rng.random_range(0..=2 * self.pad);
        let dx = rng.random_range(0..=2 * self.pad);
        [dx, dy]
    }

    /// Crops the padded image to the window that begins at column `dx` and row `dy`; the content of `spare` does not matter
    /// before or after.
    ///
    /// # Panics
    /// The pad is not smaller than the image; callers check their settings.
    pub fn shift(&self, image: &mut Image, spare: &mut Vec<u8>, dx: u32, dy: u32) {
        let (width, height) = (image.width(), image.height());
        assert!(self.pad < width.min(height), "a pad of {} for {width}x{height}", self.pad);
        image.redraw(spare, |image, pixels| self.redraw(image, pixels, dx, dy));
    }

    fn redraw(&self, image: &Image, pixels: &mut Vec<u8>, dx: u32, dy: u32) {
        let (width, height) = (image.width(), image.height());
        for y in 0..height {
            let from_y = self.source(y + dy, height);
            for x in 0..width {
                let pixel = match (self.source(x + dx, width), from_y) {
                    (Some(x), Some(y)) => image.pixel(x, y),
                    _ => [0; 3],
                };
                pixels.extend(pixel);
            }
        }
    }

    /// Which of `n` pixels a position of the padded line shows.
    pub(crate) fn source(&self, padded: u32, n: u32) -> Option<u32> {
        if (self.pad..self.pad + n).contains(&padded) {
            return Some(padded - self.pad);
        }
        match self.mode {
            PadMode::Zero => None,
            PadMode::Reflect if padded < self.pad => Some(self.pad - padded),
            PadMode::Reflect => Some(2 * (n - 1) - (padded - self.pad)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_padded_line() {
        // Three equal rows of 1 2 3.
        let image = Image::new(3, 3, [1, 2, 3].repeat(3).into_iter().flat_map(|v| [v; 3]).collect());
        let line = |mode, dx| {
            let mut shifted = image.clone();
            PadCrop { pad: 2, mode }.shift(&mut shifted, &mut vec![9; 50], dx, 2);
            [0, 1, 2].map(|x| shifted.pixel(x, 0)[0])
        };
        for (dx, reflect, zero) in [
            (0, [3, 2, 1], [0, 0, 1]),
            (1, [2, 1, 2], [0, 1, 2]),
            (2, [1, 2, 3], [1, 2, 3]),
            (4, [3, 2, 1], [3, 0, 0]),
        ] {
            assert_eq!(line(PadMode::Reflect, dx), reflect, "{dx}");
            assert_eq!(line(PadMode::Zero, dx), zero, "{dx}");
        }
        let mut down = image.clone();
        PadCrop { pad: 2, mode: PadMode::Zero }.shift(&mut down, &mut Vec::new(), 2, 4);
        assert_eq!([down.pixel(0, 0), down.pixel(0, 1)], [[1; 3], [0; 3]]);
    }
}
