//! Parquet files, whose images lie in compressed groups of rows.
//!
//! Separate because an image has no offset of its own: its whole group is unpacked and kept for a while.
//! Invariant: a file that its reader fails at, in whatever way, is an error.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::missing;
use crate::DecodeError;
use crate::decode::{self, check_file_size, open_file};

mod cache;
mod column;
mod scan;
pub(crate) use cache::Cache;
pub(super) use scan::scan;

/// Largest group of rows that is unpacked.
const MAX_GROUP_BYTES: u64 = 1 << 31;

/// Where the images of a file are.
#[derive(Debug)]
pub(super) struct Images {
    /// Number among the tables that share the cache.
    number: u32,
    /// Which column they are in.
    column: usize,
    groups: Vec<Group>,
    cache: Arc<Cache>,
}

/// Rows that are compressed together.
#[derive(Debug, Clone, Copy)]
struct Group {
    first_row: u32,
    n_rows: u32,
    /// Of the images, unpacked, as the file says.
    bytes: u64,
}

/// The images of a group, as far as there are any.
type Rows = Vec<Option<ByteArray>>;

impl Images {
    /// Mean size of the images that are unpacked together with a row: sizes of single ones are not known before.
    pub(super) fn row_bytes(&self, row: u32) -> u64 {
        self.group(row).map_or(0, |(_, group)| group.bytes / u64::from(group.n_rows.max(1)))
    }

    fn group(&self, row: u32) -> Option<(usize, Group)> {
        let number = self.groups.partition_point(|group| group.first_row <= row).checked_sub(1)?;
        self.groups.get(number).map(|group| (number, *group))
    }

    /// Reads the image file in a row; the rows around it are kept for a while.
    pub(super) fn read(
        &self,
        root: &Path,
        path: &Path,
        row: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let (number, group) = self.group(row).ok_or_else(missing)?;
        let key = (self.number, number as u32);
        let rows = self.cache.get(key, group.bytes, || self.unpack(root, path, number))?;
        let image =
            rows.get((row - group.first_row) as usize).and_then(Option::as_ref).ok_or_else(missing)?;
        check_file_size(image.len() as u64)?;
        buffer.clear();
        buffer.extend_from_slice(image.data());
        Ok(())
    }

    fn unpack(&self, root: &Path, path: &Path, group: usize) -> Result<Rows, DecodeError> {
        guarded(|| {
            let reader = open(root, path)?;
            let group = reader.get_row_group(group).map_err(damage)?;
            column::images(group.as_ref(), self.column, MAX_GROUP_BYTES)
        })
    }
}

/// Opens a file and reads what it says of itself.
fn open(root: &Path, path: &Path) -> Result<SerializedFileReader<File>, DecodeError> {
    SerializedFileReader::new(open_file(&root.join(path))?).map_err(damage)
}

fn damage(error: ParquetError) -> DecodeError {
    DecodeError::Archive { reason: error.to_string().split_whitespace().collect::<Vec<_>>().join(" ") }
}

/// The reader was not made for damaged files, and panics at some of them.
fn guarded<T>(work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    decode::guarded(work).unwrap_or_else(|| {
        Err(DecodeError::Archive { reason: "so damaged that its reader failed".to_owned() })
    })
}

#[cfg(test)]
pub(crate) mod tests;
