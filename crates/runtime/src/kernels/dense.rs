//! Dense convolutions and linear layers: computes a tile of some pixels times one or two panels of channels in registers.
//!
//! Inputs are read through a table of pointers with one entry per tap and pixel, so that one kernel computes 1×1, k×k,
//! strided and padded convolutions. A tap that falls on padding points at zeros.

use super::{Epilogue, Lanes, PANEL, curve};

/// One tile of `P` pixels × `V` vectors of outputs.
pub(super) struct Tile {
    /// `[taps][P]` pointers to the first input channel.
    pub(super) pointers: *const *const f32,
    pub(super) taps: usize,
    /// Number of input channels.
    pub(super) in_channels: usize,
    /// First panel, `[taps][in_channels of the full width][PANEL]`.
    pub(super) weights: *const f32,
    /// Distance from one tap to the next, in numbers.
    pub(super) tap_stride: usize,
    /// Distance from one panel to the next, in numbers.
    pub(super) panel_stride: usize,
    /// First output of the first pixel.
    pub(super) out: *mut f32,
    /// Distance from the outputs of one pixel to those of the next, in numbers.
    pub(super) out_stride: usize,
    /// The epilogue that begins at the first channel of the tile.
    pub(super) epilogue: Epilogue,
}

/// Computes a tile.
///
/// # Safety
/// That of [`Lanes`]; every pointer of the table is valid for `in_channels` numbers, the weights for the panels that
/// `V` vectors span, and `out` and the epilogue for `P` pixels of as many channels.
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, const P: usize, const V: usize>(tile: &Tile) {
    // SAFETY: the contract above.
    unsafe {
        let mut sums = [[L::splat(0.0); V]; P];
        for tap in 0..tile.taps {
            let mut inputs = [std::ptr::null(); P];
            for (p, input) in inputs.iter_mut().enumerate() {
                *input = *tile.pointers.add(tap * P + p);
            }
            let weights = tile.weights.add(tap * tile.tap_stride);
            for k in 0..tile.in_channels {
                let mut by = [L::splat(0.0); V];
                for (v, by) in by.iter_mut().enumerate() {
                    let lane = v * L::N;
                    *by = L::load(weights.add(lane / PANEL * tile.panel_stride + k * PANEL + lane % PANEL));
                }
                for p in 0..P {
                    let input = L::splat(*inputs[p].add(k));
                    for v in 0..V {
                        sums[p][v] = input.fma(by[v], sums[p][v]);
                    }
                }
            }
        }
        let epilogue = tile.epilogue.load::<L>();
        for (p, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                epilogue.store(sum, v * L::N, tile.out, p * tile.out_stride + v * L::N);
            }
        }
        if let Some(bend) = tile.epilogue.curve {
            for p in 0..P {
                curve::bend::<L>(bend, tile.out.add(p * tile.out_stride), V * L::N);
            }
        }
    }
}
