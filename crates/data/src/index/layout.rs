//! Layouts: how a split of a data set is stored.
//!
//! Separate so that opening, checking and choosing the held-out split agree on what is there.
//! Invariant: a split that exists in two layouts, or only in part, is an error, never a guess.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cifar::Cifar;
use super::parts::{self, without_part};
use super::{Split, folders, list};
use crate::shard::without_compression;
use crate::{Error, Result, pack};

/// How a split is stored.
#[derive(Debug)]
pub(crate) enum Layout {
    /// CIFAR's binary files.
    Cifar(Cifar),
    /// Part of a packed data set.
    Packed,
    /// A folder of class folders, named like the split.
    Folders,
    /// A text file with paths and labels.
    List(PathBuf),
    /// Files that hold many images.
    Shards {
        /// What their paths are relative to.
        dir: PathBuf,
        /// Their paths.
        files: Vec<PathBuf>,
    },
}

/// Looks for a split in a data set's directory.
///
/// A folder of the split's name without class folders counts only if there is nothing else: it may hold the images of a
/// list.
///
/// # Errors
/// [`Error::TwoLayouts`], [`Error::Parts`], or a directory that cannot be listed.
pub(crate) fn find(root: &Path, split: &str) -> Result<Option<Layout>> {
    if pack::is_pack(root) {
        let is_there = pack::splits(root)?.iter().any(|name| name == split);
        return Ok(is_there.then_some(Layout::Packed));
    }
    let folder = root.join(split);
    let mut found = Vec::new();
    let cifar = Cifar::of(root);
    if let Some((cifar, file)) = cifar.and_then(|cifar| Some((cifar, cifar.first_file(split)?))) {
        found.push((root.join(file), Layout::Cifar(cifar)));
    }
    if folder.is_dir() && !folders::class_folders(&folder)?.is_empty() {
        found.push((folder.clone(), Layout::Folders));
    }
    let inside = folders::shards(&folder)?;
    if let Some(first) = inside.first() {
        found.push((folder.join(first), Layout::Shards { dir: folder.clone(), files: inside }));
    }
    let in_data = shards_beside(root, &format!("data/{split}"))?;
    for files in shards_beside(root, split)?.into_iter().chain(in_data) {
        found.push((root.join(&files[0]), Layout::Shards { dir: root.to_owned(), files }));
    }
    let list = list::path(root, split);
    if list.is_file() {
        found.push((list.clone(), Layout::List(list)));
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => Err(Error::TwoLayouts { first, second }),
        (Some((_, layout)), None) => whole(layout).map(Some),
        (None, _) => Ok(folder.is_dir().then_some(Layout::Folders)),
    }
}

/// The layout, unless its shards are an incomplete set.
fn whole(layout: Layout) -> Result<Layout> {
    if let Layout::Shards { dir, files } = &layout {
        let files: Vec<_> = files.iter().map(|file| dir.join(file)).collect();
        if let Some(fault) = parts::faults(&files).into_iter().next() {
            return Err(Error::Parts { fault });
        }
    }
    Ok(layout)
}

/// Shards beside a folder of the split's name, grouped by extension and by how they are named.
fn shards_beside(root: &Path, split: &str) -> Result<Vec<Vec<PathBuf>>> {
    let mut found: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    let split = Path::new(split);
    let (Some(name), Some(folder)) = (split.file_name(), split.parent()) else { return Ok(Vec::new()) };
    let name = name.to_string_lossy();
    for shard in folders::shards(&root.join(folder))? {
        let Some(naming) = Naming::of(&shard.to_string_lossy(), &name) else { continue };
        let ending = shard.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        found.entry((ending, naming)).or_default().push(folder.join(&shard));
    }
    Ok(found.into_values().collect())
}

/// How the name of a shard says which split it belongs to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    /// `train.tar`
    Alone,
    /// `train-0.tar`
    Numbered,
    /// `flowers-train.arrow` or `flowers-train-00000-of-00002.arrow`, as in the caches of the library `datasets`.
    AfterName,
}

impl Naming {
    fn of(file: &str, split: &str) -> Option<Self> {
        let file = without_compression(file).unwrap_or(file);
        match file.strip_prefix(split) {
            Some(rest) if rest.starts_with('.') && rest.matches('.').count() == 1 => Some(Self::Alone),
            Some(rest) if rest.starts_with('-') => Some(Self::Numbered),
            _ => {
                let name = without_part(file.strip_suffix(".arrow")?).strip_suffix(split)?;
                // `test-train.arrow` is of `test`.
                let is_split = |part| Split::USUAL.contains(&part);
                (name.ends_with('-') && !name.split('-').next().is_some_and(is_split))
                    .then_some(Self::AfterName)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_split_a_shard_is_of() {
        for (file, naming) in [
            ("train.tar", Some(Naming::Alone)),
            ("train.tar.gz", Some(Naming::Alone)),
            ("train-0.tar.ZST", Some(Naming::Numbered)),
            ("train.old.tar", None),
            ("train.gz", Some(Naming::Alone)),
            ("trained.tar", None),
            ("train-a.tar", Some(Naming::Numbered)),
            ("train-00000-of-00002.arrow", Some(Naming::Numbered)),
            ("flowers-train.arrow", Some(Naming::AfterName)),
            ("oxford-flowers-train-00000-of-00002.arrow", Some(Naming::AfterName)),
            ("flowers-train-0-of-x.arrow", None),
            ("flowers-train-of-2.arrow", None),
            ("flowers-train.tar", None),
            ("flowers-pretrain.arrow", None),
            ("test-train.arrow", None),
            ("-train.arrow", Some(Naming::AfterName)),
        ] {
            assert_eq!(Naming::of(file, "train"), naming, "{file}");
        }
    }
}
