//! Budgets: what a prediction may cost, in multiply-accumulates or in time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Multiply-accumulates of convolutions, linear layers and average pools: what the papers call FLOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Macs(pub u64);

impl Macs {
    /// As a float, for ratios and plots.
    pub fn as_f64(self) -> f64 {
        self.0 as f64
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

/// Three significant digits: `568 M`, `4.09 G`.
impl fmt::Display for Macs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scale, unit) = match self.0 {
            0..1_000 => return f.pad(&self.0.to_string()),
            1_000..1_000_000 => (1e3, "k"),
            1_000_000..1_000_000_000 => (1e6, "M"),
            _ => (1e9, "G"),
        };
        let value = self.as_f64() / scale;
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        f.pad(&format!("{value:.digits$} {unit}"))
    }
}

impl FromStr for Macs {
    type Err = Error;

    /// `150M`, `2.3G`, `800k` or a plain number.
    fn from_str(text: &str) -> Result<Self> {
        let error = || Error::Parse {
            what: "number of MACs",
            text: text.to_owned(),
            reason: "expected a number with k, M or G, such as 150M",
        };
        let trimmed = text.trim();
        let (number, scale) = match trimmed.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&trimmed[..at], 1e3),
            Some((at, 'M' | 'm')) => (&trimmed[..at], 1e6),
            Some((at, 'G' | 'g')) => (&trimmed[..at], 1e9),
            _ => (trimmed, 1.0),
        };
        let value: f64 = number.trim_end().parse().map_err(|_| error())?;
        if value.is_finite() && (0.0..1e18).contains(&(value * scale)) {
            Ok(Self((value * scale).round() as u64))
        } else {
            Err(error())
        }
    }
}

/// What one prediction may cost at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Multiply-accumulates.
    Macs(Macs),
    /// Wall time.
    Latency(Duration),
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macs(macs) => write!(f, "{macs} MACs"),
            Self::Latency(time) => write!(f, "{:.3} ms", time.as_secs_f64() * 1e3),
        }
    }
}

impl FromStr for Budget {
    type Err = Error;

    /// `12ms`, `800us`, `1.5s` are latencies; everything else is read as [`Macs`].
    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        for (unit, seconds) in [("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("s", 1.0)] {
            if let Some(number) = trimmed.strip_suffix(unit) {
                let value = number.trim_end().parse::<f64>().ok().filter(|v| (0.0..1e9).contains(v));
                return value.map(|v| Self::Latency(Duration::from_secs_f64(v * seconds))).ok_or_else(|| {
                    Error::Parse {
                        what: "latency",
                        text: text.to_owned(),
                        reason: "expected a time such as 12ms",
                    }
                });
            }
        }
        trimmed.parse().map(Self::Macs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        for (text, budget) in [
            ("150M", Budget::Macs(Macs(150_000_000))),
            ("2.3G", Budget::Macs(Macs(2_300_000_000))),
            ("13k", Budget::Macs(Macs(13_000))),
            ("77", Budget::Macs(Macs(77))),
            ("12ms", Budget::Latency(Duration::from_millis(12))),
            ("1.5 s", Budget::Latency(Duration::from_millis(1500))),
            ("800us", Budget::Latency(Duration::from_micros(800))),
        ] {
            assert_eq!(text.parse::<Budget>().unwrap(), budget, "{text}");
        }
        for text in ["", "M", "-3M", "fast", "NaNG", "1e30G", "-1ms", "1e300s"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
    }

    #[test]
    fn macs_are_written_with_three_digits() {
        for (macs, text) in [(7, "7"), (5_400, "5.40 k"), (41_000_000, "41.0 M"), (568_790_528, "569 M")] {
            assert_eq!(Macs(macs).to_string(), text);
        }
        assert_eq!(Budget::Macs(Macs(4_089_284_608)).to_string(), "4.09 G MACs");
    }
}
