//! Image folders: one folder for each class, with its images in it or in folders below.
//!
//! Separate from the index because only this file lists directories.
//! Invariant: the result is sorted, whatever order the file system lists entries in.

use std::path::{Path, PathBuf};
use std::{fs, io};

use mutualnet_core::network::Rank;
use mutualnet_core::text::escape_invalid;

use mutualnet_image::Others;
use mutualnet_video::is_video_name;

use super::{Contents, Notice, SampleRef, labels, masks};
use crate::shard::is_shard_name;
use crate::{Error, Label, Place, Result, SampleError, clips, quarantine_list, shapes};
use mutualnet_image::junk::is_skipped;

/// The images or videos of a folder of class folders.
pub(super) fn contents(dir: &Path, rank: Rank) -> Result<Contents> {
    if !dir.is_dir() {
        return Err(Error::NoDirectory { path: dir.to_owned() });
    }
    let folders = class_folders(dir)?;
    if folders.is_empty() {
        let mut there = Others::default();
        files(dir)?.iter().for_each(|file| there.add(file));
        return Err(Error::NoClasses { path: dir.to_owned(), there });
    }
    let mut contents = Contents { rank, ..Contents::default() };
    let sample = match rank {
        Rank::Image => Sample::File(is_image_name),
        Rank::Clip => CLIP,
    };
    for (ClassFolder { class, path }, number) in folders.into_iter().zip(0..) {
        let found = find(dir, &path, sample);
        contents.others.extend(found.others);
        found.shards.iter().for_each(|shard| contents.others.add(shard));
        contents.broken.extend(found.broken);
        contents
            .samples
            .extend(found.places.into_iter().map(|place| SampleRef { place, label: Label::Class(number) }));
        contents.classes.push(class);
    }
    let has = |name: &str| contents.classes.iter().any(|class| class == name);
    if has(masks::IMAGES) && has(masks::MASKS) {
        contents.notices.push(Notice::LooksMasked);
    }
    Ok(contents)
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Images or videos, sorted.
    pub(crate) places: Vec<Place>,
    /// Files that hold images, sorted.
    pub(crate) shards: Vec<PathBuf>,
    /// Folders that cannot be listed.
    pub(crate) broken: Vec<(Place, SampleError)>,
    /// All other files.
    pub(crate) others: Others,
}

/// Files that belong to a data set without being samples.
const OWN: [&str; 4] = [labels::FILE, quarantine_list::FILE, shapes::FILE, clips::FILE];

/// Finds JPEG, PNG and WebP files and shards below `root/below`, at any depth; a link to a folder that contains it is not
/// followed.
pub(crate) fn find_images(root: &Path, below: &Path) -> Found {
    find(root, below, Sample::File(is_image_name))
}

/// Finds videos in the same way, without folders of frames, which may as well be images.
pub(crate) fn find_videos(root: &Path, below: &Path) -> Found {
    find(root, below, Sample::File(is_video_name))
}

/// Finds videos and folders of frames in the same way.
pub(crate) fn find_clips(root: &Path, below: &Path) -> Found {
    find(root, below, CLIP)
}

/// What counts as a sample.
#[derive(Debug, Clone, Copy)]
enum Sample {
    /// Files with such names.
    File(fn(&Path) -> bool),
    /// These, and the folders that have files with such names and none of the others, except the one that is searched.
    FileOrFolder(fn(&Path) -> bool, fn(&Path) -> bool),
}

const CLIP: Sample = Sample::FileOrFolder(is_video_name, is_image_name);

impl Sample {
    fn is_file(self, path: &Path) -> bool {
        let (Self::File(is_file) | Self::FileOrFolder(is_file, _)) = self;
        is_file(path)
    }

    fn is_part(self, path: &Path) -> bool {
        matches!(self, Self::FileOrFolder(_, is_part) if is_part(path))
    }
}

