//! Non-linearities that are not clamps, which are applied to what a kernel has just stored.
//!
//! They are separate from the epilogue, which is inside unrolled loops. A loop of its own over numbers that are still in
//! the first-level cache costs little, and keeps exponentials out of every tile.

use super::{Epilogue, Lanes};

/// A non-linearity that is not a clamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
    /// `x · sigmoid(x)`.
    Swish,
    /// `x · hard_sigmoid(x)`.
    HardSwish,
}

/// Numbers that a kernel has stored.
pub(super) struct Stored {
    pub(super) out: *mut u8,
    /// The first number.
    pub(super) at: usize,
    /// A multiple of the panel.
    pub(super) len: usize,
}

/// Applies the curve of an epilogue, if it has one, to what a kernel has stored with it.
///
/// # Safety
/// That of [`Lanes`]; nothing else accesses the numbers.
#[inline(always)]
pub(super) unsafe fn bend<L: Lanes>(epilogue: &Epilogue, stored: Stored) {
    // SAFETY: the contract above. Each call has its own curve, so that no loop decides which one it is.
    unsafe {
        match epilogue.curve {
            None => {}
            Some(Curve::Sigmoid) => each::<L>(Curve::Sigmoid, epilogue, stored),
            Some(Curve::HardSigmoid) => each::<L>(Curve::HardSigmoid, epilogue, stored),
            Some(Curve::Swish) => each::<L>(Curve::Swish, epilogue, stored),
            Some(Curve::HardSwish) => each::<L>(Curve::HardSwish, epilogue, stored),
        }
    }
}

#[inline(always)]
unsafe fn each<L: Lanes>(curve: Curve, epilogue: &Epilogue, Stored { out, at, len }: Stored) {
    for at in (at..at + len).step_by(L::N) {
        // SAFETY: the contract of `bend`.
        unsafe {
            if L::BYTES < size_of::<f32>() && epilogue.is_wide {
                let at = out.cast::<f32>().add(at);
                of(curve, L::load(at)).store(at);
            } else {
                of(curve, L::read(out, at)).write(out, at);
            }
        }
    }
}

/// The value of a curve. It is a function and not a closure, because closures may be compiled without the instruction set of
/// the kernel that they are in, and then every vector operation is a call.
///
/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn of<L: Lanes>(curve: Curve, x: L) -> L {
    // SAFETY: same contract.
    unsafe {
        match curve {
            Curve::Sigmoid => sigmoid(x),
            Curve::HardSigmoid => hard_sigmoid(x),
            Curve::Swish => x.mul(sigmoid(x)),
            Curve::HardSwish => x.mul(hard_sigmoid(x)),
        }
    }
}

/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn hard_sigmoid<L: Lanes>(x: L) -> L {
    // SAFETY: same contract.
    unsafe { x.add(L::splat(3.0)).clamp(L::splat(0.0), L::splat(6.0)).mul(L::splat(1.0 / 6.0)) }
}

/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn sigmoid<L: Lanes>(x: L) -> L {
    // SAFETY: same contract.
    unsafe {
        let one = L::splat(1.0);
        one.div(one.add(exp(x.mul(L::splat(-1.0)))))
    }
}

/// `exp(x)` with an error of at most 2 units in the last place; `x` is clamped so that the result is a normal number.
///
/// If `n` is the integer nearest to `x / ln 2`, the result is `2^n` times the exponential of the rest. The magnitude of the
/// rest is at most `ln 2 / 2`, for which the first eight terms of the series are exact to single precision.
///
/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn exp<L: Lanes>(x: L) -> L {
    /// `ln 2` in two parts: its first 15 bits, so that products with small integers are exact, and the rest.
    const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    const TERMS: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 1.0 / 2.0, 1.0, 1.0];
    // SAFETY: same contract; the clamp keeps `n` from -126 to 126.
    unsafe {
        let x = x.clamp(L::splat(-87.0), L::splat(87.0));
        let n = x.mul(L::splat(std::f32::consts::LOG2_E)).round();
        let rest = n.fma(L::splat(-LN_2[0]), x);
        let rest = n.fma(L::splat(-LN_2[1]), rest);
        let mut sum = L::splat(1.0 / 5040.0);
        for term in TERMS {
            sum = sum.fma(rest, L::splat(term));
        }
        sum.mul(n.power_of_two())
    }
}
