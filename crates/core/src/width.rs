//! Width: the fraction of a layer's channels that a sub-network uses.
//!
//! A width is fixed-point, so that equality, hashing and files are exact. The reference looks up floats in a list, and
//! fails on widths that are not in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A fraction of the base channels, in millionths. 1.0 is the network as published, and up to 8 is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Width(u32);

impl Width {
    const UNITS: f64 = 1e6;
    const MAX: f64 = 8.0;

    /// The network as published.
    pub const ONE: Self = Self(1_000_000);

    /// The width nearest to `fraction`, to a millionth.
    ///
    /// # Errors
    /// Fails if `fraction` is not in (0, 8].
    pub fn new(fraction: f64) -> Result<Self> {
        let units = (fraction * Self::UNITS).round();
        if units >= 1.0 && fraction <= Self::MAX {
            Ok(Self(units as u32))
        } else {
            Err(Error::OutOfRange { what: "width", value: fraction, allowed: "above 0, at most 8" })
        }
    }

    /// The fraction as the `f64` nearest to the decimal text of this width, which is how Python would read it.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / Self::UNITS
    }

    /// The exact value, in millionths.
    pub fn millionths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(100_000) {
            write!(f, "{:.1}", self.fraction())
        } else {
            write!(f, "{}", self.fraction())
        }
    }
}

impl FromStr for Width {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fraction: f64 = text.parse().map_err(|_| Error::Parse {
            what: "width",
            text: text.to_owned(),
            reason: "expected a fraction of the channels such as 0.75",
        })?;
        Self::new(fraction)
    }
}

impl TryFrom<f64> for Width {
    type Error = Error;

    fn try_from(fraction: f64) -> Result<Self> {
        Self::new(fraction)
    }
}

impl From<Width> for f64 {
    fn from(width: Width) -> Self {
        width.fraction()
    }
}

/// The closed range of widths that a network is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[Width; 2]", into = "[Width; 2]")]
pub struct WidthRange {
    smallest: Width,
    full: Width,
}

impl WidthRange {
    /// The range from `smallest` to `full`.
    ///
    /// # Errors
    /// Fails if `smallest` is larger than `full`.
    pub fn new(smallest: Width, full: Width) -> Result<Self> {
        if smallest <= full {
            Ok(Self { smallest, full })
        } else {
            Err(Error::OutOfRange {
                what: "lower end of the width range",
                value: smallest.fraction(),
                allowed: "at most the upper end",
            })
        }
    }

    /// The lower end: the narrowest sub-network.
    pub fn smallest(self) -> Width {
        self.smallest
    }

    /// The upper end: the full network, whose weights include those of every narrower one.
    pub fn full(self) -> Width {
        self.full
    }

    /// Whether `width` lies in the range, including both ends.
    pub fn contains(self, width: Width) -> bool {
        self.smallest <= width && width <= self.full
    }

    /// The widths from the smallest to the full one in steps of `step`, ascending and including both ends.
    ///
    /// # Errors
    /// Fails if `step` is not a width.
    pub fn grid(self, step: f64) -> Result<Vec<Width>> {
        let step = Width::new(step)?.0;
        let mut widths: Vec<_> = (self.smallest.0..self.full.0).step_by(step as usize).map(Width).collect();
        widths.push(self.full);
        Ok(widths)
    }
}

impl TryFrom<[Width; 2]> for WidthRange {
    type Error = Error;

    fn try_from([smallest, full]: [Width; 2]) -> Result<Self> {
        Self::new(smallest, full)
    }
}

impl From<WidthRange> for [Width; 2] {
    fn from(range: WidthRange) -> Self {
        [range.smallest, range.full]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_fraction_agree() {
        for (text, fraction) in [("0.25", 0.25), ("1.0", 1.0), ("0.35", 0.35), ("0.7", 0.7), ("1.6", 1.6)] {
            let width: Width = text.parse().unwrap();
            assert_eq!(width.fraction(), fraction);
            assert_eq!(width.to_string(), text);
        }
        assert_eq!("1".parse::<Width>().unwrap(), Width::ONE);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["0", "-1", "9", "NaN", "inf", "", "wide"] {
            assert!(text.parse::<Width>().is_err(), "{text}");
        }
    }

    #[test]
    fn grid_holds_both_ends_once() {
        let range = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        let grid = range.grid(0.05).unwrap();
        assert_eq!(grid.len(), 16);
        assert_eq!((grid[0], grid[15]), (range.smallest(), range.full()));
        assert_eq!(range.grid(0.4).unwrap().len(), 3);
    }
}
