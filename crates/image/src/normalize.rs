//! Normalization: bytes become the floats that a network takes, the last step of every pipeline.
//!
//! Separate because training and test time share it; it writes into the caller's buffer, so that a batch is filled
//! without a copy in between.

use crate::simd::vectorized;

/// Subtracts the mean and divides by the standard deviation of every color channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalize {
    scale: [f32; 3],
    bias: [f32; 3],
    std: [f32; 3],
}

/// A whole number of pixels and of vector registers.
const LANES: usize = 48;

impl Normalize {
    /// Takes mean and standard deviation on the scale 0–1.
    pub fn new(mean: [f32; 3], std: [f32; 3]) -> Self {
        let channel = |i: usize| (1.0 / (255.0 * f64::from(std[i])), -f64::from(mean[i]) / f64::from(std[i]));
        let [r, g, b] = std::array::from_fn(channel);
        Self { scale: [r.0 as f32, g.0 as f32, b.0 as f32], bias: [r.1 as f32, g.1 as f32, b.1 as f32], std }
    }

    /// Writes `(rgb / 255 + shift - mean) / std`.
    ///
    /// # Shapes
    /// - `rgb`: `[h, w, 3]` u8
    /// - `out`: `[h, w, 3]` f32
    ///
    /// # Panics
    /// The lengths differ or are not a whole number of pixels.
    pub fn write(&self, rgb: &[u8], shift: [f32; 3], out: &mut [f32]) {
        assert!(rgb.len() == out.len() && rgb.len().is_multiple_of(3), "{} to {}", rgb.len(), out.len());
        let scale: [f32; LANES] = std::array::from_fn(|i| self.scale[i % 3]);
        let bias: [f32; LANES] = std::array::from_fn(|i| self.bias[i % 3] + shift[i % 3] / self.std[i % 3]);
        scale_and_shift(rgb, &scale, &bias, out);
    }
}

vectorized! {
    fn scale_and_shift(rgb: &[u8], scale: &[f32; LANES], bias: &[f32; LANES], out: &mut [f32]) {
        let (blocks, rest) = rgb.as_chunks::<LANES>();
        let (out_blocks, out_rest) = out.as_chunks_mut::<LANES>();
        for (block, out) in blocks.iter().zip(out_blocks) {
            for i in 0..LANES {
                out[i] = f32::from(block[i]) * scale[i] + bias[i];
            }
        }
        for (i, (&value, out)) in rest.iter().zip(out_rest).enumerate() {
            *out = f32::from(value) * scale[i] + bias[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_definition() {
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let rgb: Vec<u8> = (0..=255).cycle().take(3 * 101).collect();
        let mut out = vec![f32::NAN; rgb.len()];
        let shift = [0.1, 0.0, -0.2];
        Normalize::new(mean, std).write(&rgb, shift, &mut out);
        for (i, (&value, &got)) in rgb.iter().zip(&out).enumerate() {
            let c = i % 3;
            let want = (f32::from(value) / 255.0 + shift[c] - mean[c]) / std[c];
            assert!((got - want).abs() < 2e-6, "{i}: {got} {want}");
        }
    }
}
