//! What happens to a sum before it is stored: scale and shift, a clamp, the shortcut, another clamp.
//!
//! A non-linearity that is not a clamp comes last and is computed by [`curve`](super::curve).

use super::{Curve, Lanes};

/// `out = curve(post(pre(sum · scale[c] + shift[c]) + residual))`; all but the last are clamps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue {
    /// The scale of the first channel; there are as many numbers as lanes to write, including the tail.
    pub(crate) scale: *const f32,
    /// The shift of the first channel, likewise.
    pub(crate) shift: *const f32,
    /// The number of the shortcut that is added to the first output; null if there is no shortcut.
    pub(crate) residual: *const u8,
    /// Bounds of the first clamp.
    pub(crate) pre: [f32; 2],
    /// Bounds of the second clamp.
    pub(crate) post: [f32; 2],
    /// Whether the output holds f32 though other feature maps hold bf16.
    pub(crate) is_wide: bool,
    /// What a kernel applies to everything that it has stored.
    pub(crate) curve: Option<Curve>,
}

/// An [`Epilogue`] with its bounds in registers.
#[derive(Clone, Copy)]
pub(super) struct LoadedEpilogue<L> {
    epilogue: Epilogue,
    pre: [L; 2],
    post: [L; 2],
}

impl Epilogue {
    /// # Safety
    /// That of [`Lanes`].
    #[inline(always)]
    pub(super) unsafe fn load<L: Lanes>(self) -> LoadedEpilogue<L> {
        // SAFETY: same contract.
        unsafe {
            let pre = [L::splat(self.pre[0]), L::splat(self.pre[1])];
            let post = [L::splat(self.post[0]), L::splat(self.post[1])];
            LoadedEpilogue { epilogue: self, pre, post }
        }
    }
}

impl<L: Lanes> LoadedEpilogue<L> {
    /// Finishes the sums of channels `c..c + N` and stores them at `out + at`; the shortcut is read at `at` too.
    ///
    /// # Safety
    /// That of [`Lanes`]; scale and shift reach to `c + N`, `out` and the shortcut to `at + N`.
    #[inline(always)]
    pub(super) unsafe fn store(&self, sum: L, c: usize, out: *mut u8, at: usize) {
        // SAFETY: the contract above.
        unsafe {
            let scale = L::load(self.epilogue.scale.add(c));
            let shift = L::load(self.epilogue.shift.add(c));
            let mut value = sum.fma(scale, shift).clamp(self.pre[0], self.pre[1]);
            if !self.epilogue.residual.is_null() {
                value = value.add(L::read(self.epilogue.residual, at)).clamp(self.post[0], self.post[1]);
            }
            if L::BYTES < size_of::<f32>() && self.epilogue.is_wide {
                value.store(out.cast::<f32>().add(at));
            } else {
                value.write(out, at);
            }
        }
    }
}
