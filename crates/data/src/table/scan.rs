//! What a Parquet file says of itself: its columns, groups and labels, and the names of its classes.
//!
//! Invariant: columns that are not there, or are of another type, are named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::FileReader;

use super::{Cache, Group, Table, column, damage, guarded, open};
use crate::DecodeError;

/// Where images may be, the first that there is: a struct's field or the column itself.
const IMAGES: [&str; 4] = ["image.bytes", "img.bytes", "image", "img"];
const LABELS: [&str; 2] = ["label", "fine_label"];
/// Most rows of a file.
const MAX_ROWS: usize = 1 << 26;

/// A table with its labels.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) table: Table,
    /// One for every row that has one.
    pub(crate) labels: Vec<Option<i64>>,
    /// Names of the classes, if the file has them.
    pub(crate) names: Option<Vec<String>>,
}

/// Reads labels and names, and where the groups are; `number` tells tables of one cache apart.
pub(crate) fn scan(root: &Path, path: PathBuf, number: u32, cache: &Arc<Cache>) -> Result<Scan, DecodeError> {
    guarded(|| {
        let reader = open(root, &path)?;
        let bytes = std::fs::metadata(root.join(&path)).map_err(|source| DecodeError::Read { source })?.len();
        let about = reader.metadata().file_metadata();
        let (column, _) = find(about, &IMAGES, &[Type::BYTE_ARRAY])?;
        let (label, label_name) = find(about, &LABELS, &[Type::INT64, Type::INT32])?;
        let (mut groups, mut labels) = (Vec::new(), Vec::new());
        for number in 0..reader.num_row_groups() {
            let group = reader.get_row_group(number).map_err(damage)?;
            let claimed = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
            if claimed > MAX_ROWS - labels.len() {
                return Err(DecodeError::Archive { reason: format!("more than {MAX_ROWS} rows") });
            }
            let found = column::labels(group.as_ref(), label)?;
            groups.push(Group {
                first_row: labels.len() as u32,
                n_rows: found.len() as u32,
                bytes: u64::try_from(group.metadata().column(column).uncompressed_size()).unwrap_or(0),
            });
            labels.extend(found);
        }
        let names = names(about, label_name);
        let table = Table { path, bytes, number, column, groups, cache: Arc::clone(cache) };
        Ok(Scan { table, labels, names })
    })
}

/// Number and name of the first column of these names that there is.
fn find(
    about: &FileMetaData,
    names: &[&'static str],
    types: &[Type],
) -> Result<(usize, &'static str), DecodeError> {
    let columns = about.schema_descr().columns();
    let found = names.iter().find_map(|name| {
        let number = columns.iter().position(|column| {
            column.path().string() == *name
                && types.contains(&column.physical_type())
                && column.max_rep_level() == 0
        })?;
        Some((number, *name))
    });
    found.ok_or_else(|| DecodeError::Archive {
        reason: format!("no column `{}` of a type that can be read", names.join("`, `")),
    })
}

/// Names of the classes in the description that the library `datasets` writes into a file.
fn names(about: &FileMetaData, label: &str) -> Option<Vec<String>> {
    let pairs = about.key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_deref()?;
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let names = json.get("info")?.get("features")?.get(label)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
