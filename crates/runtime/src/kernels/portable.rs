//! Kernels in plain Rust, for every processor.

use super::{Lanes, kernels_for, rounded, widened};

#[derive(Clone, Copy)]
struct Plain([f32; 4]);

impl Lanes for Plain {
    const N: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { from.cast::<[u16; 4]>().read_unaligned() }.map(widened))
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut u16) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[u16; 4]>().write_unaligned(self.0.map(rounded)) }
    }

    #[inline(always)]
    unsafe fn masked(self, mask: u32) -> Self {
        Self(self.0.map(|number| f32::from_bits(number.to_bits() & mask)))
    }

    #[inline(always)]
    unsafe fn shifted(self) -> Self {
        Self(self.0.map(|number| f32::from_bits(number.to_bits() << 16)))
    }

    /// Rounds twice, because a fused multiply-add is a slow function call on a processor without one.
    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (self.0, by.0, plus.0);
        Self([a * e + i, b * f + j, c * g + k, d * h + l])
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a + e, b + f, c + g, d + h])
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a * e, b * f, c * g, d * h])
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a / e, b / f, c / g, d / h])
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        let mut out = other.0;
        for (value, other) in out.iter_mut().zip(self.0) {
            // A NaN in `other` compares as not larger, and stays.
            *value = if other > *value || other.is_nan() { other } else { *value };
        }
        Self(out)
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        Self(self.0.map(f32::round_ties_even))
    }

    /// Builds the number from its exponent.
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        Self(self.0.map(|power| f32::from_bits(((power as i32).wrapping_add(127) as u32) << 23)))
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        let mut out = self.0;
        for ((value, low), high) in out.iter_mut().zip(low.0).zip(high.0) {
            *value = if *value < low { low } else { *value };
            *value = if *value > high { high } else { *value };
        }
        Self(out)
    }
}

kernels_for!(
    Plain,
    [],
    tiles: [4: [1, 2, 3]],
    neighbors: 2,
    sums: 3,
    dense: tile
);

/// Kernels whose feature maps and weights hold bf16.
pub(super) mod half {
    use super::super::half::Half;
    use super::*;

    kernels_for!(
        Half<Plain>,
        [],
        tiles: [4: [1, 2, 3]],
        neighbors: 2,
        sums: 3,
        dense: tile_of_pairs
    );
}
