//! Which layout a split of a data set has.
//!
//! Separate so that opening, checking and choosing the held-out split agree on what is there.
//! Invariant: a split that could be read in two ways is an error, never a choice.

use std::path::{Path, PathBuf};

use super::cifar::Cifar;
use super::{folders, list};
use crate::{Error, Result};

/// How a split is stored.
#[derive(Debug)]
pub(crate) enum Layout {
    /// CIFAR's binary files.
    Cifar(Cifar),
    /// A folder of class folders, named like the split.
    Folders,
    /// A text file with paths and labels.
    List(PathBuf),
}

/// Looks for a split in a data set's directory.
///
/// A folder of the split's name that holds no class folders counts only where nothing else does: it may hold the images
/// of a list.
///
/// # Errors
/// [`Error::TwoLayouts`], or a directory that cannot be listed.
pub(crate) fn find(root: &Path, split: &str) -> Result<Option<Layout>> {
    if let Some(cifar) = Cifar::of(root) {
        return Ok(Some(Layout::Cifar(cifar)));
    }
    let folder = root.join(split);
    let mut found = Vec::new();
    if folder.is_dir() && !folders::class_folders(&folder)?.is_empty() {
        found.push((folder.clone(), Layout::Folders));
    }
    let list = list::path(root, split);
    if list.is_file() {
        found.push((list.clone(), Layout::List(list)));
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => Err(Error::TwoLayouts { first, second }),
        (Some((_, layout)), None) => Ok(Some(layout)),
        (None, _) => Ok(folder.is_dir().then_some(Layout::Folders)),
    }
}
