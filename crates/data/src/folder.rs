//! Finds the images below one folder, for code that needs no classes.
//!
//! Separate from the index, which needs classes and splits.
//! Invariant: what is skipped as junk is decided where data sets are indexed, and only there.

use std::path::{Path, PathBuf};

use crate::index::folders;
use crate::{Error, Others, Result};

/// What lies below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderImages {
    /// Files with the name of an image, sorted; each path begins with the folder's.
    pub images: Vec<PathBuf>,
    /// All other files; hidden files and junk do not count.
    pub others: Others,
    /// Folders that cannot be listed.
    pub unreadable: Vec<PathBuf>,
}

/// Finds the JPEG, PNG and WebP files in a folder and in all folders below it.
///
/// # Errors
/// There are none, or there is no such folder.
pub fn find_images(dir: &Path) -> Result<FolderImages> {
    if !dir.is_dir() {
        return Err(Error::NoDirectory { path: dir.to_owned() });
    }
    let found = folders::find_images(dir, Path::new(""));
    let mut images: Vec<_> = found.places.iter().map(|place| dir.join(place.name())).collect();
    images.sort();
    let unreadable: Vec<_> = found.broken.iter().map(|(place, _)| dir.join(place.name())).collect();
    let mut others = found.others;
    found.shards.iter().for_each(|shard| others.add(shard));
    if images.is_empty() && unreadable.is_empty() {
        return Err(Error::NothingFound { path: dir.to_owned(), others });
    }
    Ok(FolderImages { images, others, unreadable })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        dir
    }

    #[test]
    fn images_of_all_folders_below_are_found_in_order() {
        let dir = tree(&["b.jpg", "a/c.PNG", "a/notes.txt", "a/d/e.webp", ".hidden.jpg", ".git/x.jpg"]);
        let found = find_images(dir.path()).unwrap();
        let names: Vec<_> = found.images.iter().map(|path| path.strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(names, ["a/c.PNG", "a/d/e.webp", "b.jpg"].map(Path::new));
        assert_eq!((found.others.n(), found.unreadable.len()), (1, 0));
    }

    #[test]
    fn a_folder_without_images_is_an_error() {
        let dir = tree(&["a.bmp"]);
        assert!(matches!(find_images(dir.path()), Err(Error::NothingFound { .. })));
        assert!(matches!(find_images(&dir.path().join("gone")), Err(Error::NoDirectory { .. })));
    }
}
