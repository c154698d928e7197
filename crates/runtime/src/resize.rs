//! Resizes normalized pixels from the largest resolution to that of a row, bilinearly with aligned corners.
//!
//! # Source
//! `[MN-code train.py test]`: `F.interpolate(mode="bilinear", align_corners=True)`.

use crate::program::{Feature, Pair};

/// The weights along one axis: for every output, the first of two neighbors and the share of the second.
#[derive(Debug, Clone)]
struct Axis {
    taps: Vec<(usize, f32)>,
    from: usize,
}

impl Axis {
    fn new(from: usize, to: usize) -> Self {
        // In f32, as the reference computes it.
        let scale = if to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { 0.0 };
        let tap = |i: usize| {
            let position = scale * i as f32;
            let first = (position as usize).min(from - 1);
            (first, position - first as f32)
        };
        Self { taps: (0..to).map(tap).collect(), from }
    }

    /// Both neighbors of an output, and the share of the second.
    fn at(&self, i: usize) -> (usize, usize, f32) {
        let (first, share) = self.taps[i];
        (first, (first + 1).min(self.from - 1), share)
    }
}

/// A prepared resize from one size to another.
#[derive(Debug, Clone)]
pub(crate) struct Resize {
    vertical: Axis,
    horizontal: Axis,
}

impl Resize {
    /// Prepares a resize; both sizes must be at least 1×1.
    pub(crate) fn new(from: Pair, to: Pair) -> Self {
        Self { vertical: Axis::new(from[0], to[0]), horizontal: Axis::new(from[1], to[1]) }
    }

    /// Resizes one image or frame, whose numbers `of` converts; the tail of the output becomes zeros.
    ///
    /// # Shapes
    /// - `input`: `[h, w, channels]` of the size to resize from
    /// - `output`: `[h, w, stride_c]` of the size to resize to
    pub(crate) fn apply<T: Copy>(
        &self,
        input: &[f32],
        output: &mut [T],
        feature: Feature,
        of: impl Fn(f32) -> T,
    ) {
        let c = feature.channels;
        let line = self.horizontal.from * c;
        for (y, output) in output.chunks_exact_mut(feature.size[1] * feature.stride_c).enumerate() {
            let (y0, y1, down) = self.vertical.at(y);
            let (upper, lower) = (&input[y0 * line..][..line], &input[y1 * line..][..line]);
            for (x, pixel) in output.chunks_exact_mut(feature.stride_c).enumerate() {
                let (x0, x1, right) = self.horizontal.at(x);
                for (i, value) in pixel[..c].iter_mut().enumerate() {
                    let mix = |line: &[f32]| (1.0 - right) * line[x0 * c + i] + right * line[x1 * c + i];
                    *value = of((1.0 - down) * mix(upper) + down * mix(lower));
                }
                pixel[c..].fill(of(0.0));
            }
        }
    }
}

/// Copies one image or frame that already has the right size into `output`, `[h, w, stride_c]`, with numbers that `of` converts; the
/// tail becomes zeros.
pub(crate) fn copy<T: Copy>(input: &[f32], output: &mut [T], feature: Feature, of: impl Fn(f32) -> T) {
    let pixels = output.chunks_exact_mut(feature.stride_c);
    for (pixel, input) in pixels.zip(input.chunks_exact(feature.channels)) {
        pixel.iter_mut().zip(input).for_each(|(output, &input)| *output = of(input));
        pixel[feature.channels..].fill(of(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(number: f32) -> f32 {
        number
    }

    fn feature(size: Pair, channels: usize, stride_c: usize) -> Feature {
        Feature { start: 0, frames: 1, size, channels, stride_c, bytes: 4 }
    }

    #[test]
    fn corners_stay_and_the_middle_is_mixed() {
        let input = [0.0, 1.0, 2.0, 3.0];
        let mut output = [9.0; 9];
        Resize::new([2, 2], [3, 3]).apply(&input, &mut output, feature([3, 3], 1, 1), same);
        assert_eq!(output, [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
    }

    #[test]
    fn one_pixel_is_the_first_one() {
        let mut output = [9.0; 16];
        Resize::new([2, 2], [1, 1]).apply(&[5.0, 1.0, 1.0, 1.0], &mut output, feature([1, 1], 1, 16), same);
        assert_eq!((output[0], &output[1..]), (5.0, &[0.0; 15][..]));
    }

    #[test]
    fn the_same_size_is_a_copy() {
        let input: Vec<f32> = (0..5 * 5 * 2).map(|i| (i as f32).sin()).collect();
        let [mut resized, mut copied] = [[9.0; 5 * 5 * 4], [9.0; 5 * 5 * 4]];
        Resize::new([5, 5], [5, 5]).apply(&input, &mut resized, feature([5, 5], 2, 4), same);
        copy(&input, &mut copied, feature([5, 5], 2, 4), same);
        assert_eq!(resized, copied);
    }
}
