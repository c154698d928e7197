//! Arrow files: streams, as Hugging Face's library `datasets` stores them, and files with a footer (Feather version 2).
//!
//! Separate from Parquet because it has a reader of its own, `arrow-ipc`. A group of rows is a batch here.
//! Invariant: a file on which its reader fails, even by a panic, is an error.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader, read_footer_length};
use arrow_ipc::{Block, root_as_footer};
use arrow_schema::{ArrowError, Schema};

use super::{Found, Group, MAX_GROUP_BYTES, Rows, Store, guarded, most_rows};
use crate::SampleError;
use mutualnet_image::decode::open_file;

mod columns;
use columns::Columns;

/// Bytes of the mark at the end of a stream.
const END_MARK: u64 = 8;

/// Bytes after a footer: its length and a mark.
const FOOTER_END: usize = 10;

/// Where the batches of a file are.
#[derive(Debug)]
pub(super) struct Batches {
    columns: Columns,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    /// Messages one after another: where the schema ends, and where the messages of each batch are.
    Stream { schema_end: u64, batches: Vec<Range<u64>> },
    /// A footer says where the batches are.
    Footer,
}

/// A reader of the columns that are needed, from batch to batch.
enum Reader {
    Stream(Box<StreamReader<File>>),
    Footer(Box<FileReader<File>>),
}

impl Reader {
    fn open(path: &Path, columns: Option<Columns>) -> Result<Self, SampleError> {
        let mut file = open_file(path)?;
        let mut start = Vec::new();
        (&file).take(6).read_to_end(&mut start).map_err(SampleError::read)?;
        if start.starts_with(b"FEA1") {
            return Err(error("Feather version 1 is not supported: write it as version 2, or as Parquet"));
        }
        let has_footer = start == b"ARROW1";
        file.seek(SeekFrom::Start(0)).map_err(SampleError::read)?;
        let columns = columns.map(|columns| columns.numbers());
        Ok(if has_footer {
            check_footer(&mut file)?;
            Self::Footer(Box::new(FileReader::try_new(file, columns).map_err(damage)?))
        } else {
            Self::Stream(Box::new(StreamReader::try_new(file, columns).map_err(damage)?))
        })
    }

    fn schema(&self) -> std::sync::Arc<Schema> {
        match self {
            Self::Stream(reader) => reader.schema(),
            Self::Footer(reader) => reader.schema(),
        }
    }

    /// The next batch, or nothing at the end.
    fn next(&mut self) -> Result<Option<RecordBatch>, SampleError> {
        let next = match self {
            Self::Stream(reader) => reader.next(),
            Self::Footer(reader) => reader.next(),
        };
        next.transpose().map_err(damage)
    }

    /// Where what was read last ends.
    fn position(&mut self) -> Result<u64, SampleError> {
        let position = match self {
            Self::Stream(reader) => reader.get_mut().stream_position(),
            Self::Footer(reader) => reader.get_mut().stream_position(),
        };
        position.map_err(SampleError::read)
    }
}

/// Checks that all that a footer promises is inside the file: its reader takes the memory first and reads afterwards.
fn check_footer(file: &mut File) -> Result<(), SampleError> {
    let bytes = file.seek(SeekFrom::End(0)).map_err(SampleError::read)?;
    let mut end = [0; FOOTER_END];
    let read_end = |mut file: &File, before: u64, buffer: &mut [u8]| {
        let start = bytes.checked_sub(before + buffer.len() as u64).ok_or_else(truncated)?;
        file.seek(SeekFrom::Start(start)).map_err(SampleError::read)?;
        file.read_exact(buffer).map_err(SampleError::read)
    };
    read_end(file, 0, &mut end)?;
    let len = read_footer_length(end).map_err(damage)?;
    if len as u64 > bytes {
        return Err(truncated());
    }
    let mut footer = vec![0; len];
    read_end(file, FOOTER_END as u64, &mut footer)?;
    let footer = root_as_footer(&footer).map_err(|reason| error(format!("damaged footer: {reason}")))?;
    let blocks = footer.recordBatches().into_iter().chain(footer.dictionaries()).flatten();
    let is_inside = |block: &Block| {
        let parts = [block.offset(), block.metaDataLength().into(), block.bodyLength()];
        let end = parts.iter().try_fold(0_u64, |end, &part| end.checked_add(u64::try_from(part).ok()?));
        end.is_some_and(|end| end <= bytes)
    };
    if blocks.into_iter().all(is_inside) { Ok(()) } else { Err(truncated()) }
}

