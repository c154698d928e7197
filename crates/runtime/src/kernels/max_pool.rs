//! Max pooling: one row of outputs, vectorized over channels.

use super::depthwise::taps;
use super::{Epilogue, Lanes, Pair, curve};

/// One row of outputs of one image.
pub(super) struct Row {
    /// The image.
    pub(super) input: *const f32,
    /// Height and width of the image.
    pub(super) size: Pair,
    /// Channel stride of input and output: channels with their tail.
    pub(super) stride_c: usize,
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

/// Computes a row; what lies outside of the image never wins.
///
/// # Safety
/// That of [`Lanes`]; the pointers are good for what the fields say.
#[inline(always)]
pub(super) unsafe fn row<L: Lanes>(row: &Row) {
    let y_start = row.y * row.stride[0];
    let (y_first, y_last) = taps(y_start, row.padding[0], row.kernel[0], row.size[0]);
    // SAFETY: same contract; the taps are those that lie inside.
    unsafe {
        let epilogue = row.epilogue.load::<L>();
        for x in 0..row.width {
            let x_start = x * row.stride[1];
            let (x_first, x_last) = taps(x_start, row.padding[1], row.kernel[1], row.size[1]);
            for c in (0..row.stride_c).step_by(L::N) {
                let mut largest = L::splat(f32::NEG_INFINITY);
                for iy in y_start + y_first..y_start + y_last {
                    for ix in x_start + x_first..x_start + x_last {
                        let at = (iy - row.padding[0]) * row.size[1] + ix - row.padding[1];
                        largest = largest.max(L::load(row.input.add(at * row.stride_c + c)));
                    }
                }
                epilogue.store(largest, c, row.out, x * row.stride_c + c);
            }
        }
        if let Some(bend) = row.epilogue.curve {
            curve::bend::<L>(bend, row.out, row.width * row.stride_c);
        }
    }
}
