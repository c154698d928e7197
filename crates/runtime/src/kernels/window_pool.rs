//! Max and average pooling over a window: computes one scanline of outputs, vectorized over channels.

use super::curve::{self, Stored};
use super::depthwise::{Frames, taps};
use super::{Epilogue, Lanes, Pair};

/// One row of output pixels of one frame, and what is needed to compute it.
pub(super) struct Scanline {
    pub(super) frames: Frames,
    /// Height and width of a frame.
    pub(super) size: Pair,
    /// Channel stride of input and output, including the tail.
    pub(super) stride_c: usize,
    pub(super) kernel: Pair,
    pub(super) stride: Pair,
    pub(super) padding: Pair,
    /// Taps of the window, along time too.
    pub(super) taps: usize,
    /// Index of the scanline.
    pub(super) y: usize,
    /// Number of outputs in the scanline.
    pub(super) width: usize,
    /// First output of the scanline.
    pub(super) out: *mut u8,
    pub(super) epilogue: Epilogue,
}

/// Computes the largest values of a scanline; pixels outside the clip are ignored.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn largest<L: Lanes>(line: &Scanline) {
    // SAFETY: same contract.
    unsafe { scanline::<L>(line, f32::NEG_INFINITY, |largest, value| largest.max(value), 1.0) }
}

/// Computes the means of a scanline; pixels outside the clip count as zeros.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn mean<L: Lanes>(line: &Scanline) {
    let share = 1.0 / line.taps as f32;
    // SAFETY: same contract.
    unsafe { scanline::<L>(line, 0.0, |sum, value| sum.add(value), share) }
}

/// Joins the values of each window, and multiplies what comes of them by `factor`.
#[inline(always)]
unsafe fn scanline<L: Lanes>(line: &Scanline, start: f32, join: impl Fn(L, L) -> L, factor: f32) {
    let y_start = line.y * line.stride[0];
    let (y_first, y_last) = taps([y_start, line.padding[0]], [line.kernel[0], 1], line.size[0]);
    // SAFETY: same contract; only taps inside the clip are read.
    unsafe {
        let (epilogue, factor) = (line.epilogue.load::<L>(), L::splat(factor));
        for x in 0..line.width {
            let x_start = x * line.stride[1];
            let (x_first, x_last) = taps([x_start, line.padding[1]], [line.kernel[1], 1], line.size[1]);
            for c in (0..line.stride_c).step_by(L::N) {
                let mut joined = L::splat(start);
                for frame in 0..line.frames.n {
                    for iy in y_start + y_first..y_start + y_last {
                        for ix in x_start + x_first..x_start + x_last {
                            let at = (iy - line.padding[0]) * line.size[1] + ix - line.padding[1];
                            let at = frame * line.frames.stride + at * line.stride_c + c;
                            joined = join(joined, L::read(line.frames.start, at));
                        }
                    }
                }
                epilogue.store(joined.mul(factor), c, line.out, x * line.stride_c + c);
            }
        }
        curve::bend::<L>(&line.epilogue, Stored { out: line.out, at: 0, len: line.width * line.stride_c });
    }
}
