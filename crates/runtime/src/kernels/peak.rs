//! A loop that does nothing but multiply and add in registers, whose speed no kernel exceeds.

use super::Lanes;

/// Adds `rounds` products to each of `S` independent vectors, and returns one number that depends on all of them.
///
/// # Safety
/// That of [`Lanes`].
#[inline(always)]
pub(super) unsafe fn multiply_and_add<L: Lanes, const S: usize>(rounds: usize) -> f32 {
    // SAFETY: the contract above; the array is as long as a panel, so as a vector at least.
    unsafe {
        let (factor, addend) = (L::splat(std::hint::black_box(0.5)), L::splat(1.0));
        let mut sums = [addend; S];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = sum.fma(factor, addend);
            }
        }
        let mut total = L::splat(0.0);
        for sum in sums {
            total = total.add(sum);
        }
        let mut numbers = [0.0; super::PANEL];
        total.store(numbers.as_mut_ptr());
        numbers[0]
    }
}
