//! Budgets: what a prediction may cost, in multiply-accumulates or in time.
//!
//! A budget is a hard limit: nothing that costs more, by however little, fits it.
//! Invariant: costs are rounded up when they are printed, so a cost that was copied from any output buys what it
//! belongs to.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod parse;

/// Multiply-accumulates of convolutions, linear layers and average pools: what the papers call FLOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Macs(pub u64);

/// Units that MACs are printed in, and how many MACs each has.
const UNITS: [(&str, u64); 5] =
    [("", 1), (" k", 1_000), (" M", 1_000_000), (" G", 1_000_000_000), (" T", 1_000_000_000_000)];

impl Macs {
    /// As a float, for ratios and plots.
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// The number that is printed: this one, rounded up to three significant digits.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let mut step = 1_u64;
        while self.0.div_ceil(step) >= 1_000 {
            step *= 10;
        }
        Self(self.0.div_ceil(step).saturating_mul(step))
    }
}

impl std::ops::Add for Macs {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Macs {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |a, b| a + b)
    }
}

/// Three significant digits, rounded up: `569 M`, `4.09 G`. The text reads as a budget that buys this cost.
impl fmt::Display for Macs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let macs = self.rounded_up().0;
        let (unit, scale) = unit_of(macs);
        let (whole, rest) = (macs / scale, macs % scale);
        let digits = match whole {
            _ if scale == 1 => 0,
            0..10 => 2,
            10..100 => 1,
            _ => 0,
        };
        match digits {
            0 => f.pad(&format!("{whole}{unit}")),
            // What is cut off here is zeros.
            _ => f.pad(&format!("{whole}.{:0digits$}{unit}", rest / (scale / 10_u64.pow(digits as u32)))),
        }
    }
}

/// The largest unit of which there is at least one.
fn unit_of(macs: u64) -> (&'static str, u64) {
    UNITS.into_iter().rev().find(|(_, scale)| macs >= *scale).unwrap_or(UNITS[0])
}

/// What one prediction may cost at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Multiply-accumulates.
    Macs(Macs),
    /// Wall time.
    Latency(Duration),
}

impl Budget {
    /// Reads a latency such as `10ms`, with the syntax of budgets.
    ///
    /// # Errors
    /// The text is no latency.
    pub fn latency_from_str(text: &str) -> Result<Self> {
        let wrong = |problem| Err(Error::Latency { text: text.trim().to_owned(), problem });
        match text.parse() {
            Ok(budget @ Self::Latency(_)) => Ok(budget),
            Ok(Self::Macs(_)) if text.ends_with(|c: char| c.is_alphabetic()) => {
                wrong("is a number of MACs, which `--budget` takes")
            }
            Ok(Self::Macs(_)) => wrong("has no unit of time"),
            Err(Error::Budget { problem, .. }) => wrong(problem),
            Err(error) => Err(error),
        }
    }
}

/// The limit itself, to its last digit: a budget that was rounded would look as if it bought more.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macs(Macs(macs)) => {
                let (unit, scale) = unit_of(*macs);
                let digits = scale.ilog10() as usize;
                let text = match digits {
                    0 => macs.to_string(),
                    _ => format!("{}.{:0digits$}", macs / scale, macs % scale),
                };
                write!(f, "{}{unit} MACs", without_zeros(&text))
            }
            Self::Latency(time) => {
                let nanoseconds = time.as_nanos();
                let text = format!("{}.{:06}", nanoseconds / 1_000_000, nanoseconds % 1_000_000);
                write!(f, "{} ms", without_zeros(&text))
            }
        }
    }
}

/// A decimal number without zeros at its end.
fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

impl FromStr for Budget {
    type Err = Error;

    /// MACs (`150M`, `2.3 GMACs`, `10MFLOPs`, `7030000`) or a latency (`10ms`, `800 µs`, `0.5s`).
    fn from_str(text: &str) -> Result<Self> {
        parse::budget(text)
    }
}

/// A measured time, for comparing it with a latency budget: what the text `{ms} ms` reads as.
///
/// Times that are no duration (negative, not finite, above centuries) count as the longest there is.
pub fn duration_of_ms(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX)
}

/// A time in milliseconds, rounded up to a microsecond: `0.101`. With `ms` behind it, it reads as a budget that buys it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InMs(pub Duration);

impl fmt::Display for InMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0.as_nanos().div_ceil(1_000);
        f.pad(&format!("{}.{:03}", microseconds / 1_000, microseconds % 1_000))
    }
}

#[cfg(test)]
mod tests;
