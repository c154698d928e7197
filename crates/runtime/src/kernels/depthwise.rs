//! Depthwise convolutions: computes one or two scanlines of outputs, vectorized over channels.
//!
//! For 3×3 and 5×5 kernels with stride 1 or 2, which most networks use, and for kernels along time only, several neighbors are
//! computed at once away from the borders, so that the inputs they share are loaded once; with stride 1 those of two
//! scanlines, which share even more. Everything else goes tap by tap.
//! Invariant: the taps of an output are summed in the same order, however many are computed at once.

use super::curve::{self, Stored};
use super::{Epilogue, Lanes, Pair};
use crate::program::Window;

/// The frames that the taps of a window lie in, without those outside the clip. An image is a clip of one frame.
#[derive(Clone, Copy)]
pub(super) struct Frames {
    /// First number of the first one.
    pub(super) start: *const u8,
    pub(super) n: usize,
    /// Distance from one to the next, in numbers.
    pub(super) stride: usize,
    /// Taps along time that lie in front of the clip.
    pub(super) skipped: usize,
}

/// One or two rows of output pixels of one frame, and what is needed to compute them.
pub(super) struct Scanline {
    pub(super) frames: Frames,
    /// Height and width of a frame.
    pub(super) size: Pair,
    /// Channel stride of input and output, including the tail.
    pub(super) stride_c: usize,
    /// `[taps][weight_stride]`, from the taps of the first frame on.
    pub(super) weights: *const f32,
    /// Channel stride of the weights, which is that of the full width.
    pub(super) weight_stride: usize,
    pub(super) kernel: Pair,
    pub(super) stride: Pair,
    pub(super) padding: Pair,
    /// Distance between two taps.
    pub(super) dilation: Pair,
    /// Index of the first scanline.
    pub(super) y: usize,
    /// Number of scanlines, at most [`most_rows`].
    pub(super) rows: usize,
    /// Number of outputs in a scanline.
    pub(super) width: usize,
    /// First output of the first scanline.
    pub(super) out: *mut u8,
    pub(super) epilogue: Epilogue,
}

/// The range of taps that fall inside an input of length `size`, for a kernel of length `kernel` whose taps lie
/// `dilation` apart and whose first tap is at `start - padding`.
#[inline(always)]
pub(super) fn taps([start, padding]: Pair, [kernel, dilation]: Pair, size: usize) -> (usize, usize) {
    let first = padding.saturating_sub(start).div_ceil(dilation).min(kernel);
    let last = (size + padding).saturating_sub(start).div_ceil(dilation).min(kernel);
    (first, last.max(first))
}

/// The most columns of the input that neighbors depend on: 4 of a 5×5 kernel with stride 2.
const MOST_COLUMNS: usize = 11;

/// How many scanlines can be computed at once.
pub(super) fn most_rows(window: Window) -> usize {
    let Window { kernel, stride, dilation, .. } = window;
    if kernel == [3; 2] && stride == [1; 2] && dilation == [1; 2] { 2 } else { 1 }
}

/// Computes scanlines, `T` neighbors at once where possible.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn scanline<L: Lanes, const T: usize>(line: &Scanline) {
    // SAFETY: same contract.
    unsafe {
        match (line.kernel, line.stride, line.dilation) {
            ([3, 3], [1, 1], [1, 1]) if line.rows == 2 => by_neighbors::<L, T, 3, 1, 2>(line),
            ([3, 3], [1, 1], [1, 1]) => by_neighbors::<L, T, 3, 1, 1>(line),
            ([3, 3], [2, 2], [1, 1]) => by_neighbors::<L, T, 3, 2, 1>(line),
            ([5, 5], [1, 1], [1, 1]) => by_neighbors::<L, T, 5, 1, 1>(line),
            ([5, 5], [2, 2], [1, 1]) => by_neighbors::<L, T, 5, 2, 1>(line),
            ([1, 1], [1, 1], _) => by_neighbors::<L, T, 1, 1, 1>(line),
            _ => {
                for x in 0..line.width {
                    pixel::<L>(line, [0, x]);
                }
            }
        }
        let len = line.rows * line.width * line.stride_c;
        curve::bend::<L>(&line.epilogue, Stored { out: line.out, at: 0, len });
    }
}

