//! Folders: one for each class, with its JPEG, PNG and WebP files in it or in folders below.
//!
//! Separate from the index because only this file lists directories.
//! Invariant: what comes out is sorted, whatever order the file system lists it in.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Contents, SampleRef};
use crate::shard::is_shard_name;
use crate::{DecodeError, Error, Place, Result};

/// The images of a folder of class folders.
pub(super) fn contents(dir: &Path) -> Result<Contents> {
    if !dir.is_dir() {
        return Err(Error::NoDirectory { path: dir.to_owned() });
    }
    let classes = class_folders(dir)?;
    if classes.is_empty() {
        return Err(Error::NoClasses { path: dir.to_owned() });
    }
    let (mut samples, mut broken, mut n_other) = (Vec::new(), Vec::new(), 0);
    for (number, class) in classes.iter().enumerate() {
        let found = find_images(dir, Path::new(class));
        n_other += found.n_other + found.shards.len();
        broken.extend(found.broken);
        samples.extend(found.places.into_iter().map(|place| SampleRef { place, class: number as u32 }));
    }
    Ok(Contents { classes, samples, broken, n_other })
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Images, sorted.
    pub(crate) places: Vec<Place>,
    /// Files that hold images, sorted.
    pub(crate) shards: Vec<PathBuf>,
    /// Folders that cannot be listed.
    pub(crate) broken: Vec<(Place, DecodeError)>,
    /// Other files.
    pub(crate) n_other: usize,
}

/// Finds JPEG, PNG and WebP files and shards of them below `root/below`, in folders of folders too; a link to a folder
/// that it lies in is not followed.
pub(crate) fn find_images(root: &Path, below: &Path) -> Found {
    let mut found = Found::default();
    descend(root, below, &mut Vec::new(), &mut found);
    found.places.sort();
    found.shards.sort();
    found
}

/// Goes through a folder; `above` are the folders that it lies in, as they are really called.
fn descend(root: &Path, below: &Path, above: &mut Vec<PathBuf>, found: &mut Found) {
    let folder = root.join(below);
    let (here, entries) = match folder.canonicalize().and_then(|here| Ok((here, list(&folder)?))) {
        Ok((here, _)) if above.contains(&here) => return,
        Ok(listed) => listed,
        Err(source) => {
            let place = Place::File { path: below.to_owned(), bytes: 0 };
            return found.broken.push((place, DecodeError::Read { source }));
        }
    };
    above.push(here);
    for (name, kind) in entries {
        let path = below.join(&name);
        match kind {
            Kind::Folder => descend(root, &path, above, found),
            Kind::File(bytes) if is_image_name(&path) => found.places.push(Place::File { path, bytes }),
            Kind::File(_) if is_shard_name(&path) => found.shards.push(path),
            Kind::File(_) => found.n_other += 1,
        }
    }
    above.pop();
}

/// Whether a name has one of the endings that images have.
pub(crate) fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Names of the folders in a folder, sorted.
pub(super) fn class_folders(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, kind) in list(dir).map_err(|source| cannot_list(dir, source))? {
        if matches!(kind, Kind::Folder) {
            names.push(name.into_os_string().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Names of the shards in a folder, sorted; none if there is no such folder.
pub(super) fn shards(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let files = list(dir).map_err(|source| cannot_list(dir, source))?.into_iter();
    let shards = files.filter(|(name, kind)| matches!(kind, Kind::File(_)) && is_shard_name(name));
    let mut names: Vec<_> = shards.map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

enum Kind {
    Folder,
    File(u64),
}

/// Entries of a directory without hidden ones; links are followed, broken ones are files of size 0.
fn list(dir: &Path) -> io::Result<Vec<(PathBuf, Kind)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => Kind::Folder,
            Ok(metadata) => Kind::File(metadata.len()),
            // It stays in the list, and the loader reports it as broken.
            Err(_) => Kind::File(0),
        };
        entries.push((PathBuf::from(name), kind));
    }
    Ok(entries)
}

fn cannot_list(dir: &Path, source: io::Error) -> Error {
    Error::Io { action: "list", path: dir.to_owned(), source }
}
