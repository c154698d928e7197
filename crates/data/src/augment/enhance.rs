//! Enhancements: blends of an image with a degenerate form of itself, as PIL's `ImageEnhance` makes them.
//!
//! Separate because color jitter and RandAugment share them.
//! Invariant: factor 1 changes nothing, factor 0 is the degenerate form.

use crate::Image;

/// `degenerate + factor * (value - degenerate)`, cut to bytes towards zero as PIL does.
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    (f32::from(degenerate) + factor * (f32::from(value) - f32::from(degenerate))) as u8
}

/// Luma in ITU-R 601 weights over 65536, as PIL converts RGB to L.
fn grey(pixel: [u8; 3]) -> u8 {
    let [r, g, b] = pixel.map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

/// From black.
pub(super) fn brightness(image: &mut Image, factor: f32) {
    blend_with(image, 0, factor);
}

/// From the mean grey.
pub(super) fn contrast(image: &mut Image, factor: f32) {
    let (pixels, _) = image.pixels().as_chunks::<3>();
    let sum: u64 = pixels.iter().map(|&p| u64::from(grey(p))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    blend_with(image, mean, factor);
}

/// From one grey; looking the 256 results up takes a third of the time of computing them for every byte.
fn blend_with(image: &mut Image, degenerate: u8, factor: f32) {
    let curve: [u8; 256] = std::array::from_fn(|value| blend(degenerate, value as u8, factor));
    for value in image.pixels_mut() {
        *value = curve[usize::from(*value)];
    }
}

/// From the image in grey.
pub(super) fn saturation(image: &mut Image, factor: f32) {
    // The products of `blend` for every difference of a value and its grey.
    let product: [f32; 511] = std::array::from_fn(|i| factor * (i as f32 - 255.0));
    for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
        let grey = grey(*pixel);
        let from = f32::from(grey);
        *pixel = pixel.map(|value| (from + product[usize::from(value) + 255 - usize::from(grey)]) as u8);
    }
}

/// From a blurred image; the outermost pixels have no blurred form and stay.
pub(super) fn sharpness(image: &mut Image, factor: f32) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let source = image.pixels().to_vec();
    let row = 3 * width;
    for y in 1..height.saturating_sub(1) {
        for at in y * row + 3..(y + 1) * row - 3 {
            let around = [at - row, at, at + row]
                .map(|i| u32::from(source[i - 3]) + u32::from(source[i]) + u32::from(source[i + 3]));
            let sum = around.iter().sum::<u32>() + 4 * u32::from(source[at]);
            // The thirteenth part, to the nearest: thirteen has no halves.
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

    #[test]
    fn tables_hold_what_the_formula_gives() {
        let pixels: Vec<u8> =
            (0..3 * 4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        for factor in [0.0, 0.6, 0.937, 1.0, 1.253, 1.4, 1.9] {
            let mut image = Image::new(64, 64, pixels.clone());
            saturation(&mut image, factor);
            let expected = pixels.chunks(3).flat_map(|p| {
                let grey = grey([p[0], p[1], p[2]]);
                [p[0], p[1], p[2]].map(|value| blend(grey, value, factor))
            });
            assert!(image.pixels().iter().copied().eq(expected), "{factor}");
            let mut image = Image::new(64, 64, pixels.clone());
            brightness(&mut image, factor);
            assert!(image.pixels().iter().copied().eq(pixels.iter().map(|&value| blend(0, value, factor))));
        }
    }

    #[test]
    fn what_has_no_inside_is_not_sharpened() {
        for (width, height) in [(1, 1), (1, 5), (2, 3), (5, 2)] {
            let image = Image::new(width, height, (0..3 * width * height).map(|i| i as u8).collect());
            let mut sharpened = image.clone();
            sharpness(&mut sharpened, 1.9);
            assert_eq!(sharpened, image);
        }
    }
}
