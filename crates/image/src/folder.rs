//! Finds the images or other files below one folder, for code that needs no classes.
//!
//! Separate from the index of a data set, which needs classes and splits.
//! Invariant: what is skipped as junk is decided in [`junk`](crate::junk), here and where data sets are indexed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::junk::is_skipped;
use crate::{Error, Others, Result};

/// What lies below a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FolderImages {
    /// Files with a wanted name, such as that of an image, sorted; each path begins with the folder's.
    pub images: Vec<PathBuf>,
    /// All other files; hidden files and junk do not count.
    pub others: Others,
    /// Folders that cannot be listed.
    pub unreadable: Vec<PathBuf>,
}

/// Finds the JPEG, PNG and WebP files in a folder and in all folders below it. A link to a folder that contains it is not
/// followed.
///
/// # Errors
/// There are none, or there is no such folder.
pub fn find_images(dir: &Path) -> Result<FolderImages> {
    let found = find_files(dir, is_image_name)?;
    if found.images.is_empty() && found.unreadable.is_empty() {
        return Err(Error::NothingFound { path: dir.to_owned(), others: found.others });
    }
    Ok(found)
}

/// Finds the files with a wanted name in the same way; there may be none.
///
/// # Errors
/// There is no such folder.
pub fn find_files(dir: &Path, is_wanted: fn(&Path) -> bool) -> Result<FolderImages> {
    if !dir.is_dir() {
        return Err(Error::NoDirectory { path: dir.to_owned() });
    }
    let mut found = FolderImages::default();
    descend(dir, is_wanted, &mut Vec::new(), &mut found);
    found.images.sort();
    found.unreadable.sort();
    Ok(found)
}

/// Walks a folder; `above` are the folders that contain it, by their real paths.
fn descend(folder: &Path, is_wanted: fn(&Path) -> bool, above: &mut Vec<PathBuf>, found: &mut FolderImages) {
    let (here, entries) = match folder.canonicalize().and_then(|here| Ok((here, list(folder)?))) {
        Ok((here, _)) if above.contains(&here) => return,
        Ok(listed) => listed,
        Err(_) => return found.unreadable.push(folder.to_owned()),
    };
    above.push(here);
    for (path, is_folder) in entries {
        if is_folder {
            descend(&path, is_wanted, above, found);
        } else if is_wanted(&path) {
            found.images.push(path);
        } else {
            found.others.add(&path);
        }
    }
    above.pop();
}

/// Paths in a folder and whether each is a folder, without hidden ones and junk; links are followed.
fn list(dir: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !is_skipped(&entry.file_name()) {
            let path = entry.path();
            let is_folder = path.is_dir();
            entries.push((path, is_folder));
        }
    }
    Ok(entries)
}

/// Whether a name has the extension of an image.
pub fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
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
