//! Reads the values of a column in a batch; a row may have none.
//!
//! Separate because columns have many types, and it does not matter here where a batch comes from.
//! Invariant: as many values as the batch has rows.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, downcast_integer_array};
use arrow_schema::{DataType, Schema};
use parquet::data_type::ByteArray;

use super::error;
use crate::SampleError;
use crate::table::{Rows, columns};

/// Which columns hold images and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    images: usize,
    labels: usize,
}

/// The field of a struct that holds an image file, beside its path.
const FIELD: &str = "bytes";

impl Columns {
    /// Finds images and labels, and the names of the classes.
    pub(super) fn find(schema: &Schema) -> Result<(Self, Option<Vec<String>>), SampleError> {
        let fields = || schema.fields().iter().enumerate();
        let (images, _) = columns::find(&columns::IMAGES, |name| {
            let (around, field) = name.split_once('.').unwrap_or((name, ""));
            fields().position(|(_, column)| match column.data_type() {
                DataType::Struct(inner) => {
                    column.name() == around
                        && inner.iter().any(|inner| inner.name() == field && is_binary(inner.data_type()))
                }
                kind => column.name() == name && is_binary(kind),
            })
        })?;
        let (labels, name) = columns::find(&columns::LABELS, |name| {
            fields().position(|(_, column)| column.name() == name && column.data_type().is_integer())
        })?;
        let description = schema.metadata().get("huggingface");
        let names = description.and_then(|text| columns::class_names(text, name));
        Ok((Self { images, labels }, names))
    }

    /// The numbers of the columns; a batch that is read with them has the images first.
    pub(super) fn numbers(self) -> Vec<usize> {
        vec![self.images, self.labels]
    }

    /// The labels of a batch; numbers that do not fit become the largest that does.
    pub(super) fn labels(self, batch: &RecordBatch) -> Result<Vec<Option<i64>>, SampleError> {
        let labels = batch.columns().get(1).ok_or_else(changed)?;
        let clamped = |label: i128| i64::try_from(label).unwrap_or(i64::MAX);
        downcast_integer_array!(
            labels => Ok(labels.iter().map(|label| label.map(|label| clamped(label.into()))).collect()),
            _ => Err(changed())
        )
    }

    /// Bytes of the images of a batch.
    pub(super) fn image_bytes(self, batch: &RecordBatch) -> Result<u64, SampleError> {
        let mut bytes = 0;
        each(batch, |image| bytes += image.map_or(0, <[u8]>::len) as u64)?;
        Ok(bytes)
    }

    /// The images of a batch.
    pub(super) fn images(self, batch: &RecordBatch) -> Result<Rows, SampleError> {
        let mut rows = Rows::with_capacity(batch.num_rows());
        each(batch, |image| rows.push(image.map(|image| ByteArray::from(image.to_vec()))))?;
        Ok(rows)
    }
}

fn is_binary(kind: &DataType) -> bool {
    matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// Calls `show` with the image of every row, or with `None` if it has none.
fn each(batch: &RecordBatch, mut show: impl FnMut(Option<&[u8]>)) -> Result<(), SampleError> {
    let column: &ArrayRef = batch.columns().first().ok_or_else(changed)?;
    let (around, images) = match column.as_struct_opt() {
        Some(rows) => (rows.nulls(), rows.column_by_name(FIELD).ok_or_else(changed)?),
        None => (None, column),
    };
    let is_there = |row: usize| around.is_none_or(|nulls| nulls.is_valid(row));
    let mut show = |(row, image): (usize, Option<&[u8]>)| show(image.filter(|_| is_there(row)));
    match images.data_type() {
        DataType::Binary => images.as_binary::<i32>().iter().enumerate().for_each(&mut show),
        DataType::LargeBinary => images.as_binary::<i64>().iter().enumerate().for_each(&mut show),
        DataType::BinaryView => images.as_binary_view().iter().enumerate().for_each(&mut show),
        _ => return Err(changed()),
    }
    Ok(())
}

fn changed() -> SampleError {
    error("a column has changed since the file was indexed")
}
