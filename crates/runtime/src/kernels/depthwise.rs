//! Depthwise convolutions: computes one scanline of outputs, vectorized over channels.
//!
//! For 3×3 kernels with stride 1 or 2, which most networks use, and for kernels along time only, several neighbors are
//! computed at once away from the borders, so that the inputs they share are loaded once. Everything else goes tap by tap.

use super::curve::{self, Stored};
use super::{Epilogue, Lanes, Pair};

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

/// One row of output pixels of one frame, and what is needed to compute it.
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
    /// Index of the scanline.
    pub(super) y: usize,
    /// Number of outputs in the scanline.
    pub(super) width: usize,
    /// First output of the scanline.
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

/// Computes a scanline, `T` neighbors at once where possible.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn scanline<L: Lanes, const T: usize>(line: &Scanline) {
    // SAFETY: same contract.
    unsafe {
        match (line.kernel, line.stride, line.dilation) {
            ([3, 3], [1, 1], [1, 1]) => by_neighbors::<L, T, 3, 1>(line),
            ([3, 3], [2, 2], [1, 1]) => by_neighbors::<L, T, 3, 2>(line),
            ([1, 1], [1, 1], _) => by_neighbors::<L, T, 1, 1>(line),
            _ => {
                for x in 0..line.width {
                    pixel::<L>(line, x);
                }
            }
        }
        curve::bend::<L>(&line.epilogue, Stored { out: line.out, at: 0, len: line.width * line.stride_c });
    }
}

/// A scanline of a `K`×`K` kernel with stride `S`.
#[inline(always)]
unsafe fn by_neighbors<L: Lanes, const T: usize, const K: usize, const S: usize>(line: &Scanline) {
    let left = line.padding[1].div_ceil(S).min(line.width);
    // End of the outputs whose columns all lie inside.
    let inside = (line.size[1] + line.padding[1]).saturating_sub(K) / S + 1;
    let right = if line.size[1] + line.padding[1] >= K { inside.min(line.width) } else { left };
    let mut x = 0;
    // SAFETY: same contract; between `left` and `right` every column is inside.
    unsafe {
        while x < line.width {
            if x >= left && x + T <= right {
                neighbors::<L, T, K, S>(line, x);
                x += T;
            } else {
                pixel::<L>(line, x);
                x += 1;
            }
        }
    }
}

/// Computes `T` outputs from `x` on, whose columns are all inside.
#[inline(always)]
unsafe fn neighbors<L: Lanes, const T: usize, const K: usize, const S: usize>(line: &Scanline, x: usize) {
    let (first, last) = taps([line.y * S, line.padding[0]], [K, 1], line.size[0]);
    // SAFETY: same contract.
    unsafe {
        let epilogue = line.epilogue.load::<L>();
        // Wraps if no tap is inside; it is not used then.
        let y = (line.y * S + first).wrapping_sub(line.padding[0]);
        let corner = y.wrapping_mul(line.size[1]).wrapping_add(x * S - line.padding[1]);
        for c in (0..line.stride_c).step_by(L::N) {
            let mut sums = [L::splat(0.0); T];
            for frame in 0..line.frames.n {
                let mut input =
                    corner.wrapping_mul(line.stride_c).wrapping_add(frame * line.frames.stride + c);
                let tap = (frame * K + first) * K;
                let mut weights = line.weights.wrapping_add(tap * line.weight_stride + c);
                for _ in first..last {
                    let mut by = [L::splat(0.0); K];
                    for (k, by) in by.iter_mut().enumerate() {
                        *by = L::load(weights.add(k * line.weight_stride));
                    }
                    for (t, sum) in sums.iter_mut().enumerate() {
                        for (k, &by) in by.iter().enumerate() {
                            let at = input.wrapping_add((t * S + k) * line.stride_c);
                            *sum = L::read(line.frames.start, at).fma(by, *sum);
                        }
                    }
                    input = input.wrapping_add(line.size[1] * line.stride_c);
                    weights = weights.wrapping_add(K * line.weight_stride);
                }
            }
            for (t, &sum) in sums.iter().enumerate() {
                epilogue.store(sum, c, line.out, (x + t) * line.stride_c + c);
            }
        }
    }
}

/// Computes one output, tap by tap.
#[inline(always)]
unsafe fn pixel<L: Lanes>(line: &Scanline, x: usize) {
    let (y_start, x_start) = (line.y * line.stride[0], x * line.stride[1]);
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
            epilogue.store(sum, c, line.out, x * line.stride_c + c);
        }
    }
}
