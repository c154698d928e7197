//! AVX2 with FMA: 8 lanes; a dense tile is 6 pixels × 1 panel in 12 of the 16 registers.

use std::arch::x86_64::*;

use super::{Lanes, kernels_for};

#[derive(Clone, Copy)]
struct F32x8(__m256);

impl Lanes for F32x8 {
    const N: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut u16) {
        // SAFETY: the trait's contract.
        unsafe {
            let bits = _mm256_castps_si256(self.0);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
            let nan_bits = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc0_0000));
            let rounded = _mm256_blendv_ps(_mm256_castsi256_ps(rounded), nan_bits, nan);
            let halves = _mm256_srli_epi32::<16>(_mm256_castps_si256(rounded));
            let packed = _mm256_packus_epi32(halves, halves);
            let packed = _mm256_permute4x64_epi64::<0b_11_01_10_00>(packed);
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(packed));
        }
    }

    #[inline(always)]
    unsafe fn masked(self, mask: u32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let mask = _mm256_set1_epi32(mask.cast_signed());
            _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(self.0), mask))
        })
    }

    #[inline(always)]
    unsafe fn shifted(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(self.0))) })
    }

    #[inline(always)]
    unsafe fn prefetch(soon: *const f32) {
        // SAFETY: the instruction accesses nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(soon.cast()) }
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_fmadd_ps(self.0, by.0, plus.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    /// The instruction returns the second operand if either is NaN, so only a NaN in the first one has to be restored.
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
            _mm256_blendv_ps(_mm256_max_ps(self.0, other.0), self.0, nan)
        })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
    }

    /// Builds the number from its exponent.
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        })
    }

    /// The instructions return the second operand if either is NaN.
    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_min_ps(high.0, _mm256_max_ps(low.0, self.0)) })
    }
}

kernels_for!(
    F32x8,
    [target_feature(enable = "avx2,fma")],
    tiles: [2: [1, 2, 3, 4, 5, 6]],
    neighbors: 4,
    sums: 12,
    dense: tile
);

/// Kernels whose feature maps and weights hold bf16.
pub(super) mod half {
    use super::super::half::Half;
    use super::*;

    kernels_for!(
        Half<F32x8>,
        [target_feature(enable = "avx2,fma")],
        tiles: [2: [1, 2, 3, 4, 5, 6]],
        neighbors: 4,
        sums: 12,
        dense: tile_of_pairs
    );
}
