//! Tables: Parquet and Arrow files with an image and its label in each row, as Hugging Face publishes and stores data
//! sets.
//!
//! Separate from shards because a row has a number instead of a name, and its label is in a column.
//! Images are read in groups of rows, and the latest groups are kept in memory.
//! Invariant: sizes that a file claims are checked, and damage is an error of its rows, whatever the reader does.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::data_type::ByteArray;

use crate::shard::Format;
use crate::{Expected, SampleError};
use mutualnet_image::decode::{self, check_file_size, open_file};

mod arrow;
mod cache;
mod columns;
mod parquet;
pub(crate) use cache::{CACHE_BYTES, Cache};
#[cfg(test)]
pub(crate) use {arrow::tests as arrow_tests, parquet::tests as parquet_tests};

/// Most rows of a file.
const MAX_ROWS: usize = 1 << 26;

/// Largest group of rows that is read.
const MAX_GROUP_BYTES: u64 = 1 << 31;

/// A file with a column of images.
#[derive(Debug)]
pub struct Table {
    /// Path relative to the data set's directory.
    path: PathBuf,
    /// Size of the file.
    bytes: u64,
    /// Number among the tables that share the cache.
    number: u32,
    groups: Vec<Group>,
    cache: Arc<Cache>,
    store: Store,
}

/// Rows that are read together.
#[derive(Debug, Clone, Copy)]
struct Group {
    first_row: u32,
    n_rows: u32,
    /// Of the images, unpacked, as the file says.
    bytes: u64,
}

/// The images of a group; a row may have none.
type Rows = Vec<Option<ByteArray>>;

/// How a group is read.
#[derive(Debug)]
enum Store {
    /// A Parquet file, with the number of the column that holds the images.
    Parquet(usize),
    Arrow(arrow::Batches),
}

/// What a file holds.
#[derive(Debug)]
struct Found {
    store: Store,
    groups: Vec<Group>,
    labels: Vec<Option<i64>>,
    names: Option<Vec<String>>,
    rest: Option<(u64, SampleError)>,
}

/// A table with its labels.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) table: Table,
    /// The label of every row, if it has one.
    pub(crate) labels: Vec<Option<i64>>,
    /// Names of the classes, if the file has them.
    pub(crate) names: Option<Vec<String>>,
    /// From which offset on the file cannot be used, and why.
    pub(crate) rest: Option<(u64, SampleError)>,
}

/// Reads labels and names, and where the images are; `number` tells tables of one cache apart.
pub(crate) fn scan(root: &Path, path: PathBuf, number: u32, cache: &Arc<Cache>) -> Result<Scan, SampleError> {
    let file = root.join(&path);
    let read = SampleError::read;
    let bytes = open_file(&file)?.metadata().map_err(read)?.len();
    let (found, expected) = match Format::of(&path) {
        Some(Format::Parquet) => (parquet::scan(&file, bytes), Expected::Parquet),
        _ => (arrow::scan(&file, bytes), Expected::Arrow),
    };
    let Found { store, groups, labels, names, rest } =
        found.map_err(|reason| expected.instead(&file).unwrap_or(reason))?;
    let table = Table { path, bytes, number, groups, cache: Arc::clone(cache), store };
    Ok(Scan { table, labels, names, rest })
}

/// Most rows that a file can have: each has at least a byte of its image, while labels compress to almost nothing.
fn most_rows(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).min(MAX_ROWS)
}

impl Table {
    /// Path relative to the data set's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Mean size of the images that are read together with a row: sizes of single ones are not known before.
    pub(crate) fn row_bytes(&self, row: u32) -> u64 {
        self.group(row).map_or(0, |(_, group)| group.bytes / u64::from(group.n_rows.max(1)))
    }

    fn group(&self, row: u32) -> Option<(usize, Group)> {
        let number = self.groups.partition_point(|group| group.first_row <= row).checked_sub(1)?;
        self.groups.get(number).map(|group| (number, *group))
    }

    /// Reads the image file in a row; the rows around it are kept for a while.
    pub(crate) fn read(&self, root: &Path, row: u32, buffer: &mut Vec<u8>) -> Result<(), SampleError> {
        let (number, group) = self.group(row).ok_or_else(missing)?;
        let file = root.join(&self.path);
        let unpack = || match &self.store {
            Store::Parquet(column) => parquet::unpack(&file, *column, number),
            Store::Arrow(batches) => arrow::unpack(&file, batches, number),
        };
        let rows = self.cache.get((self.number, number as u32), group.bytes, unpack)?;
        let image =
            rows.get((row - group.first_row) as usize).and_then(Option::as_ref).ok_or_else(missing)?;
        check_file_size(image.len() as u64)?;
        buffer.clear();
        buffer.extend_from_slice(image.data());
        Ok(())
    }
}

/// A record without an image.
fn missing() -> SampleError {
    SampleError::Archive { reason: "the record has no image".to_owned() }
}

/// Runs a reader, which may panic on damaged files.
fn guarded<T>(work: impl FnOnce() -> Result<T, SampleError>) -> Result<T, SampleError> {
    decode::guarded(work)
        .unwrap_or_else(|| Err(SampleError::Archive { reason: "too damaged to read".to_owned() }))
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Table {}

impl PartialOrd for Table {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Table {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.path, self.bytes).cmp(&(&other.path, other.bytes))
    }
}