/// Reads all batches for their labels. What comes before damage is usable.
pub(super) fn scan(path: &Path, bytes: u64) -> Result<Found, SampleError> {
    let (columns, names) = guarded(|| Columns::find(&Reader::open(path, None)?.schema()))?;
    let mut reader = guarded(|| Reader::open(path, Some(columns)))?;
    let schema_end = reader.position()?;
    let (mut batches, mut groups, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    let mut begin = schema_end;
    let rest = loop {
        match guarded(|| next_group(&mut reader, &columns, most_rows(bytes) - labels.len())) {
            Ok(Some((found, bytes))) => {
                let end = reader.position()?;
                groups.push(Group { first_row: labels.len() as u32, n_rows: found.len() as u32, bytes });
                batches.push(begin..end);
                labels.extend(found);
                begin = end;
            }
            Ok(None) if matches!(reader, Reader::Stream(_)) && reader.position()? != begin + END_MARK => {
                break Some((begin, error("it ends without an end marker, so the rest may be missing")));
            }
            Ok(None) => break None,
            Err(reason) => break Some((begin, reason)),
        }
    };
    let layout = match reader {
        Reader::Stream(_) => Layout::Stream { schema_end, batches },
        Reader::Footer(_) => Layout::Footer,
    };
    match rest {
        Some((_, reason)) if labels.is_empty() => Err(reason),
        rest => Ok(Found { store: Store::Arrow(Batches { columns, layout }), groups, labels, names, rest }),
    }
}

/// The labels of a record batch, and the bytes of its images.
type Labeled = (Vec<Option<i64>>, u64);

/// The next record batch, whose number of records is limited.
fn next_group(
    reader: &mut Reader,
    columns: &Columns,
    most_rows: usize,
) -> Result<Option<Labeled>, SampleError> {
    let Some(batch) = reader.next()? else { return Ok(None) };
    if batch.num_rows() > most_rows {
        return Err(error(format!("more than {most_rows} further records")));
    }
    Ok(Some((columns.labels(&batch)?, columns.image_bytes(&batch)?)))
}

/// Reads the images of a batch.
pub(super) fn unpack(path: &Path, batches: &Batches, number: usize) -> Result<Rows, SampleError> {
    let Batches { columns, layout } = batches;
    guarded(|| {
        let batch = match layout {
            Layout::Footer => {
                let mut file = open_file(path)?;
                check_footer(&mut file)?;
                let mut reader = FileReader::try_new(file, Some(columns.numbers())).map_err(damage)?;
                reader.set_index(number).map_err(damage)?;
                reader.next()
            }
            Layout::Stream { schema_end, batches } => {
                let part = batches.get(number).ok_or_else(changed)?;
                let stream = part_of(path, *schema_end, part).map_err(SampleError::read)?;
                StreamReader::try_new(stream, Some(columns.numbers())).map_err(damage)?.next()
            }
        };
        let batch = batch.transpose().map_err(damage)?.ok_or_else(changed)?;
        if columns.image_bytes(&batch)? > MAX_GROUP_BYTES {
            return Err(error(format!("a batch has more than {} MiB of images", MAX_GROUP_BYTES >> 20)));
        }
        columns.images(&batch)
    })
}

/// The schema of a stream and the messages of one batch, which are a stream as well.
fn part_of(path: &Path, schema_end: u64, part: &Range<u64>) -> io::Result<impl Read + use<>> {
    let mut file = File::open(path)?;
    let mut schema = Vec::new();
    (&file).take(schema_end).read_to_end(&mut schema)?;
    file.seek(SeekFrom::Start(part.start))?;
    Ok(Cursor::new(schema).chain(file.take(part.end - part.start)))
}

fn changed() -> SampleError {
    error("the file has changed since it was indexed")
}

fn truncated() -> SampleError {
    error("it ends within a batch: the file is truncated")
}

fn damage(reason: ArrowError) -> SampleError {
    if matches!(&reason, ArrowError::IoError(_, source) if source.kind() == io::ErrorKind::UnexpectedEof) {
        return truncated();
    }
    error(reason.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
}

fn error(reason: impl Into<String>) -> SampleError {
    SampleError::Archive { reason: reason.into() }
}

#[cfg(test)]
pub(crate) mod tests;
