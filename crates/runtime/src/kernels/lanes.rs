//! The vector operations that kernels need, with one implementation per instruction set.

/// A vector of `N` f32; `N` divides [`PANEL`](super::PANEL).
///
/// # Safety
/// A method may be called only if the processor has the instruction set of the implementation, and pointers must be
/// valid for `N` numbers. Alignment is not required.
/// Methods are `inline(always)` in all implementations, so that they compile to single instructions inside the functions
/// that enable the instruction set.
pub(super) trait Lanes: Copy {
    const N: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
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
    /// NaN stays NaN.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
}
