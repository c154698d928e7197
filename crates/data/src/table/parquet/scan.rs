//! What a Parquet file says of itself: its columns, groups and labels, and the names of its classes.
//!
//! Invariant: no more rows than a table may have, whatever the groups say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::FileReader;

use super::{Cache, Group, Images, column, damage, guarded, open};
use crate::DecodeError;
use crate::table::{MAX_ROWS, Scan, Store, Table, columns};

/// Reads labels and names, and where the groups are; `number` tells tables of one cache apart.
pub(crate) fn scan(root: &Path, path: PathBuf, number: u32, cache: &Arc<Cache>) -> Result<Scan, DecodeError> {
    guarded(|| {
        let reader = open(root, &path)?;
        let bytes = std::fs::metadata(root.join(&path)).map_err(|source| DecodeError::Read { source })?.len();
        // A row has at least a byte of its image; labels alone compress to almost nothing.
        let most_rows = usize::try_from(bytes).unwrap_or(usize::MAX).min(MAX_ROWS);
        let about = reader.metadata().file_metadata();
        let (column, _) = find(about, &columns::IMAGES, &[Type::BYTE_ARRAY])?;
        let (label, label_name) = find(about, &columns::LABELS, &[Type::INT64, Type::INT32])?;
        let (mut groups, mut labels) = (Vec::new(), Vec::new());
        for number in 0..reader.num_row_groups() {
            let group = reader.get_row_group(number).map_err(damage)?;
            let claimed = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
            if claimed > most_rows - labels.len() {
                return Err(DecodeError::Archive { reason: format!("more than {most_rows} rows") });
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
        let store = Store::Grouped(Images { number, column, groups, cache: Arc::clone(cache) });
        Ok(Scan { table: Table { path, bytes, store }, labels, names, rest: None })
    })
}

/// Number and name of the first column of these names that there is.
fn find(
    about: &FileMetaData,
    names: &[&'static str],
    types: &[Type],
) -> Result<(usize, &'static str), DecodeError> {
    let all = about.schema_descr().columns();
    columns::find(names, |name| {
        all.iter().position(|column| {
            column.path().string() == *name
                && types.contains(&column.physical_type())
                && column.max_rep_level() == 0
        })
    })
}

/// What the library `datasets` says of a data set in each of its files.
fn description(about: &FileMetaData) -> Option<&str> {
    about.key_value_metadata()?.iter().find(|pair| pair.key == "huggingface")?.value.as_deref()
}
