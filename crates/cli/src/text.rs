//! Everything that reaches the terminal: lines, tables and JSON on stdout, notes on stderr.
//!
//! The one place that prints, so that it is also the one that escapes: class names and paths come from strangers.
//! Invariant: no control character leaves here, and JSON keeps its exact values.

use std::fmt::Write as _;
use std::io::{self, Write as _};
#[cfg(any(feature = "train", test))]
use std::time::Duration;

use anyhow::Result;
use mutualnet_core::text::{is_printable, printable, printable_lines};
use serde::Serialize;

/// Writes one line to stdout.
pub(crate) fn line(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{}", printable(text))?;
    Ok(())
}

/// Writes a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    json_text(&serde_json::to_string_pretty(value)?)
}

/// Writes JSON text.
pub(crate) fn json_text(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{}", printable_json(text))?;
    Ok(())
}

/// JSON with the same values, in which characters that are not printable are escaped: serde_json does so for some.
pub(crate) fn printable_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || is_printable(c) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("writing to a string does not fail");
            }
        }
    }
    escaped
}

/// Writes a table: every column is as wide as its widest cell, the first one flush left, the others flush right.
pub(crate) fn table<S: AsRef<str>>(head: &[S], rows: &[Vec<String>]) -> Result<()> {
    let shown = |cell: &str| printable(cell).into_owned();
    let head: Vec<_> = head.iter().map(|cell| shown(cell.as_ref())).collect();
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let write = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        line(cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    write(&head)?;
    rows.iter().try_for_each(|row| write(row))
}

/// Writes a Markdown table.
pub(crate) fn markdown(head: &[String], rows: &[Vec<String>]) -> Result<()> {
    let write = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        line(&format!("| {} |", cells.join(" | ")))
    };
    write(head)?;
    line(&format!("|---|{}", "---:|".repeat(head.len().saturating_sub(1))))?;
    rows.iter().try_for_each(|row| write(row))
}

/// Writes a message, which is not data, to stderr.
#[expect(clippy::print_stderr, reason = "this is where messages reach the terminal")]
pub(crate) fn note(text: &str) {
    eprintln!("{}", printable(text));
}

/// Writes an error message to stderr; it may have several lines, as those of TOML do.
#[expect(clippy::print_stderr, reason = "this is where messages reach the terminal")]
pub(crate) fn error(text: &str) {
    eprintln!("{}", printable_lines(text));
}

/// `1 h 05 min`, `3 min 20 s`, `12 s`.
#[cfg(any(feature = "train", test))]
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s:02} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

/// What stands behind what was done: the time left, if it is known.
#[cfg(any(feature = "train", test))]
pub(crate) fn left(time: Option<Duration>) -> String {
    time.map_or(String::new(), |time| format!(" · {} left", duration(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_values_and_has_no_control_characters() {
        let value = "\x1b[2J \u{9b}31m \u{202e} \u{7f} \u{e0041} größer\n";
        let text = printable_json(&serde_json::to_string_pretty(&[value]).unwrap());
        assert!(text.chars().all(|c| c == '\n' || is_printable(c)), "{text:?}");
        assert!(text.contains("größer"));
        assert_eq!(serde_json::from_str::<[String; 1]>(&text).unwrap(), [value]);
    }

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [(9, "9 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
