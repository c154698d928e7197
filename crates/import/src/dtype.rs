//! Number types of checkpoints, and how they become f32.

/// A type of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F16,
    Bf16,
    F32,
    F64,
    /// Integers, booleans, complex and quantized numbers: never weights here. The number is the size in bytes.
    Other(u8),
}

impl Dtype {
    /// The type of a storage class, by its name without the ending, such as `Half` for `HalfStorage`.
    pub(crate) fn from_storage(name: &str) -> Option<Self> {
        Some(match name {
            "Half" => Self::F16,
            "BFloat16" => Self::Bf16,
            "Float" => Self::F32,
            "Double" => Self::F64,
            "Byte" | "Char" | "Bool" | "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" | "Untyped" => {
                Self::Other(1)
            }
            "Short" => Self::Other(2),
            "Int" | "QInt32" => Self::Other(4),
            "Long" | "ComplexFloat" => Self::Other(8),
            "ComplexDouble" => Self::Other(16),
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other(bytes) => bytes.into(),
        }
    }

    pub(crate) fn is_float(self) -> bool {
        !matches!(self, Self::Other(_))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Other(_) => "integer",
        }
    }

    /// The number in `bytes`, little-endian; `f64` is rounded to the nearest.
    ///
    /// # Panics
    /// There are not [`Self::bytes`] bytes, or the type is not a float.
    pub(crate) fn to_f32(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::F16, &[a, b]) => f32_of_f16(u16::from_le_bytes([a, b])),
            (Self::Bf16, &[a, b]) => f32::from_bits(u32::from(u16::from_le_bytes([a, b])) << 16),
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
            _ => unreachable!("callers give as many bytes as a float of the type has"),
        }
    }
}

/// IEEE half precision; every one of its numbers is an f32.
fn f32_of_f16(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f32::from(half & 0x3ff));
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        for (bits, number) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(f32_of_f16(bits), number, "{bits:x}");
        }
        assert!(f32_of_f16(0x8000).is_sign_negative() && f32_of_f16(0x7e00).is_nan());
        let rising: Vec<_> = (0..0x7c00).map(f32_of_f16).collect();
        assert!(rising.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn other_floats() {
        assert_eq!(Dtype::Bf16.to_f32(&[0x80, 0x3f]), 1.0);
        assert_eq!(Dtype::F64.to_f32(&0.1_f64.to_le_bytes()), 0.1);
        assert_eq!(Dtype::F32.to_f32(&(-1.5_f32).to_le_bytes()), -1.5);
    }
}
