//! Elementwise layers that are not fused with a convolution: only an epilogue.

use super::curve::{self, Stored};
use super::{Epilogue, Lanes};

/// Consecutive pixels of one image.
pub(super) struct Span {
    pub(super) input: *const u8,
    /// A factor per channel; null if there is no gate.
    pub(super) gate: *const u8,
    pub(super) out: *mut u8,
    pub(super) pixels: usize,
    /// Channel stride of input, gate and output.
    pub(super) stride_c: usize,
    pub(super) epilogue: Epilogue,
}

/// Applies the epilogue to every number of the span.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for `pixels × stride_c` numbers, and scale, shift and gate for `stride_c`.
#[inline(always)]
pub(super) unsafe fn span<L: Lanes>(span: &Span) {
    // SAFETY: the contract above.
    unsafe {
        let epilogue = span.epilogue.load::<L>();
        for pixel in 0..span.pixels {
            for c in (0..span.stride_c).step_by(L::N) {
                let at = pixel * span.stride_c + c;
                let mut value = L::read(span.input, at);
                if !span.gate.is_null() {
                    value = value.mul(L::read(span.gate, c));
                }
                epilogue.store(value, c, span.out, at);
            }
        }
        curve::bend::<L>(&span.epilogue, Stored { out: span.out, at: 0, len: span.pixels * span.stride_c });
    }
}
