//! Tables as a data set: every row is a sample, and labels are numbers.
//!
//! Invariant: all files of a split that name their classes agree on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::labels::{Labelled, WrittenLabel};
use crate::shard::{Member, Shard};
use crate::table::{self, Cache};
use crate::{Place, SampleError};

/// The images of tables, and the names of their classes, if the files have any.
pub(super) type Images = (Vec<Labelled>, Option<Vec<String>>);

/// The images of tables, whose paths are relative to `root`.
pub(super) fn images(root: &Path, tables: &[PathBuf]) -> Images {
    let cache = Arc::new(Cache::default());
    let scanned: Vec<_> = tables
        .par_iter()
        .enumerate()
        .map(|(number, path)| table::scan(root, path.clone(), number as u32, &cache))
        .collect();
    let names = scanned.iter().flatten().find_map(|scan| scan.names.clone());
    let mut images = Vec::new();
    for (scan, path) in scanned.into_iter().zip(tables) {
        match scan {
            Ok(scan) if scan.names.as_ref().is_some_and(|other| Some(other) != names.as_ref()) => {
                let reason = "its class names differ from those of the first file".to_owned();
                images.push((rest(path, 0), Err(SampleError::Archive { reason })));
            }
            Ok(scan) => {
                let table = Arc::new(scan.table);
                let missing = || SampleError::NoLabel { reason: "the record has none".to_owned() };
                images.extend(scan.labels.into_iter().zip(0..).map(|(label, row)| {
                    let place = Place::Row { table: Arc::clone(&table), row };
                    (place, label.map(WrittenLabel::Number).ok_or_else(missing))
                }));
                images.extend(scan.rest.map(|(offset, reason)| (rest(path, offset), Err(reason))));
            }
            Err(reason) => images.push((rest(path, 0), Err(reason))),
        }
    }
    (images, names)
}

/// The part of a file that cannot be used, from an offset on.
fn rest(path: &Path, offset: u64) -> Place {
    let shard = Arc::new(Shard::new(path.to_owned()));
    Place::Member { shard, member: Box::new(Member::rest(offset, 0)) }
}

#[cfg(test)]
mod tests;
