//! Tables: files with one image a row and its label beside it, as Hugging Face publishes data sets and keeps them.
//!
//! Separate from shards because a row has a number and no name, and its label is in a column.
//! Invariant: what a file claims is not believed; damage is an error of its rows, whatever its reader does with it.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::DecodeError;
use crate::shard::Format;

mod arrow;
mod columns;
mod parquet;
pub(crate) use parquet::Cache;
#[cfg(test)]
pub(crate) use {arrow::tests as arrow_tests, parquet::tests as parquet_tests};

/// Most rows of a file.
const MAX_ROWS: usize = 1 << 26;

/// A file with a column of images.
#[derive(Debug)]
pub struct Table {
    /// Path relative to the data set's directory.
    path: PathBuf,
    /// Size of the file.
    bytes: u64,
    store: Store,
}

/// How the images are stored.
#[derive(Debug)]
enum Store {
    /// In groups of rows that are unpacked together.
    Grouped(parquet::Images),
    /// As they are.
    InPlace(arrow::Images),
}

/// A table with its labels.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) table: Table,
    /// One for every row that has one.
    pub(crate) labels: Vec<Option<i64>>,
    /// Names of the classes, if the file has them.
    pub(crate) names: Option<Vec<String>>,
    /// Where what cannot be used begins, and why it cannot.
    pub(crate) rest: Option<(u64, DecodeError)>,
}

/// Reads labels and names, and where the images are; `number` tells tables of one cache apart.
pub(crate) fn scan(root: &Path, path: PathBuf, number: u32, cache: &Arc<Cache>) -> Result<Scan, DecodeError> {
    match Format::of(&path) {
        Some(Format::Parquet) => parquet::scan(root, path, number, cache),
        _ => arrow::scan(root, path),
    }
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

    /// Size of the image in a row, or the mean of those that are unpacked together with it.
    pub(crate) fn row_bytes(&self, row: u32) -> u64 {
        match &self.store {
            Store::Grouped(images) => images.row_bytes(row),
            Store::InPlace(images) => images.row_bytes(row),
        }
    }

    /// What the file and a row's name do not say of it: where the image begins, or else how large the file is.
    pub(crate) fn row_mark(&self, row: u32) -> u64 {
        match &self.store {
            Store::Grouped(_) => self.bytes,
            Store::InPlace(images) => images.offset(row),
        }
    }

    /// Reads the image file in a row.
    pub(crate) fn read(&self, root: &Path, row: u32, buffer: &mut Vec<u8>) -> Result<(), DecodeError> {
        match &self.store {
            Store::Grouped(images) => images.read(root, &self.path, row, buffer),
            Store::InPlace(images) => images.read(&root.join(&self.path), row, buffer),
        }
    }
}

/// A row without an image.
fn missing() -> DecodeError {
    DecodeError::Archive { reason: "the row has no image".to_owned() }
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
