//! AVX-512F: 16 lanes; a dense tile is 12 pixels × 2 panels in 24 of the 32 registers.

use std::arch::x86_64::*;

use super::lanes::dot_by_halves;
use super::{Lanes, kernels_for};

/// With `DOT`, products of pairs and the rounding to bf16 are instructions of their own, which treat denormal numbers as
/// zeros.
#[derive(Clone, Copy)]
struct F32x16<const DOT: bool>(__m512);

/// Whether the processor multiplies pairs of bf16.
pub(super) fn has_dot() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

impl<const DOT: bool> Lanes for F32x16<DOT> {
    const N: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut u16) {
        // SAFETY: the trait's contract.
        unsafe {
            if DOT {
                let halves = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0));
                _mm256_storeu_si256(to.cast(), halves);
                return;
            }
            let bits = _mm512_castps_si512(self.0);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            let rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0_0000));
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            _mm256_storeu_si256(to.cast(), halves);
        }
    }

    #[inline(always)]
    unsafe fn masked(self, mask: u32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let mask = _mm512_set1_epi32(mask.cast_signed());
            _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(self.0), mask))
        })
    }

    #[inline(always)]
    unsafe fn shifted(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0))) })
    }

    #[inline(always)]
    unsafe fn prefetch(soon: *const f32) {
        // SAFETY: the instruction accesses nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(soon.cast()) }
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_fmadd_ps(self.0, by.0, plus.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    /// The instruction returns the second operand if either is NaN, so only a NaN in the first one has to be restored.
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            _mm512_mask_mov_ps(_mm512_max_ps(self.0, other.0), nan, self.0)
        })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
    }

    /// Builds the number from its exponent.
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        })
    }

    #[inline(always)]
    unsafe fn times_power_of_two(self, power: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_scalef_ps(self.0, power.0) })
    }

    #[inline(always)]
    unsafe fn dot(self, pair: Self, by: Self) -> Self {
        // SAFETY: the trait's contract; with `DOT`, kernels are compiled for the instruction.
        unsafe {
            if DOT {
                let pair = std::mem::transmute::<__m512, __m512bh>(pair.0);
                let by = std::mem::transmute::<__m512, __m512bh>(by.0);
                Self(_mm512_dpbf16_ps(self.0, pair, by))
            } else {
                dot_by_halves(self, pair, by)
            }
        }
    }

    /// The instructions return the second operand if either is NaN.
    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_min_ps(high.0, _mm512_max_ps(low.0, self.0)) })
    }
}

kernels_for!(
    F32x16<false>,
    [target_feature(enable = "avx512f")],
    tiles: [1: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 2: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
    neighbors: 4,
    sums: 24,
    dense: tile
);

/// Kernels whose feature maps and weights hold bf16.
pub(super) mod half {
    use super::super::half::Half;
    use super::*;

    kernels_for!(
        Half<F32x16<false>>,
        [target_feature(enable = "avx512f")],
        tiles: [1: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 2: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
        neighbors: 4,
        sums: 24,
        dense: tile_of_pairs
    );
}

/// Kernels that multiply pairs of bf16 with one instruction.
pub(super) mod dot {
    use super::super::half::Half;
    use super::*;

    kernels_for!(
        Half<F32x16<true>>,
        [target_feature(enable = "avx512f,avx512bf16")],
        tiles: [1: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 2: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
        neighbors: 4,
        sums: 24,
        dense: tile_of_pairs
    );
}
