//! Packs weights in the order in which kernels read them, once for all rows.
//!
//! Invariant: strides are those of the full width, so that a narrower network uses a prefix: the first panels, and in
//! every tap the first input channels.

use std::ops::Range;

use crate::kernels::{Buffer, PANEL, padded, rounded, widened};
use crate::{Error, Result};

/// The packed weights of one layer.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Dense: `[out / 16][taps][in][16]`; dense of bf16: `[out / 16][taps][in / 2][16]`, each number a pair of input channels
    /// with the first one in its lower half; depthwise: `[taps][c]`, with `c` rounded up to a multiple of 16. The channels
    /// added by rounding are zeros.
    pub(crate) numbers: Buffer,
    /// Distance from one tap to the next, in numbers.
    pub(crate) tap_stride: usize,
    /// Distance from one panel to the next, in numbers; 0 for depthwise.
    pub(crate) panel_stride: usize,
}

/// Packs a block of the input channels of dense weights `[out, in, taps]`; a linear layer has one tap.
///
/// # Errors
/// Fails if there is not enough memory.
pub(crate) fn dense(weight: &[f32], shape: [usize; 3], block: Range<usize>) -> Result<Packed> {
    dense_by(weight, shape, block, (1, |number, _, weight| *number = weight))
}

/// As [`dense`], rounded to bf16. The channel beside the last one of an odd number is 0.
///
/// # Errors
/// Fails if there is not enough memory.
pub(crate) fn dense_pairs(weight: &[f32], shape: [usize; 3], block: Range<usize>) -> Result<Packed> {
    let put = |pair: &mut f32, which: usize, weight: f32| {
        let half = u32::from(rounded(weight)) << (16 * which);
        *pair = f32::from_bits(pair.to_bits() | half);
    };
    dense_by(weight, shape, block, (2, put))
}

/// Packs so many input channels into each number: `put` gets the number, which of its channels it is, and the weight.
fn dense_by(
    weight: &[f32],
    [out, input, taps]: [usize; 3],
    block: Range<usize>,
    (per_number, put): (usize, impl Fn(&mut f32, usize, f32)),
) -> Result<Packed> {
    let tap_stride = block.len().div_ceil(per_number) * PANEL;
    let panel_stride = taps * tap_stride;
    let len = panel_stride.checked_mul(out.div_ceil(PANEL)).ok_or(Error::Memory { numbers: usize::MAX })?;
    let mut numbers = Buffer::zeroed(len)?;
    for (o, weight) in weight.chunks_exact((input * taps).max(1)).enumerate() {
        let panel = o / PANEL * panel_stride + o % PANEL;
        let weight = &weight[block.start * taps..block.end * taps];
        for (i, weight) in weight.chunks_exact(taps).enumerate() {
            for (tap, &weight) in weight.iter().enumerate() {
                let at = panel + tap * tap_stride + i / per_number * PANEL;
                put(&mut numbers[at], i % per_number, weight);
            }
        }
    }
    Ok(Packed { numbers, tap_stride, panel_stride })
}

/// As [`depthwise`], rounded to bf16 but held as f32: there are few of them.
///
/// # Errors
/// Fails if there is not enough memory.
pub(crate) fn depthwise_rounded(weight: &[f32], shape: [usize; 2]) -> Result<Packed> {
    let mut packed = depthwise(weight, shape)?;
    packed.numbers.iter_mut().for_each(|number| *number = widened(rounded(*number)));
    Ok(packed)
}

/// The weights `[in, out, taps]` of a transposed convolution as those of a dense one.
pub(crate) fn turned(weight: &[f32], [input, out, taps]: [usize; 3]) -> Vec<f32> {
    let mut turned = Vec::with_capacity(weight.len());
    for o in 0..out {
        for i in 0..input {
            turned.extend_from_slice(&weight[(i * out + o) * taps..][..taps]);
        }
    }
    turned
}

/// Packs depthwise weights `[channels, taps]`.
///
/// # Errors
/// Fails if there is not enough memory.
pub(crate) fn depthwise(weight: &[f32], [channels, taps]: [usize; 2]) -> Result<Packed> {
    let tap_stride = padded(channels);
    let mut numbers = Buffer::zeroed(tap_stride * taps)?;
    for (c, weight) in weight.chunks_exact(taps).enumerate() {
        for (tap, &weight) in weight.iter().enumerate() {
            numbers[tap * tap_stride + c] = weight;
        }
    }
    Ok(Packed { numbers, tap_stride, panel_stride: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_network_is_a_prefix() {
        let (out, input, taps) = (20, 3, 4);
        let weight: Vec<f32> = (0..out * input * taps).map(|i| i as f32).collect();
        let packed = dense(&weight, [out, input, taps], 0..input).unwrap();
        for (o, i, tap) in [(0, 0, 0), (17, 2, 3), (5, 1, 2)] {
            let at = o / PANEL * packed.panel_stride + tap * packed.tap_stride + i * PANEL + o % PANEL;
            assert_eq!(packed.numbers[at], weight[(o * input + i) * taps + tap]);
        }
        assert_eq!(packed.numbers.len(), 2 * taps * input * PANEL);
    }

    #[test]
    fn depthwise_weights_are_taps_of_channels() {
        let packed = depthwise(&[1.0, 2.0, 3.0, 4.0], [2, 2]).unwrap();
        assert_eq!(packed.tap_stride, PANEL);
        assert_eq!([packed.numbers[1], packed.numbers[PANEL]], [3.0, 2.0]);
    }
}
