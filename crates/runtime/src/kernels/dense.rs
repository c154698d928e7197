//! Dense convolutions and linear layers: computes a tile of some pixels times one or two panels of channels in registers.
//!
//! Inputs are read through a table of pointers with one entry per tap and pixel, so that one kernel computes 1×1, k×k,
//! strided and padded convolutions. A tap that falls on padding points at zeros, or is left out if it does so for all
//! pixels of the tile.

use super::curve::{self, Stored};
use super::{Epilogue, Lanes, PANEL};

/// One tile of `P` pixels × `V` vectors of outputs.
pub(super) struct Tile {
    /// `[taps][P]` pointers to the first input number.
    pub(super) pointers: *const *const u8,
    pub(super) taps: usize,
    /// Input numbers of each tap, which are consecutive: its channels, or those of all taps of a scanline.
    pub(super) numbers: usize,
    /// First panel, `[taps][in_channels of the full width][PANEL]`; of bf16, each number is a pair of input channels, the
    /// first one in its lower half.
    pub(super) weights: *const f32,
    /// Where the weights of each tap begin, in numbers.
    pub(super) offsets: *const usize,
    /// Distance from one panel to the next, in numbers.
    pub(super) panel_stride: usize,
    /// First output of the first pixel.
    pub(super) out: *mut u8,
    /// Distance from the outputs of one pixel to those of the next, in numbers.
    pub(super) out_stride: usize,
    /// The epilogue that begins at the first channel of the tile.
    pub(super) epilogue: Epilogue,
}

/// Computes a tile.
///
/// # Safety
/// That of [`Lanes`]; every pointer of the table is valid for `numbers` numbers, the weights at every offset for
/// the panels that `V` vectors span, and `out` and the epilogue for `P` pixels of as many channels.
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, const P: usize, const V: usize>(tile: &Tile) {
    // SAFETY: the contract above.
    unsafe {
        let mut sums = [[L::splat(0.0); V]; P];
        for p in 0..P {
            // By the time the sums are stored, the cache has the lines.
            for c in (0..V * L::N).step_by(PANEL) {
                L::prefetch(tile.out.cast::<f32>().wrapping_add(p * tile.out_stride + c));
            }
        }
        for tap in 0..tile.taps {
            let mut inputs = [std::ptr::null(); P];
            for (p, input) in inputs.iter_mut().enumerate() {
                *input = *tile.pointers.add(tap * P + p);
            }
            let weights = tile.weights.add(*tile.offsets.add(tap));
            for k in 0..tile.numbers {
                let mut by = [L::splat(0.0); V];
                for (v, by) in by.iter_mut().enumerate() {
                    let lane = v * L::N;
                    *by = L::load(weights.add(lane / PANEL * tile.panel_stride + k * PANEL + lane % PANEL));
                }
                for p in 0..P {
                    let input = L::splat(*inputs[p].cast::<f32>().add(k));
                    for v in 0..V {
                        sums[p][v] = input.fma(by[v], sums[p][v]);
                    }
                }
            }
        }
        finish(tile, &sums);
    }
}

/// The most channels that a tile spans.
const MOST_LANES: usize = 2 * PANEL;

/// Computes a tile of bf16, whose weights and inputs are taken in pairs of input channels.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "an iterator over the sums would keep them in memory")]
pub(super) unsafe fn tile_of_pairs<L: Lanes, const P: usize, const V: usize>(tile: &Tile) {
    // A tap with an odd number of channels counts as two parts, its pairs and its last channel, so that there is only one
    // inner loop: with two of them, compilers keep the sums in memory.
    let (pairs, parts) = (tile.numbers / 2, 1 + tile.numbers % 2);
    const { assert!(V * L::N <= MOST_LANES) };
    // SAFETY: the contract above. Pairs are read unaligned. The weight beside that of a last channel is multiplied by 0.
    unsafe {
        let mut sums = [[L::splat(0.0); V]; P];
        for part in 0..tile.taps * parts {
            let (tap, is_last) = (part / parts, part % parts == 1);
            let mut inputs = [std::ptr::null(); P];
            let mut lasts = [0_u32; P];
            for p in 0..P {
                inputs[p] = *tile.pointers.add(tap * P + p);
                if is_last {
                    lasts[p] = u32::from(inputs[p].cast::<u16>().add(2 * pairs).read_unaligned());
                    inputs[p] = (&raw const lasts[p]).cast();
                }
            }
            let (first, n) = if is_last { (pairs, 1) } else { (0, pairs) };
            let weights = tile.weights.add(*tile.offsets.add(tap) + first * PANEL);
            for k in 0..n {
                let mut by = [L::splat(0.0); V];
                for (v, by) in by.iter_mut().enumerate() {
                    let lane = v * L::N;
                    *by = L::load(weights.add(lane / PANEL * tile.panel_stride + k * PANEL + lane % PANEL));
                }
                for p in 0..P {
                    let input = L::splat(inputs[p].cast::<f32>().add(k).read_unaligned());
                    for v in 0..V {
                        sums[p][v] = sums[p][v].dot(input, by[v]);
                    }
                }
            }
        }
        // A compiler that does not unroll the loop over stores would keep all sums in memory for it, so it gets a copy.
        let mut copies = [[0.0; MOST_LANES]; P];
        for p in 0..P {
            for v in 0..V {
                sums[p][v].store(copies[p].as_mut_ptr().add(v * L::N));
            }
        }
        let epilogue = tile.epilogue.load::<L>();
        for (p, copies) in copies.iter().enumerate() {
            for lane in (0..V * L::N).step_by(L::N) {
                epilogue.store(
                    L::load(copies.as_ptr().add(lane)),
                    lane,
                    tile.out,
                    p * tile.out_stride + lane,
                );
            }
        }
        bend::<L, P, V>(tile);
    }
}

/// Stores the sums of a tile.
#[inline(always)]
unsafe fn finish<L: Lanes, const P: usize, const V: usize>(tile: &Tile, sums: &[[L; V]; P]) {
    // SAFETY: as `tile`.
    unsafe {
        let epilogue = tile.epilogue.load::<L>();
        for (p, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                epilogue.store(sum, v * L::N, tile.out, p * tile.out_stride + v * L::N);
            }
        }
        bend::<L, P, V>(tile);
    }
}

/// Applies the curve of the epilogue to the outputs of a tile.
#[inline(always)]
unsafe fn bend<L: Lanes, const P: usize, const V: usize>(tile: &Tile) {
    // SAFETY: as `tile`.
    unsafe {
        for p in 0..P {
            curve::bend::<L>(
                &tile.epilogue,
                Stored { out: tile.out, at: p * tile.out_stride, len: V * L::N },
            );
        }
    }
}
