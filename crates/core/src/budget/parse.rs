//! Budgets as people write them.
//!
//! The one parser of budgets. Separate because the forms are many.
//! Invariant: a text that could mean two things is refused with the reason; it is never guessed.

use std::time::Duration;

use super::{Budget, Macs, duration_of_ms};
use crate::{Error, Result};

/// More MACs than any row may have, and less than the type holds.
const MAX_MACS: u128 = 10_000_000_000_000_000_000;
/// A longer latency than anybody waits for: thirty years.
const MAX_MS: f64 = 1e12;

/// Words for MACs that may follow a number, in lower case. Papers call MACs FLOPs, and so may a budget.
const MAC_WORDS: [&str; 12] = [
    "macs",
    "mac",
    "flops",
    "flop",
    "madds",
    "madd",
    "mult-adds",
    "multiply-adds",
    "multiply-accumulates",
    "mult-add",
    "multiply-add",
    "multiply-accumulate",
];

/// Units of time, and milliseconds in each as a factor or a divisor: divisions by powers of ten are exact.
const TIMES: [(&[&str], f64, f64); 4] = [
    (&["s", "sec", "secs", "second", "seconds"], 1e3, 1.0),
    (&["ms", "msec", "msecs", "millisecond", "milliseconds"], 1.0, 1.0),
    // The micro sign and the Greek letter look the same.
    (&["us", "\u{b5}s", "\u{3bc}s", "usec", "usecs", "microsecond", "microseconds"], 1.0, 1e3),
    (&["ns", "nsec", "nsecs", "nanosecond", "nanoseconds"], 1.0, 1e6),
];

pub(super) fn budget(text: &str) -> Result<Budget> {
    let trimmed = text.trim();
    read(trimmed).map_err(|problem| Error::Budget { text: trimmed.to_owned(), problem })
}

fn read(text: &str) -> Result<Budget, &'static str> {
    let (number, unit) = split(text);
    if let Some((_, factor, divisor)) = TIMES.into_iter().find(|(names, ..)| names.contains(&unit)) {
        return latency(number, factor, divisor).map(Budget::Latency);
    }
    let unit = unit.to_lowercase();
    let word = MAC_WORDS.into_iter().find(|word| unit.ends_with(word)).unwrap_or("");
    let prefix = unit[..unit.len() - word.len()].trim_end();
    let exponent = match prefix {
        "" => 0,
        "k" => 3,
        // A lower-case m alone is a slip for `ms` as easily as for `M`.
        "m" if word.is_empty() && text.ends_with('m') => return Err("could mean M (MACs) or ms"),
        "m" => 6,
        "g" | "b" => 9,
        "t" => 12,
        _ => return Err("is not a budget"),
    };
    macs(number, exponent).map(Budget::Macs)
}

/// The number, with its sign and exponent, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ',' | '_');
    let mut end = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let rest = &text[end..];
    if end > 0 && rest.starts_with(['e', 'E']) {
        let power = rest[1..].trim_start_matches(['+', '-']);
        let digits = power.len() - power.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            end = text.len() - power.len() + digits;
        }
    }
    (&text[..end], text[end..].trim_start())
}

fn latency(number: &str, factor: f64, divisor: f64) -> Result<Duration, &'static str> {
    if number.contains(',') {
        return Err("has a comma: write the decimal point as `.`");
    }
    let value: f64 = number.parse().map_err(|_| "is not a budget")?;
    let ms = value * factor / divisor;
    if ms > MAX_MS {
        return Err("is too large for a budget");
    }
    let time = duration_of_ms(ms);
    if ms <= 0.0 || time.is_zero() { Err("is not above 0") } else { Ok(time) }
}

/// A decimal number times a power of ten, exactly; what is below one MAC is cut off, since costs are whole.
fn macs(number: &str, exponent: i32) -> Result<Macs, &'static str> {
    let number = ungrouped(number, exponent)?;
    let (mantissa, power) = number.split_once(['e', 'E']).unwrap_or((&number, "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a budget");
    }
    let digits = digits.trim_start_matches('0');
    if sign == "-" || digits.is_empty() {
        return Err("is not above 0");
    }
    let out_of_range = if power.starts_with('-') { "is below one MAC" } else { "is too large for a budget" };
    let power: i32 = power.parse().map_err(|_| out_of_range)?;
    let shift =
        power.saturating_add(exponent).saturating_sub(i32::try_from(fraction.len()).unwrap_or(i32::MAX));
    // Digits before the decimal point once the power is applied.
    let n_whole = i32::try_from(digits.len()).unwrap_or(i32::MAX).saturating_add(shift);
    if n_whole > 19 {
        return Err("is too large for a budget");
    }
    let kept = usize::try_from(n_whole).unwrap_or(0).min(digits.len());
    let (kept, cut) = digits.split_at(kept);
    if exponent == 0 && power == 0 && cut.bytes().any(|digit| digit != b'0') {
        return Err("has no unit, and is not a whole number of MACs");
    }
    let zeros = if shift > 0 { 10_u128.pow(shift as u32) } else { 1 };
    let value = kept.parse::<u128>().unwrap_or(0) * zeros;
    match value {
        0 => Err("is below one MAC"),
        1..MAX_MACS => Ok(Macs(value as u64)),
        _ => Err("is too large for a budget"),
    }
}

/// Without separators of thousands: `7,030,000` and `7_030_000`.
fn ungrouped(number: &str, exponent: i32) -> Result<String, &'static str> {
    let Some(separator) = number.chars().find(|c| matches!(c, ',' | '_')) else {
        return Ok(number.to_owned());
    };
    let whole = number.split('.').next().unwrap_or(number);
    let mut groups = whole.trim_start_matches(['+', '-']).split(separator);
    let first = groups.next().unwrap_or("");
    let is_group = |group: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_grouped = is_group(first, 1..=3) && groups.all(|group| is_group(group, 3..=3));
    // Before a unit, a comma may as well be a decimal point: 7,030M.
    if !is_grouped || (separator == ',' && exponent != 0) {
        return Err(match separator {
            ',' => "has a comma: write the decimal point as `.`",
            _ => "is not a budget",
        });
    }
    Ok(number.replace(separator, ""))
}
