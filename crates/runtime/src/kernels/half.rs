//! Feature maps and weights in bf16, and the lanes that read and write them.
//!
//! All arithmetic is in f32. Invariant: products of two bf16 are exact in f32, and sums are rounded once per product, in
//! the order of [`Lanes::dot`], so that dense sums are the same, bit for bit, on every instruction set.

use super::Lanes;

/// The bf16 nearest to a number, ties to even.
pub(crate) fn rounded(number: f32) -> u16 {
    let bits = number.to_bits();
    match number.is_nan() {
        true => 0x7fc0,
        false => (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16,
    }
}

/// The number that a bf16 is.
pub(crate) fn widened(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// Lanes whose feature maps hold bf16.
#[derive(Clone, Copy)]
pub(super) struct Half<L>(L);

impl<L: Lanes> Lanes for Half<L> {
    const N: usize = L::N;
    const BYTES: usize = size_of::<u16>();

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: same contract.
        Self(unsafe { L::splat(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: same contract.
        Self(unsafe { L::load(from) })
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: same contract.
        Self(unsafe { L::load_half(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: same contract.
        unsafe { self.0.store(to) }
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut u16) {
        // SAFETY: same contract.
        unsafe { self.0.store_half(to) }
    }

    #[inline(always)]
    unsafe fn masked(self, mask: u32) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.masked(mask) })
    }

    #[inline(always)]
    unsafe fn shifted(self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.shifted() })
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.fma(by.0, plus.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.add(other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.mul(other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.div(other.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.max(other.0) })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.round() })
    }

    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.power_of_two() })
    }

    #[inline(always)]
    unsafe fn times_power_of_two(self, power: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.times_power_of_two(power.0) })
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.clamp(low.0, high.0) })
    }

    #[inline(always)]
    unsafe fn dot(self, pair: Self, by: Self) -> Self {
        // SAFETY: same contract.
        Self(unsafe { self.0.dot(pair.0, by.0) })
    }

    #[inline(always)]
    unsafe fn read(from: *const u8, at: usize) -> Self {
        // SAFETY: same contract.
        Self(unsafe { L::load_half(from.cast::<u16>().wrapping_add(at)) })
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut u8, at: usize) {
        // SAFETY: same contract.
        unsafe { self.0.store_half(to.cast::<u16>().wrapping_add(at)) }
    }
}
