//! Resizing of feature maps without aligned corners: computes one scanline of outputs, vectorized over channels.

use super::curve::{self, Stored};
use super::{Epilogue, Lanes, Pair};

/// How values between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    Nearest,
    Bilinear,
}

/// One row of output pixels of one image or frame, and what is needed to compute it.
pub(super) struct Scanline {
    pub(super) filter: Filter,
    /// First number of the image, or of the frame that is nearest to the output's.
    pub(super) input: *const u8,
    /// Height and width of the image.
    pub(super) size: Pair,
    /// Height and width of the output.
    pub(super) out_size: Pair,
    /// Channel stride of input and output, including the tail.
    pub(super) stride_c: usize,
    /// Index of the scanline.
    pub(super) y: usize,
    /// First output of the scanline.
    pub(super) out: *mut u8,
    pub(super) epilogue: Epilogue,
}

/// The input that [`Filter::Nearest`] takes along one axis, whose sizes are `from` and `to`.
///
/// # Source
/// PyTorch, `nearest_idx`, in f32 as there.
#[inline(always)]
pub(super) fn nearest(at: usize, from: usize, to: usize) -> usize {
    let scale = from as f32 / to as f32;
    ((at as f32 * scale) as usize).min(from - 1)
}

/// The two inputs that an output lies between, and the share of the second.
///
/// # Source
/// PyTorch, `area_pixel_compute_source_index`, in f32 as there.
#[inline(always)]
fn between(filter: Filter, at: usize, from: usize, to: usize) -> (usize, usize, f32) {
    match filter {
        Filter::Nearest => {
            let nearest = nearest(at, from, to);
            (nearest, nearest, 0.0)
        }
        Filter::Bilinear => {
            let scale = from as f32 / to as f32;
            let position = (scale * (at as f32 + 0.5) - 0.5).max(0.0);
            let first = (position as usize).min(from - 1);
            (first, (first + 1).min(from - 1), position - first as f32)
        }
    }
}

/// Computes a scanline.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn scanline<L: Lanes>(line: &Scanline) {
    let (y0, y1, down) = between(line.filter, line.y, line.size[0], line.out_size[0]);
    // SAFETY: same contract; `between` gives pixels inside the image.
    unsafe {
        let epilogue = line.epilogue.load::<L>();
        let [upper, lower] = [y0, y1].map(|y| y * line.size[1] * line.stride_c);
        let (above, below) = (L::splat(1.0 - down), L::splat(down));
        for x in 0..line.out_size[1] {
            let (x0, x1, right) = between(line.filter, x, line.size[1], line.out_size[1]);
            let (left, right) = (L::splat(1.0 - right), L::splat(right));
            let [x0, x1] = [x0, x1].map(|x| x * line.stride_c);
            for c in (0..line.stride_c).step_by(L::N) {
                let across = |from: usize| {
                    let [left_of, right_of] = [x0, x1].map(|x| L::read(line.input, from + x + c));
                    right_of.fma(right, left_of.mul(left))
                };
                let value = across(lower).fma(below, across(upper).mul(above));
                epilogue.store(value, c, line.out, x * line.stride_c + c);
            }
        }
        curve::bend::<L>(
            &line.epilogue,
            Stored { out: line.out, at: 0, len: line.out_size[1] * line.stride_c },
        );
    }
}
