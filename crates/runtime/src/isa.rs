//! The instruction set that the kernels use, which is detected at run time or set by a variable.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Environment variable that overrides the choice: `avx512`, `avx2`, `neon` or `portable`.
pub const ISA_VARIABLE: &str = "MUTUALNET_ISA";

/// An instruction set that the crate has kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// x86-64 with AVX-512F.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// 64-bit ARM.
    Neon,
    /// Any processor.
    Portable,
}

impl Isa {
    /// Fastest first.
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// Whether this processor has it and this build contains kernels for it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
            _ => false,
        }
    }

    /// The available instruction sets, fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The fastest one that is available, or the one that [`ISA_VARIABLE`] names.
    ///
    /// # Errors
    /// Fails if the variable names one that is unknown or not available.
    pub fn choose() -> Result<Self> {
        match std::env::var(ISA_VARIABLE) {
            Ok(name) => name.parse(),
            Err(_) => Ok(Self::available().next().expect("the portable set is always available")),
        }
    }

    /// The name by which [`ISA_VARIABLE`] selects it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    /// Parses the name of an available instruction set.
    fn from_str(name: &str) -> Result<Self> {
        let isa = Self::available().find(|isa| isa.name() == name);
        isa.ok_or_else(|| Error::isa(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for isa in Isa::available() {
            assert_eq!(isa.name().parse::<Isa>().unwrap(), isa);
        }
        let error = "mmx".parse::<Isa>().unwrap_err();
        assert!(error.hint().unwrap().contains("portable"), "{error}");
    }
}
