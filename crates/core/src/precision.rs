//! The numbers that the run side computes with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What weights and feature maps are held in; sums are single precision in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// The upper half of a single-precision number: 8 bits of precision.
    Bf16,
}

impl Precision {
    /// All of them, the most precise first.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Whether it is single precision, which files and tables leave out.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == text).ok_or_else(|| Error::Parse {
            what: "precision",
            text: text.to_owned(),
            reason: "the precisions are f32 and bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.name().parse::<Precision>().unwrap(), precision);
        }
        let error = "fp16".parse::<Precision>().unwrap_err();
        assert_eq!(error.to_string(), "`fp16` is not a precision: the precisions are f32 and bf16");
    }
}
