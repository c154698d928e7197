//! Writing data to stdout: lines, tables, JSON.

use std::io::{self, Write};

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
