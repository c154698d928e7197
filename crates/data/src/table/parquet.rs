//! Parquet files, which store images in compressed row groups.
//!
//! Separate from Arrow because it has a reader of its own.
//! Invariant: a file on which its reader fails, even by a panic, is an error.

use std::fs::File;
use std::path::Path;

use parquet::basic::Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{Found, Group, MAX_GROUP_BYTES, Rows, Store, columns, guarded, most_rows};
use crate::SampleError;
use mutualnet_image::decode::open_file;

mod column;

/// Reads labels and names, and where the groups are.
pub(super) fn scan(path: &Path, bytes: u64) -> Result<Found, SampleError> {
    guarded(|| {
        let reader = open(path)?;
        let most_rows = most_rows(bytes);
        let about = reader.metadata().file_metadata();
        let (column, _) = find(about, &columns::IMAGES, &[Type::BYTE_ARRAY])?;
        let (label, label_name) = find(about, &columns::LABELS, &[Type::INT64, Type::INT32])?;
        let (mut groups, mut labels) = (Vec::new(), Vec::new());
        for number in 0..reader.num_row_groups() {
            let group = reader.get_row_group(number).map_err(damage)?;
            let claimed = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
            if claimed > most_rows - labels.len() {
                return Err(SampleError::Archive { reason: format!("more than {most_rows} records") });
            }
            let found = column::labels(group.as_ref(), label)?;
            groups.push(Group {
                first_row: labels.len() as u32,
                n_rows: found.len() as u32,
                bytes: u64::try_from(group.metadata().column(column).uncompressed_size()).unwrap_or(0),
            });
            labels.extend(found);
        }
        let names = description(about).and_then(|text| columns::class_names(text, label_name));
        Ok(Found { store: Store::Parquet(column), groups, labels, names, rest: None })
    })
}

/// Unpacks the images of a group.
pub(super) fn unpack(path: &Path, column: usize, group: usize) -> Result<Rows, SampleError> {
    guarded(|| {
        let reader = open(path)?;
        let group = reader.get_row_group(group).map_err(damage)?;
        column::images(group.as_ref(), column, MAX_GROUP_BYTES)
    })
}

/// Opens a file and reads its metadata.
fn open(path: &Path) -> Result<SerializedFileReader<File>, SampleError> {
    SerializedFileReader::new(open_file(path)?).map_err(damage)
}

/// Number and name of the first of these columns that exists.
fn find(
    about: &FileMetaData,
    names: &[&'static str],
    types: &[Type],
) -> Result<(usize, &'static str), SampleError> {
    let all = about.schema_descr().columns();
    columns::find(names, |name| {
        all.iter().position(|column| {
            column.path().string() == *name
                && types.contains(&column.physical_type())
                && column.max_rep_level() == 0
        })
    })
}

/// The description of a data set that the library `datasets` writes into each of its files.
fn description(about: &FileMetaData) -> Option<&str> {
    about.key_value_metadata()?.iter().find(|pair| pair.key == "huggingface")?.value.as_deref()
}

fn damage(error: ParquetError) -> SampleError {
    SampleError::Archive { reason: error.to_string().split_whitespace().collect::<Vec<_>>().join(" ") }
}

#[cfg(test)]
pub(crate) mod tests;