/// Bytes of the frames in a folder; 0 if it cannot be listed.
pub(super) fn bytes_of_frames(folder: &Path) -> u64 {
    let entries = list(folder).unwrap_or_default().into_iter();
    let frames = entries.filter_map(|(name, kind)| match kind {
        Kind::File(bytes) if is_image_name(&name) => Some(bytes),
        _ => None,
    });
    frames.sum()
}

fn find(root: &Path, below: &Path, sample: Sample) -> Found {
    let mut found = Found::default();
    descend((root, below), sample, &mut Vec::new(), &mut found);
    found.places.sort();
    found.shards.sort();
    found
}

/// Walks a folder; `above` are the folders that contain it, by their real paths.
fn descend((root, below): (&Path, &Path), sample: Sample, above: &mut Vec<PathBuf>, found: &mut Found) {
    let folder = root.join(below);
    let (here, entries) = match folder.canonicalize().and_then(|here| Ok((here, list(&folder)?))) {
        Ok((here, _)) if above.contains(&here) => return,
        Ok(listed) => listed,
        Err(source) => {
            let place = Place::File { path: below.to_owned(), bytes: 0 };
            return found.broken.push((place, SampleError::read(source)));
        }
    };
    let is_inside = !above.is_empty();
    let (mut parts, mut has_files) = (Vec::new(), false);
    above.push(here);
    for (name, kind) in entries {
        let path = below.join(&name);
        match kind {
            Kind::Folder => descend((root, &path), sample, above, found),
            Kind::File(bytes) if is_inside && sample.is_part(&path) => parts.push((path, bytes)),
            Kind::File(bytes) if sample.is_file(&path) => {
                has_files = true;
                found.places.push(Place::File { path, bytes });
            }
            Kind::File(_) if is_shard_name(&path) => found.shards.push(path),
            Kind::File(_) if OWN.iter().any(|own| name == **own) => {}
            Kind::File(_) => found.others.add(&path),
        }
    }
    above.pop();
    if has_files {
        parts.iter().for_each(|(path, _)| found.others.add(path));
    } else if !parts.is_empty() {
        let bytes = parts.iter().map(|(_, bytes)| bytes).sum();
        found.places.push(Place::File { path: below.to_owned(), bytes });
    }
}

/// Whether a name has the extension of an image.
pub(crate) fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// A folder that is a class.
#[derive(Debug)]
pub(super) struct ClassFolder {
    /// The class: the folder's name, with bytes that are not UTF-8 as `\xNN`.
    pub(super) class: String,
    /// The folder, relative to the one that it lies in.
    pub(super) path: PathBuf,
}

/// The folders in a folder, sorted by class.
pub(super) fn class_folders(dir: &Path) -> Result<Vec<ClassFolder>> {
    let entries = list(dir).map_err(|source| cannot_list(dir, source))?.into_iter();
    let mut folders: Vec<_> = entries
        .filter(|(_, kind)| matches!(kind, Kind::Folder))
        .map(|(path, _)| ClassFolder { class: escape_invalid(path.as_os_str().as_encoded_bytes()), path })
        .collect();
    folders.sort_by(|a, b| (&a.class, &a.path).cmp(&(&b.class, &b.path)));
    Ok(folders)
}

/// Names of the folders in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(class_folders(dir)?.into_iter().map(|folder| folder.path).collect())
}

/// Names of the files in a folder, sorted.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = list(dir).map_err(|source| cannot_list(dir, source))?.into_iter();
    let mut names: Vec<_> =
        entries.filter(|(_, kind)| matches!(kind, Kind::File(_))).map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

/// Names of the shards in a folder, sorted; none if there is no such folder.
pub(super) fn shards(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = files(dir)?;
    names.retain(|name| is_shard_name(name));
    Ok(names)
}

enum Kind {
    Folder,
    File(u64),
}

/// Entries of a directory without hidden ones and junk; links are followed, and broken links are files of size 0.
fn list(dir: &Path) -> io::Result<Vec<(PathBuf, Kind)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_skipped(&name) {
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
