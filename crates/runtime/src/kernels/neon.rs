//! NEON: 4 lanes; a dense tile is 6 pixels × 1 panel in 24 of the 32 registers.

#![allow(unused_unsafe, reason = "NEON belongs to the target's baseline, so that some intrinsics are safe")]

use std::arch::aarch64::*;

use super::{Lanes, kernels_for};

#[derive(Clone, Copy)]
struct F32x4(float32x4_t);

impl Lanes for F32x4 {
    const N: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vdupq_n_f32(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from))) })
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut u16) {
        // SAFETY: the trait's contract.
        unsafe {
            let bits = vreinterpretq_u32_f32(self.0);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let number = vceqq_f32(self.0, self.0);
            let rounded = vbslq_u32(number, rounded, vdupq_n_u32(0x7fc0_0000));
            vst1_u16(to, vshrn_n_u32::<16>(rounded));
        }
    }

    #[inline(always)]
    unsafe fn masked(self, mask: u32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), vdupq_n_u32(mask))) })
    }

    #[inline(always)]
    unsafe fn shifted(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(self.0))) })
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vfmaq_f32(plus.0, self.0, by.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vdivq_f32(self.0, other.0) })
    }

    /// The instruction returns NaN if an operand is NaN.
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vmaxq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vrndnq_f32(self.0) })
    }

    /// Builds the number from its exponent.
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let exponent = vaddq_s32(vcvtq_s32_f32(self.0), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        })
    }

    /// Both instructions return NaN if an operand is NaN.
    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { vminq_f32(high.0, vmaxq_f32(low.0, self.0)) })
    }
}

kernels_for!(
    F32x4,
    [target_feature(enable = "neon")],
    tiles: [4: [1, 2, 3, 4, 5, 6]],
    neighbors: 4,
    sums: 24,
    dense: tile
);

/// Kernels whose feature maps and weights hold bf16.
pub(super) mod half {
    use super::super::half::Half;
    use super::*;

    kernels_for!(
        Half<F32x4>,
        [target_feature(enable = "neon")],
        tiles: [4: [1, 2, 3, 4, 5, 6]],
        neighbors: 4,
        sums: 24,
        dense: tile_of_pairs
    );
}
