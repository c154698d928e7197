//! Enhancements: blends of an image with a degenerate version of itself, as in PIL's `ImageEnhance`.
//!
//! Separate because color jitter and RandAugment share them.
//! Invariant: factor 1 changes nothing, and factor 0 gives the degenerate version.

use mutualnet_image::Image;
use mutualnet_image::simd::{to_byte, vectorized};

/// Pixels that are processed at once: whole vectors of each color.
const LANES: usize = 64;

/// `degenerate + factor * (value - degenerate)`, truncated to a byte as PIL does.
#[inline(always)]
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    let degenerate = f32::from(degenerate);
    to_byte(degenerate + factor * (f32::from(value) - degenerate))
}

/// Luma in ITU-R 601 weights over 65536, as PIL converts RGB to L.
#[inline(always)]
fn grey(pixel: [u8; 3]) -> u8 {
    let [r, g, b] = pixel.map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

/// Blends with black.
pub(super) fn brightness(image: &mut Image, factor: f32) {
    blend_with(image.pixels_mut(), 0, factor);
}

/// Blends with the mean gray.
pub(super) fn contrast(image: &mut Image, factor: f32) {
    let n_pixels = image.pixels().len() / 3;
    let mean = (sum_of_greys(image.pixels()) as f64 / n_pixels as f64 + 0.5) as u8;
    blend_with(image.pixels_mut(), mean, factor);
}

/// Blends with the image in gray.
pub(super) fn saturation(image: &mut Image, factor: f32) {
    blend_with_greys(image.pixels_mut(), factor);
}

vectorized! {
    fn blend_with(pixels: &mut [u8], degenerate: u8, factor: f32) {
        for value in pixels {
            *value = blend(degenerate, *value, factor);
        }
    }
}

vectorized! {
    fn sum_of_greys(pixels: &[u8]) -> u64 {
        let (blocks, rest) = pixels.as_chunks::<{ 3 * LANES }>();
        let mut sum = 0;
        for block in blocks {
            let mut of_block = 0;
            for i in 0..LANES {
                of_block += u32::from(grey([block[3 * i], block[3 * i + 1], block[3 * i + 2]]));
            }
            sum += u64::from(of_block);
        }
        sum + rest.as_chunks::<3>().0.iter().map(|&pixel| u64::from(grey(pixel))).sum::<u64>()
    }
}

vectorized! {
    fn blend_with_greys(pixels: &mut [u8], factor: f32) {
        let (blocks, rest) = pixels.as_chunks_mut::<{ 3 * LANES }>();
        let (mut greys, mut from) = ([0; LANES], [0; 3 * LANES]);
        for block in blocks {
            for i in 0..LANES {
                greys[i] = grey([block[3 * i], block[3 * i + 1], block[3 * i + 2]]);
            }
            for i in 0..LANES {
                from[3 * i] = greys[i];
                from[3 * i + 1] = greys[i];
                from[3 * i + 2] = greys[i];
            }
            for i in 0..3 * LANES {
                block[i] = blend(from[i], block[i], factor);
            }
        }
        for pixel in rest.as_chunks_mut::<3>().0 {
            let grey = grey(*pixel);
            *pixel = pixel.map(|value| blend(grey, value, factor));
        }
    }
}

/// Blends with a blurred image; the outermost pixels are not blurred and stay. `source` is memory for a copy.
pub(super) fn sharpness(image: &mut Image, source: &mut Vec<u8>, factor: f32) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    source.clear();
    source.extend_from_slice(image.pixels());
    let row = 3 * width;
    for y in 1..height.saturating_sub(1) {
        for at in y * row + 3..(y + 1) * row - 3 {
            let around = [at - row, at, at + row]
                .map(|i| u32::from(source[i - 3]) + u32::from(source[i]) + u32::from(source[i + 3]));
            let sum = around.iter().sum::<u32>() + 4 * u32::from(source[at]);
            // A thirteenth, rounded to the nearest; there are no ties, because 13 is odd.
            let blurred = ((2 * sum + 13) / 26) as u8;
            image.pixels_mut()[at] = blend(blurred, source[at], factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PIL's `ImageEnhance` gives for these pixels, by its formulas.
    #[test]
    fn numbers_are_pils() {
        let pixels = vec![200, 100, 50, 10, 20, 30];
        let check = |step: fn(&mut Image, f32), factor, expected: [u8; 6]| {
            let mut image = Image::new(2, 1, pixels.clone());
            step(&mut image, factor);
            assert_eq!(image.pixels(), expected, "{factor}");
        };
        check(brightness, 1.4, [255, 140, 70, 14, 28, 42]);
        check(brightness, 0.5, [100, 50, 25, 5, 10, 15]);
        // Greys 124 and 18, mean 71.
        check(contrast, 0.5, [135, 85, 60, 40, 45, 50]);
        check(contrast, 1.5, [255, 114, 39, 0, 0, 9]);
        check(saturation, 0.0, [124, 124, 124, 18, 18, 18]);
        check(saturation, 1.5, [238, 88, 13, 6, 21, 36]);
    }

    /// The formulas as they stand, with casts of the language, on sizes with and without a rest.
    #[test]
    fn vectors_hold_what_the_formula_gives() {
        let blend = |degenerate: u8, value: u8, factor: f32| {
            (f32::from(degenerate) + factor * (f32::from(value) - f32::from(degenerate))) as u8
        };
        for (width, height) in [(64, 64), (37, 3), (1, 1)] {
            let pixels: Vec<u8> =
                (0..3 * width * height).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
            let greys: Vec<u8> = pixels.chunks(3).map(|p| grey([p[0], p[1], p[2]])).collect();
            let sum: f64 = greys.iter().map(|&grey| f64::from(grey)).sum();
            let mean = (sum / greys.len() as f64 + 0.5) as u8;
            for factor in [0.0, 0.6, 0.937, 1.0, 1.253, 1.4, 1.9] {
                let changed = |step: fn(&mut Image, f32)| {
                    let mut image = Image::new(width, height, pixels.clone());
                    step(&mut image, factor);
                    image.into_pixels()
                };
                let from = |degenerate: &dyn Fn(usize) -> u8| -> Vec<u8> {
                    pixels.iter().enumerate().map(|(i, &value)| blend(degenerate(i), value, factor)).collect()
                };
                assert_eq!(changed(brightness), from(&|_| 0), "{factor}");
                assert_eq!(changed(contrast), from(&|_| mean), "{factor}");
                assert_eq!(changed(saturation), from(&|i| greys[i / 3]), "{factor}");
            }
        }
    }

    #[test]
    fn what_has_no_inside_is_not_sharpened() {
        for (width, height) in [(1, 1), (1, 5), (2, 3), (5, 2)] {
            let image = Image::new(width, height, (0..3 * width * height).map(|i| i as u8).collect());
            let mut sharpened = image.clone();
            sharpness(&mut sharpened, &mut vec![3], 1.9);
            assert_eq!(sharpened, image);
        }
    }
}
