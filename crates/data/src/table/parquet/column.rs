//! Reads the values of a column in a row group; a row may have none.
//!
//! Invariant: as many rows as the group has, or an error.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::RowGroupReader;

use super::damage;
use crate::SampleError;
use crate::table::Rows;

/// Rows that are read at once: a group that is larger than it says is noticed after so many.
const STEP: usize = 64;

/// The bytes in a column of images, not more than a limit.
pub(super) fn images(group: &dyn RowGroupReader, column: usize, limit: u64) -> Result<Rows, SampleError> {
    let max_level = group.metadata().column(column).column_descr().max_def_level();
    let ColumnReader::ByteArrayColumnReader(reader) = group.get_column_reader(column).map_err(damage)? else {
        return Err(changed());
    };
    let mut bytes = 0;
    values(reader, max_level, rows(group)?, |image| {
        bytes += image.len() as u64;
        if bytes > limit { Err(too_large(limit)) } else { Ok(image) }
    })
}

/// The numbers in a column of labels.
pub(super) fn labels(group: &dyn RowGroupReader, column: usize) -> Result<Vec<Option<i64>>, SampleError> {
    let max_level = group.metadata().column(column).column_descr().max_def_level();
    let n_rows = rows(group)?;
    match group.get_column_reader(column).map_err(damage)? {
        ColumnReader::Int64ColumnReader(reader) => values(reader, max_level, n_rows, Ok),
        ColumnReader::Int32ColumnReader(reader) => {
            values(reader, max_level, n_rows, |label| Ok(i64::from(label)))
        }
        _ => Err(changed()),
    }
}

fn too_large(limit: u64) -> SampleError {
    let reason = format!("its images have more than {} MiB: write smaller row groups", limit >> 20);
    SampleError::Archive { reason }
}

fn changed() -> SampleError {
    SampleError::Archive { reason: "a column has changed since the file was indexed".to_owned() }
}

fn rows(group: &dyn RowGroupReader) -> Result<usize, SampleError> {
    usize::try_from(group.metadata().num_rows()).map_err(|_| changed())
}

fn values<T: DataType, V>(
    mut reader: ColumnReaderImpl<T>,
    max_level: i16,
    n_rows: usize,
    mut keep: impl FnMut(T::T) -> Result<V, SampleError>,
) -> Result<Vec<Option<V>>, SampleError> {
    let mut rows = Vec::new();
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    loop {
        levels.clear();
        values.clear();
        let step = STEP.min(n_rows - rows.len());
        let (n, ..) = reader.read_records(step, Some(&mut levels), None, &mut values).map_err(damage)?;
        if n == 0 {
            break;
        }
        let mut found = values.drain(..);
        for i in 0..n {
            let is_there = max_level == 0 || levels.get(i) == Some(&max_level);
            rows.push(if is_there { found.next().map(&mut keep).transpose()? } else { None });
        }
    }
    if rows.len() < n_rows {
        let reason = format!("it has only {} of {n_rows} records", rows.len());
        return Err(SampleError::Archive { reason });
    }
    Ok(rows)
}
