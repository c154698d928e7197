//! The vector operations that kernels need, with one implementation per instruction set.

/// A vector of `N` f32; `N` divides [`PANEL`](super::PANEL).
///
/// Feature maps may hold bf16 instead, which is the upper half of an f32: `read` and `write` convert, while weights and
/// coefficients are loaded as they are.
///
/// # Safety
/// A method may be called only if the processor has the instruction set of the implementation, and pointers must be
/// valid for `N` numbers. Alignment is not required.
/// Methods are `inline(always)` in all implementations, so that they compile to single instructions inside the functions
/// that enable the instruction set.
pub(super) trait Lanes: Copy {
    const N: usize;
    /// Bytes of a number in a feature map.
    const BYTES: usize = size_of::<f32>();

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Loads `N` bf16.
    unsafe fn load_half(from: *const u16) -> Self;
    /// Stores `N` bf16, rounded to the nearest, ties to even.
    unsafe fn store_half(self, to: *mut u16);
    /// The bits of `N` numbers of 32 bits in which `mask` has ones.
    unsafe fn masked(self, mask: u32) -> Self;
    /// The bits of `N` numbers of 32 bits, 16 places to the left.
    unsafe fn shifted(self) -> Self;
    /// Reads the numbers of a feature map from number `at` on.
    #[inline(always)]
    unsafe fn read(from: *const u8, at: usize) -> Self {
        // SAFETY: same contract.
        unsafe { Self::load(from.cast::<f32>().wrapping_add(at)) }
    }
    /// Writes to a feature map from number `at` on.
    #[inline(always)]
    unsafe fn write(self, to: *mut u8, at: usize) {
        // SAFETY: same contract.
        unsafe { self.store(to.cast::<f32>().wrapping_add(at)) }
    }
    /// Asks for the cache line of a number that will be written or read soon, where there is an instruction for it. The
    /// pointer need not be valid.
    #[inline(always)]
    unsafe fn prefetch(_soon: *const f32) {}
    /// `self * by + plus`.
    unsafe fn fma(self, by: Self, plus: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// The larger of two numbers; NaN if either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// Rounds to the nearest integer.
    unsafe fn round(self) -> Self;
    /// `2^self` for integers from -126 to 127.
    unsafe fn power_of_two(self) -> Self;
    /// `self · 2^power` for integers from -126 to 126, if the result is a normal number.
    #[inline(always)]
    unsafe fn times_power_of_two(self, power: Self) -> Self {
        // SAFETY: same contract.
        unsafe { self.mul(power.power_of_two()) }
    }
    /// Adds two products to `self`: of the upper halves of `pair` and `by` as bf16, then of the lower halves.
    #[inline(always)]
    unsafe fn dot(self, pair: Self, by: Self) -> Self {
        // SAFETY: same contract.
        unsafe { dot_by_halves(self, pair, by) }
    }
    /// NaN stays NaN.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
}

/// [`Lanes::dot`] by two multiply-adds, whose products are exact.
///
/// # Safety
/// That of [`Lanes`].
#[inline(always)]
pub(super) unsafe fn dot_by_halves<L: Lanes>(sum: L, pair: L, by: L) -> L {
    const UPPER: u32 = 0xffff_0000;
    // SAFETY: same contract.
    unsafe { pair.shifted().fma(by.shifted(), pair.masked(UPPER).fma(by.masked(UPPER), sum)) }
}
