//! Arrow files, in which the images of uncompressed columns are read in place: streams, as the library `datasets` keeps
//! them, and files with a footer (Feather version 2).
//!
//! Separate from Parquet because every image has an offset of its own.
//! Invariant: nothing is taken from outside the file or the message that names it, and no more memory than is there.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use super::{Scan, Store, Table, missing};
use crate::DecodeError;
use crate::decode::open_file;
use crate::shard::read_plain;

mod batch;
mod schema;
mod source;
use batch::Rows;
use schema::Columns;
use source::Source;

/// Where the image of each row is.
#[derive(Debug, Default)]
pub(super) struct Images(Vec<Option<Span>>);

/// Part of the file; none begins where the file does.
#[derive(Debug, Clone, Copy)]
struct Span {
    offset: NonZeroU64,
    bytes: u64,
}

/// Where what cannot be used begins, and why it cannot.
type Rest = Option<(u64, DecodeError)>;

impl Images {
    /// Size of the image in a row.
    pub(super) fn row_bytes(&self, row: u32) -> u64 {
        self.span(row).map_or(0, |span| span.bytes)
    }

    /// Where the image in a row begins; 0 if there is none.
    pub(super) fn offset(&self, row: u32) -> u64 {
        self.span(row).map_or(0, |span| span.offset.get())
    }

    fn span(&self, row: u32) -> Option<Span> {
        self.0.get(row as usize).copied().flatten()
    }

    /// Reads the image file in a row.
    pub(super) fn read(&self, path: &Path, row: u32, buffer: &mut Vec<u8>) -> Result<(), DecodeError> {
        let span = self.span(row).ok_or_else(missing)?;
        read_plain(&mut open_file(path)?, span.offset.get(), span.bytes, buffer)
    }
}

/// Reads labels and names, and where the images are. What comes before damage is usable.
pub(super) fn scan(root: &Path, path: PathBuf) -> Result<Scan, DecodeError> {
    let mut source = Source::open(&root.join(&path))?;
    let bytes = source.bytes();
    let begin = source.read(0..bytes.min(8))?;
    let mut rows = Rows::default();
    let (names, rest) = match begin.as_slice() {
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => file(&mut source, &mut rows)?,
        [0xff, 0xff, 0xff, 0xff, ..] => stream(&mut source, &mut rows)?,
        [b'F', b'E', b'A', b'1', ..] => {
            return Err(damage("Feather version 1: write it as version 2, or as Parquet"));
        }
        _ => return Err(damage(format!("not an Arrow file (begins with {})", begin.escape_ascii()))),
    };
    match rest {
        Some((_, reason)) if rows.labels.is_empty() => Err(reason),
        rest => {
            let store = Store::InPlace(Images(rows.images));
            Ok(Scan { table: Table { path, bytes, store }, labels: rows.labels, names, rest })
        }
    }
}

/// Messages one after another, the schema first, up to an end mark.
fn stream(source: &mut Source, rows: &mut Rows) -> Result<(Option<Vec<String>>, Rest), DecodeError> {
    let no_schema = || damage("it does not begin with a schema");
    let metadata = source.metadata(0)?.ok_or_else(no_schema)?;
    let message = metadata.message()?;
    let schema = message.header_as_schema().ok_or_else(no_schema)?;
    let (columns, names) = Columns::find(schema, message.version())?;
    let end = source.bytes();
    let mut at = metadata.body(message, end)?.end;
    let rest = loop {
        if at == end {
            break Some((at, damage("it ends without an end mark, so the rest may be missing")));
        }
        match rows.add(source, at..end, &columns) {
            Ok(Some(next)) => at = next,
            Ok(None) => break None,
            Err(reason) => break Some((at, reason)),
        }
    };
    Ok((names, rest))
}

/// Messages in the order of a footer, which the file ends with.
fn file(source: &mut Source, rows: &mut Rows) -> Result<(Option<Vec<String>>, Rest), DecodeError> {
    let footer = source.footer()?;
    let about = footer.parse()?;
    let schema = about.schema().ok_or_else(|| damage("its footer has no schema"))?;
    let (columns, names) = Columns::find(schema, about.version())?;
    // Writers append; batches that overlap would make many rows of few bytes.
    let mut free = 0;
    for block in about.recordBatches().into_iter().flatten() {
        let at = u64::try_from(block.offset()).unwrap_or(u64::MAX);
        let added = match at < free {
            true => Err(damage("a batch begins in another one")),
            false => rows.add(source, at..footer.begin, &columns),
        };
        match added.and_then(|next| next.ok_or_else(|| damage("an end mark where a batch should be"))) {
            Ok(next) => free = next,
            Err(reason) => return Ok((names, Some((at, reason)))),
        }
    }
    Ok((names, None))
}

fn damage(reason: impl Into<String>) -> DecodeError {
    DecodeError::Archive { reason: reason.into() }
}

#[cfg(test)]
pub(crate) mod tests;
