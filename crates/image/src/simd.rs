//! Plain loops over bytes, compiled for the vector instructions that the machine has, not only for those that every
//! x86-64 machine has.
//!
//! Separate because it holds the crate's `unsafe`. The loops themselves are ordinary code that the compiler vectorizes.

/// Compiles a function a second time for AVX2, and calls that version where there is AVX2; the results are the same.
///
/// A macro because a closure would have to be inlined to be compiled for anything else, and large ones are not.
#[macro_export]
macro_rules! vectorized {
    ($(#[$about:meta])* fn $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)? $body:block) => {
        $(#[$about])*
        #[allow(unsafe_code)]
        fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $kind),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($argument: $kind),*) $(-> $result)? {
                    plain($($argument),*)
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the machine has the instructions.
                    return unsafe { with_avx2($($argument),*) };
                }
            }
            plain($($argument),*)
        }
    };
}
pub use crate::vectorized;

/// Converts to a byte: clamps to its range and rounds towards zero; NaN becomes 0.
///
/// This is what `as u8` does, which the compiler does not vectorize.
#[allow(unsafe_code)]
#[allow(clippy::manual_clamp, reason = "`clamp` keeps NaN")]
#[inline(always)]
pub fn to_byte(value: f32) -> u8 {
    let value = value.max(0.0).min(255.0);
    // SAFETY: the value is from 0 to 255; `max` turns NaN into 0.
    unsafe { value.to_int_unchecked::<i32>() as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    vectorized! {
        /// One of every kind of argument.
        fn bytes(values: &[f32], out: &mut [u8]) -> usize {
            for (value, out) in values.iter().zip(&mut *out) {
                *out = to_byte(*value);
            }
            out.len()
        }
    }

    #[test]
    fn bytes_are_those_of_a_cast() {
        let ordinary = (-3000..3000).map(|i| i as f32 / 8.0 + 0.01);
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 254.999_98, 255.0, 256.0, 1e-40];
        let values: Vec<f32> = ordinary.chain(special).collect();
        let mut out = vec![0; values.len()];
        assert_eq!(bytes(&values, &mut out), values.len());
        for (value, out) in values.into_iter().zip(out) {
            assert_eq!(out, value as u8, "{value}");
        }
    }
}
