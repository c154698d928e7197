//! Elementwise layers that are not fused with a convolution: only an epilogue.

use super::{Epilogue, Lanes, curve};

/// Consecutive pixels of one image.
pub(super) struct Span {
    pub(super) input: *const f32,
    /// A factor per channel; null if there is no gate.
    pub(super) gate: *const f32,
    pub(super) out: *mut f32,
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
                let mut value = L::load(span.input.add(at));
                if !span.gate.is_null() {
                    value = value.mul(L::load(span.gate.add(c)));
                }
                epilogue.store(value, c, span.out, at);
            }
        }
        if let Some(bend) = span.epilogue.curve {
            curve::bend::<L>(bend, span.out, span.pixels * span.stride_c);
        }
    }
}