/// `R` scanlines of a `K`×`K` kernel with stride `S`.
#[inline(always)]
unsafe fn by_neighbors<L: Lanes, const T: usize, const K: usize, const S: usize, const R: usize>(
    line: &Scanline,
) {
    let left = line.padding[1].div_ceil(S).min(line.width);
    // End of the outputs whose columns all lie inside.
    let inside = (line.size[1] + line.padding[1]).saturating_sub(K) / S + 1;
    let right = if line.size[1] + line.padding[1] >= K { inside.min(line.width) } else { left };
    let mut x = 0;
    // SAFETY: same contract; between `left` and `right` every column is inside.
    unsafe {
        while x < line.width {
            if x >= left && x + T <= right {
                neighbors::<L, T, K, S, R>(line, x);
                x += T;
            } else if x >= left && x + 2 <= right {
                neighbors::<L, 2, K, S, R>(line, x);
                x += 2;
            } else {
                for row in 0..R {
                    pixel::<L>(line, [row, x]);
                }
                x += 1;
            }
        }
    }
}

/// Computes `T` outputs of each scanline from `x` on, whose columns are all inside.
#[inline(always)]
unsafe fn neighbors<L: Lanes, const T: usize, const K: usize, const S: usize, const R: usize>(
    line: &Scanline,
    x: usize,
) {
    // Lines of the input that are inside, from the first line that the first scanline reads on.
    let (first, last) = taps([line.y * S, line.padding[0]], [K + R - 1, 1], line.size[0]);
    // SAFETY: same contract.
    unsafe {
        let epilogue = line.epilogue.load::<L>();
        // Wraps if it lies outside; it is not used then.
        let corner = (line.y * S).wrapping_sub(line.padding[0]).wrapping_mul(line.size[1]);
        let corner = corner.wrapping_add(x * S - line.padding[1]).wrapping_mul(line.stride_c);
        for c in (0..line.stride_c).step_by(L::N) {
            let mut sums = [[L::splat(0.0); T]; R];
            for frame in 0..line.frames.n {
                let frame_start = corner.wrapping_add(frame * line.frames.stride + c);
                let frame_weights = line.weights.wrapping_add(frame * K * K * line.weight_stride + c);
                for y in first..last {
                    let input = frame_start.wrapping_add(y * line.size[1] * line.stride_c);
                    let mut inputs = [L::splat(0.0); MOST_COLUMNS];
                    for (column, value) in inputs.iter_mut().enumerate().take((T - 1) * S + K) {
                        let at = input.wrapping_add(column * line.stride_c);
                        *value = L::read(line.frames.start, at);
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        // The line of the kernel that this scanline applies to it.
                        let ky = y.wrapping_sub(r);
                        if ky >= K {
                            continue;
                        }
                        let weights = frame_weights.wrapping_add(ky * K * line.weight_stride);
                        let mut by = [L::splat(0.0); K];
                        for (k, by) in by.iter_mut().enumerate() {
                            *by = L::load(weights.add(k * line.weight_stride));
                        }
                        for (t, sum) in sums.iter_mut().enumerate() {
                            for (k, &by) in by.iter().enumerate() {
                                *sum = inputs[t * S + k].fma(by, *sum);
                            }
                        }
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (t, &sum) in sums.iter().enumerate() {
                    epilogue.store(sum, c, line.out, (r * line.width + x + t) * line.stride_c + c);
                }
            }
        }
    }
}

/// Computes one output, tap by tap.
#[inline(always)]
unsafe fn pixel<L: Lanes>(line: &Scanline, [row, x]: Pair) {
    let (y_start, x_start) = ((line.y + row) * line.stride[0], x * line.stride[1]);
    let along = |axis: usize| [line.kernel[axis], line.dilation[axis]];
    let (y_first, y_last) = taps([y_start, line.padding[0]], along(0), line.size[0]);
    let (x_first, x_last) = taps([x_start, line.padding[1]], along(1), line.size[1]);
    // SAFETY: same contract; only taps inside the clip are read.
    unsafe {
        let epilogue = line.epilogue.load::<L>();
        for c in (0..line.stride_c).step_by(L::N) {
            let mut sum = L::splat(0.0);
            for frame in 0..line.frames.n {
                for ky in y_first..y_last {
                    for kx in x_first..x_last {
                        let y = y_start + ky * line.dilation[0] - line.padding[0];
                        let position = y * line.size[1] + x_start + kx * line.dilation[1] - line.padding[1];
                        let tap = (frame * line.kernel[0] + ky) * line.kernel[1] + kx;
                        let by = L::load(line.weights.add(tap * line.weight_stride + c));
                        let at = frame * line.frames.stride + position * line.stride_c + c;
                        sum = L::read(line.frames.start, at).fma(by, sum);
                    }
                }
            }
            epilogue.store(sum, c, line.out, (row * line.width + x) * line.stride_c + c);
        }
    }
}
