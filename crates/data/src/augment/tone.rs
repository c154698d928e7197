//! Tone curves: the new value of a byte depends on its old value, its color channel and the image's histogram.
//!
//! Separate because every one of them is a table of 256 entries.

use mutualnet_image::Image;
/// One table for each color channel.
type Curves = [[u8; 256]; 3];
type Histogram = [u32; 256];

/// Keeps the upper bits.
pub(super) fn posterize(image: &mut Image, bits: u32) {
    let mask = !(0xff_u8.checked_shr(bits).unwrap_or(0));
    apply(image, &[std::array::from_fn(|value| value as u8 & mask); 3]);
}

/// Inverts what is not below a threshold.
pub(super) fn solarize(image: &mut Image, threshold: f32) {
    let curve = std::array::from_fn(|value| {
        let value = value as u8;
        if f32::from(value) < threshold { value } else { 255 - value }
    });
    apply(image, &[curve; 3]);
}

/// Stretches every channel to the whole range.
pub(super) fn auto_contrast(image: &mut Image) {
    apply(image, &histograms(image).map(|histogram| stretched(&histogram)));
}

/// Makes the values of every channel about equally frequent.
pub(super) fn equalize(image: &mut Image) {
    apply(image, &histograms(image).map(|histogram| equalized(&histogram)));
}

fn apply(image: &mut Image, curves: &Curves) {
    for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
        for (value, curve) in pixel.iter_mut().zip(curves) {
            *value = curve[usize::from(*value)];
        }
    }
}

fn histograms(image: &Image) -> [Histogram; 3] {
    let mut histograms = [[0; 256]; 3];
    for pixel in image.pixels().as_chunks::<3>().0 {
        for (&value, histogram) in pixel.iter().zip(&mut histograms) {
            histogram[usize::from(value)] += 1;
        }
    }
    histograms
}

fn unchanged() -> [u8; 256] {
    std::array::from_fn(|value| value as u8)
}

/// Linear from the lowest value, which becomes 0, to the highest, which becomes 255; fractions are cut off.
fn stretched(histogram: &Histogram) -> [u8; 256] {
    let lowest = histogram.iter().position(|&n| n > 0).unwrap_or(0);
    let highest = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
    if highest <= lowest {
        return unchanged();
    }
    // In this order of operations a few values come out one lower than in real numbers, and PIL's do too.
    let scale = 255.0 / (highest - lowest) as f64;
    let offset = -(lowest as f64) * scale;
    std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
}

/// The share of values below, in whole steps of about a 255th of the pixels that are not of the highest value.
fn equalized(histogram: &Histogram) -> [u8; 256] {
    let highest = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
    let step = histogram[..highest].iter().sum::<u32>() / 255;
    if step == 0 {
        return unchanged();
    }
    let mut below = step / 2;
    std::array::from_fn(|value| {
        let level = (below / step).min(255) as u8;
        below += histogram[value];
        level
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_color_and_few_pixels_stay_as_they_are() {
        let flat = Image::new(20, 20, [9, 100, 255].repeat(400));
        let few = Image::new(3, 1, vec![0, 40, 255, 3, 50, 255, 9, 60, 255]);
        for image in [flat, few.clone()] {
            let mut equal = image.clone();
            equalize(&mut equal);
            assert_eq!(equal, image);
        }
        let mut stretched = few;
        auto_contrast(&mut stretched);
        assert_eq!(stretched.pixels(), [0, 0, 255, 85, 127, 255, 255, 255, 255]);
    }

    #[test]
    fn eight_bits_are_all() {
        let image = Image::new(1, 1, vec![255, 3, 128]);
        let posterized = |bits| {
            let mut image = image.clone();
            posterize(&mut image, bits);
            image.pixels().to_vec()
        };
        assert_eq!(posterized(8), [255, 3, 128]);
        assert_eq!(posterized(4), [240, 0, 128]);
    }
}
