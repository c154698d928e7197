//! The rows of a batch: where the images are, and the labels.
//!
//! Separate because a batch is what is whole or damaged: of a damaged one no row is added.
//! Invariant: an image lies in the buffer that its column has in the body of its batch.

use std::num::NonZeroU64;
use std::ops::Range;

use arrow_ipc::{CompressionType, MessageHeader, RecordBatch};

use super::schema::{Columns, Integer, Position};
use super::source::Source;
use super::{Span, damage};
use crate::DecodeError;
use crate::table::MAX_ROWS;

/// Images and labels of the rows so far, as far as there are any.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) images: Vec<Option<Span>>,
    pub(super) labels: Vec<Option<i64>>,
}

impl Rows {
    /// Adds the rows of the message that begins where a range does and ends in it, and says where; none at an end mark.
    pub(super) fn add(
        &mut self,
        source: &mut Source,
        range: Range<u64>,
        columns: &Columns,
    ) -> Result<Option<u64>, DecodeError> {
        let Some(metadata) = source.metadata(range.start)? else { return Ok(None) };
        let message = metadata.message()?;
        let body = metadata.body(message, range.end)?;
        let end = body.end;
        match (message.header_type(), message.header_as_record_batch()) {
            (_, Some(about)) => self.add_batch(Batch::new(source, about, body)?, columns)?,
            (MessageHeader::DictionaryBatch, _) => {}
            (kind, _) => return Err(damage(format!("a message of kind {kind:?} where a batch should be"))),
        }
        Ok(Some(end))
    }

    fn add_batch(&mut self, mut batch: Batch<'_>, columns: &Columns) -> Result<(), DecodeError> {
        if batch.n_rows > MAX_ROWS - self.labels.len() {
            return Err(damage(format!("more than {MAX_ROWS} rows")));
        }
        if batch.n_rows > 0 {
            let images = batch.images(columns)?;
            self.labels.extend(batch.labels(columns)?);
            self.images.extend(images);
        }
        Ok(())
    }
}

/// A batch whose buffers can be read.
struct Batch<'a> {
    source: &'a mut Source,
    about: RecordBatch<'a>,
    body: Range<u64>,
    n_rows: usize,
}

impl<'a> Batch<'a> {
    fn new(source: &'a mut Source, about: RecordBatch<'a>, body: Range<u64>) -> Result<Self, DecodeError> {
        if let Some(compression) = about.compression() {
            let codec = match compression.codec() {
                CompressionType::LZ4_FRAME => "LZ4",
                CompressionType::ZSTD => "Zstandard",
                _ => "something unknown",
            };
            return Err(damage(format!("compressed by {codec}: write it uncompressed, or as Parquet")));
        }
        let n_rows = usize::try_from(about.length()).map_err(|_| damage("a batch of less than no rows"))?;
        Ok(Self { source, about, body, n_rows })
    }

    fn images(&mut self, columns: &Columns) -> Result<Vec<Option<Span>>, DecodeError> {
        let around = columns.around.map(|at| self.validity(at)).transpose()?.unwrap_or_default();
        let own = self.validity(columns.images)?;
        let (data, size) = (self.buffer(columns.images, 2)?, columns.offsets.bytes);
        let offsets = self.values(columns.images, size, self.n_rows + 1)?;
        let mut ends = offsets.chunks_exact(size).map(|offset| u64::try_from(columns.offsets.value(offset)));
        let mut begin = ends.next();
        let mut images = Vec::with_capacity(self.n_rows);
        for (row, end) in ends.enumerate() {
            let (Some(Ok(first)), Ok(last)) = (begin, end) else { return Err(out_of_place()) };
            if first > last || last > data.end - data.start {
                return Err(out_of_place());
            }
            let span = NonZeroU64::new(data.start + first).map(|offset| Span { offset, bytes: last - first });
            images.push(span.filter(|_| around.has(row) && own.has(row)));
            begin = Some(end);
        }
        Ok(images)
    }

    fn labels(&mut self, columns: &Columns) -> Result<Vec<Option<i64>>, DecodeError> {
        let Integer { bytes, .. } = columns.label;
        let validity = self.validity(columns.labels)?;
        let values = self.values(columns.labels, bytes, self.n_rows)?;
        let values = values.chunks_exact(bytes).enumerate();
        Ok(values.map(|(row, value)| validity.has(row).then(|| columns.label.value(value))).collect())
    }

    /// Which rows of a column are there, after a look at how many it has.
    fn validity(&mut self, at: Position) -> Result<Validity, DecodeError> {
        let nodes = self.about.nodes().filter(|nodes| at.node < nodes.len());
        let node = nodes.map(|nodes| *nodes.get(at.node)).ok_or_else(|| damage("a batch lacks a column"))?;
        if u64::try_from(node.length()) != Ok(self.n_rows as u64) {
            return Err(damage("a column has not as many rows as its batch"));
        }
        if node.null_count() == 0 {
            return Ok(Validity::default());
        }
        let range = self.buffer(at, 0)?;
        Ok(Validity(Some(self.first(range, self.n_rows.div_ceil(8))?)))
    }

    /// The second buffer of a column, as so many values of a size.
    fn values(&mut self, at: Position, size: usize, n: usize) -> Result<Vec<u8>, DecodeError> {
        let range = self.buffer(at, 1)?;
        self.first(range, size * n)
    }

    /// So many bytes from the beginning of a buffer.
    fn first(&mut self, range: Range<u64>, bytes: usize) -> Result<Vec<u8>, DecodeError> {
        let end = range.start.saturating_add(bytes as u64);
        if end > range.end {
            return Err(damage("a column is shorter than its batch"));
        }
        self.source.read(range.start..end)
    }

    /// Where a buffer of a column lies in the file.
    fn buffer(&self, at: Position, number: usize) -> Result<Range<u64>, DecodeError> {
        let index = (at.buffer + number).saturating_add(self.n_view_buffers(at.views)?);
        let buffers = self.about.buffers().filter(|buffers| index < buffers.len());
        let buffer =
            buffers.map(|buffers| *buffers.get(index)).ok_or_else(|| damage("a batch lacks a column"))?;
        let (begin, bytes) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length()));
        let (Ok(begin), Ok(bytes)) = (begin, bytes) else { return Err(out_of_place()) };
        let begin = self.body.start.checked_add(begin).ok_or_else(out_of_place)?;
        match begin.checked_add(bytes) {
            Some(end) if end <= self.body.end => Ok(begin..end),
            _ => Err(out_of_place()),
        }
    }

    /// How many further buffers the first columns of views have.
    fn n_view_buffers(&self, n_columns: usize) -> Result<usize, DecodeError> {
        let mut counts = self.about.variadicBufferCounts().into_iter().flatten();
        (0..n_columns).try_fold(0_usize, |sum, _| {
            let count = counts.next().and_then(|count| usize::try_from(count).ok());
            count.and_then(|count| sum.checked_add(count)).ok_or_else(out_of_place)
        })
    }
}

fn out_of_place() -> DecodeError {
    damage("a column lies outside its batch")
}

/// A bit for every row that is there, or none if all are.
#[derive(Default)]
struct Validity(Option<Vec<u8>>);

impl Validity {
    fn has(&self, row: usize) -> bool {
        self.0.as_ref().is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1)
    }
}

impl Integer {
    /// Of bytes in little-endian order; the largest there is for what is larger.
    fn value(self, bytes: &[u8]) -> i64 {
        let is_negative = self.signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if is_negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let value = i64::from_le_bytes(wide);
        if self.signed || value >= 0 { value } else { i64::MAX }
    }
}
