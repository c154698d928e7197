//! Writing data to stdout: lines, tables, JSON.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

/// Writes text and a line end.
pub(crate) fn line(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Writes a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Writes rows under a head, every column as wide as its widest cell; the first is flush left, others right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let write = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        line(cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    write(&mut head.iter().copied())?;
    rows.iter().try_for_each(|row| write(&mut row.iter().map(String::as_str)))
}

/// Tells something that is not data.
#[expect(clippy::print_stderr, reason = "this is where messages reach the terminal")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// `1 h 05 min`, `3 min 20 s`, `12 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s:02} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [(9, "9 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
