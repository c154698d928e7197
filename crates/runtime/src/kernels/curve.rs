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
            Curve::Sigmoid => L::splat(1.0).div(inverse_sigmoid(x)),
            Curve::HardSigmoid => hard_sigmoid(x),
            Curve::Swish => x.div(inverse_sigmoid(x)),
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

/// `1 / sigmoid(x)`, which is `1 + exp(-x)`. The rounding of the exponent adds a relative error of `|x| · 2⁻²⁴`.
///
/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn inverse_sigmoid<L: Lanes>(x: L) -> L {
    // SAFETY: same contract.
    unsafe { L::splat(1.0).add(power_of_two(x.mul(L::splat(-std::f32::consts::LOG2_E)))) }
}

/// `2^y` with a relative error of at most `2 · 10⁻⁷`; `y` is clamped so that the result is a normal number.
///
/// If `n` is the integer nearest to `y`, the result is `2^n` times the power of the rest, whose magnitude is at most a half.
/// There the polynomial has the least relative error among those of its degree that are 1 at 0.
///
/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn power_of_two<L: Lanes>(y: L) -> L {
    #[expect(clippy::approx_constant, reason = "a coefficient of the polynomial, which differs from ln 2")]
    const TERMS: [f32; 5] = [0.009_671_513, 0.055_507_336, 0.240_222_42, 0.693_147, 1.0];
    // SAFETY: same contract.
    unsafe {
        let y = y.clamp(L::splat(-126.0), L::splat(126.0));
        let n = y.round();
        let rest = n.fma(L::splat(-1.0), y);
        let mut sum = L::splat(0.001_326_472_7);
        for term in TERMS {
            sum = sum.fma(rest, L::splat(term));
        }
        sum.times_power_of_two(n)
    }
}
