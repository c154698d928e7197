//! Color jitter: random brightness, contrast and saturation, in random order.

use mutualnet_core::RngStream;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::Image;

/// Blends the image with black, with its mean grey and with its own grey version.
///
/// # Source
/// `[torchvision transforms.ColorJitter]` on PIL images, with the same strength for all three; `[MN-code]`: 0.4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColorJitter {
    /// Factors are uniform on `1 - strength` to `1 + strength`; from 0 to 1.
    pub strength: f32,
}

impl ColorJitter {
    /// Draws order and factors and applies them in place.
    pub fn apply(&self, image: &mut Image, rng: &mut RngStream) {
        let mut steps: [fn(&mut [u8], f32); 3] = [brightness, contrast, saturation];
        steps.shuffle(rng);
        for step in steps {
            let factor = rng.random_range(1.0 - self.strength..=1.0 + self.strength);
            step(image.pixels_mut(), factor);
        }
    }
}

/// `degenerate + factor * (value - degenerate)`, cut to bytes towards zero as PIL does.
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    (f32::from(degenerate) + factor * (f32::from(value) - f32::from(degenerate))) as u8
}

/// Luma in ITU-R 601 weights over 65536, as PIL converts RGB to L.
fn grey(pixel: [u8; 3]) -> u8 {
    let [r, g, b] = pixel.map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

fn brightness(rgb: &mut [u8], factor: f32) {
    for value in rgb {
        *value = blend(0, *value, factor);
    }
}

fn contrast(rgb: &mut [u8], factor: f32) {
    let (pixels, _) = rgb.as_chunks::<3>();
    let sum: u64 = pixels.iter().map(|&p| u64::from(grey(p))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    for value in rgb {
        *value = blend(mean, *value, factor);
    }
}

fn saturation(rgb: &mut [u8], factor: f32) {
    for pixel in rgb.as_chunks_mut::<3>().0 {
        let grey = grey(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};

    use super::*;

    /// What PIL's `ImageEnhance` gives for these pixels, by its formulas.
    #[test]
    fn numbers_are_pils() {
        let pixels = [200, 100, 50, 10, 20, 30];
        let check = |step: fn(&mut [u8], f32), factor, expected: [u8; 6]| {
            let mut rgb = pixels;
            step(&mut rgb, factor);
            assert_eq!(rgb, expected, "{factor}");
        };
        check(brightness, 1.4, [255, 140, 70, 14, 28, 42]);
        check(brightness, 0.5, [100, 50, 25, 5, 10, 15]);
        // Greys 124 and 18, mean 71.
        check(contrast, 0.5, [135, 85, 60, 40, 45, 50]);
        check(contrast, 1.5, [255, 114, 39, 0, 0, 9]);
        check(saturation, 0.0, [124, 124, 124, 18, 18, 18]);
        check(saturation, 1.5, [238, 88, 13, 6, 21, 36]);
    }

    #[test]
    fn strength_zero_changes_nothing_and_the_stream_decides() {
        let image = Image::new(2, 1, vec![200, 100, 50, 10, 20, 30]);
        let jittered = |strength, sample| {
            let mut image = image.clone();
            ColorJitter { strength }
                .apply(&mut image, &mut Key::new(1, Purpose::Augment).sample(sample).stream());
            image
        };
        assert_eq!(jittered(0.0, 1), image);
        assert_eq!(jittered(0.4, 1), jittered(0.4, 1));
        assert_ne!(jittered(0.4, 1), jittered(0.4, 2));
    }
}
