//! Depthwise convolutions: one row of outputs, vectorized over channels.
//!
//! 3×3 at stride 1 and 2, which is what networks are made of, computes several neighbors at once away from the
//! borders, so that inputs they share are loaded once; everything else goes tap by tap.

use super::{Epilogue, Lanes, Pair, curve};

/// One row of outputs of one image.
pub(super) struct Row {
    /// The image.
    pub(super) input: *const f32,
    /// Height and width of the image.
    pub(super) size: Pair,
    /// Channel stride of input and output: channels with their tail.
    pub(super) stride_c: usize,
    /// `[taps][weight_stride]`.
    pub(super) weights: *const f32,
    /// Channel stride of the weights: that of the full width.
    pub(super) weight_stride: usize,
    pub(super) kernel: Pair,
    pub(super) stride: Pair,
    pub(super) padding: Pair,
    /// Which row.
    pub(super) y: usize,
    /// Outputs in the row.
    pub(super) width: usize,
    /// First output of the row.
    pub(super) out: *mut f32,
    pub(super) epilogue: Epilogue,
}

/// Which taps of a kernel of `kernel` hit an input of `size` when it begins `start - padding` into it.
#[inline(always)]
pub(super) fn taps(start: usize, padding: usize, kernel: usize, size: usize) -> (usize, usize) {
    let first = padding.saturating_sub(start).min(kernel);
    let last = (size + padding).saturating_sub(start).min(kernel);
    (first, last.max(first))
}

/// Computes a row; `T` neighbors at once where possible.
///
/// # Safety
/// That of [`Lanes`]; the pointers are good for what the fields say.
#[inline(always)]
pub(super) unsafe fn row<L: Lanes, const T: usize>(row: &Row) {
    // SAFETY: same contract.
    unsafe {
        match (row.kernel, row.stride) {
            ([3, 3], [1, 1]) => row_3x3::<L, T, 1>(row),
            ([3, 3], [2, 2]) => row_3x3::<L, T, 2>(row),
            _ => {
                for x in 0..row.width {
                    pixel::<L>(row, x);
                }
            }
        }
        if let Some(bend) = row.epilogue.curve {
            curve::bend::<L>(bend, row.out, row.width * row.stride_c);
        }
    }
}

#[inline(always)]
unsafe fn row_3x3<L: Lanes, const T: usize, const S: usize>(row: &Row) {
    let left = row.padding[1].div_ceil(S).min(row.width);
    // Outputs whose three columns all lie inside.
    let inside = (row.size[1] + row.padding[1]).saturating_sub(3) / S + 1;
    let right = if row.size[1] + row.padding[1] >= 3 { inside.min(row.width) } else { left };
    let mut x = 0;
    // SAFETY: same contract; between `left` and `right` no column is outside.
    unsafe {
        while x < row.width {
            if x >= left && x + T <= right {
                neighbors_3x3::<L, T, S>(row, x);
                x += T;
            } else {
                pixel::<L>(row, x);
                x += 1;
            }
        }
    }
}

/// `T` outputs from `x` on, none of whose columns is outside.
#[inline(always)]
unsafe fn neighbors_3x3<L: Lanes, const T: usize, const S: usize>(row: &Row, x: usize) {
    let (first, last) = taps(row.y * S, row.padding[0], 3, row.size[0]);
    // SAFETY: same contract.
    unsafe {
        let epilogue = row.epilogue.load::<L>();
        // Wraps where no row is inside; it is not used then.
        let y = (row.y * S + first).wrapping_sub(row.padding[0]);
        let corner = y.wrapping_mul(row.size[1]).wrapping_add(x * S - row.padding[1]);
        for c in (0..row.stride_c).step_by(L::N) {
            let mut sums = [L::splat(0.0); T];
            let mut input = row.input.wrapping_add(corner.wrapping_mul(row.stride_c) + c);
            let mut weights = row.weights.wrapping_add(first * 3 * row.weight_stride + c);
            for _ in first..last {
                let by = [
                    L::load(weights),
                    L::load(weights.add(row.weight_stride)),
                    L::load(weights.add(2 * row.weight_stride)),
                ];
                for (t, sum) in sums.iter_mut().enumerate() {
                    for (k, &by) in by.iter().enumerate() {
                        *sum = L::load(input.add((t * S + k) * row.stride_c)).fma(by, *sum);
                    }
                }
                input = input.wrapping_add(row.size[1] * row.stride_c);
                weights = weights.wrapping_add(3 * row.weight_stride);
            }
            for (t, &sum) in sums.iter().enumerate() {
                epilogue.store(sum, c, row.out, (x + t) * row.stride_c + c);
            }
        }
    }
}

/// One output, tap by tap.
#[inline(always)]
unsafe fn pixel<L: Lanes>(row: &Row, x: usize) {
    let (y_start, x_start) = (row.y * row.stride[0], x * row.stride[1]);
    let (y_first, y_last) = taps(y_start, row.padding[0], row.kernel[0], row.size[0]);
    let (x_first, x_last) = taps(x_start, row.padding[1], row.kernel[1], row.size[1]);
    // SAFETY: same contract; the taps are those that lie inside.
    unsafe {
        let epilogue = row.epilogue.load::<L>();
        for c in (0..row.stride_c).step_by(L::N) {
            let mut sum = L::splat(0.0);
            for ky in y_first..y_last {
                for kx in x_first..x_last {
                    let position =
                        (y_start + ky - row.padding[0]) * row.size[1] + x_start + kx - row.padding[1];
                    let by = L::load(row.weights.add((ky * row.kernel[1] + kx) * row.weight_stride + c));
                    sum = L::load(row.input.add(position * row.stride_c + c)).fma(by, sum);
                }
            }
            epilogue.store(sum, c, row.out, x * row.stride_c + c);
        }
    }
}
