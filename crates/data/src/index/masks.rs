//! Images with masks: folders `images` and `masks`, or a list with an image and its mask on every line.
//!
//! Separate from class folders and lists of classes, because only the task tells which of them a directory holds.
//! Invariant: no mask is read here; one that is missing is found when its image is loaded or checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mutualnet_core::Task;
use mutualnet_core::text::shown;
use mutualnet_image::junk::has_junk_part;

use super::folders::{Found, find_images, is_image_name};
use super::list::{self, Entry};
use super::nearby::no_split;
use super::{Contents, Notice, SampleRef, labels};
use crate::text_file::os_string;
use crate::{Error, IGNORE, Label, Place, Result, pack};

/// The folders of a split.
pub(crate) const IMAGES: &str = "images";
pub(super) const MASKS: &str = "masks";

/// A split with masks.
#[derive(Debug)]
pub(crate) struct Masked {
    /// What its paths are relative to.
    pub(crate) dir: PathBuf,
    pub(crate) contents: Contents,
}

/// Indexes a split whose images have masks.
///
/// # Errors
/// No such split, or a part of it is missing; no names of classes; a list with a malformed line.
pub(crate) fn open(root: &Path, split: &str) -> Result<Masked> {
    let (folder, list) = (root.join(split), list::path(root, split));
    let has_folders = has_both(&folder);
    if has_folders && list.is_file() {
        return Err(Error::TwoLayouts { first: folder, second: list });
    }
    if !has_folders && !list.is_file() {
        return Err(missing(root, split));
    }
    let classes = class_names(root)?;
    let contents = if has_folders { in_folders(&folder) } else { listed(root, &list)? };
    let dir = if has_folders { folder } else { root.to_owned() };
    Ok(Masked { dir, contents: Contents { classes, task: Task::Segment, ..contents } })
}

/// Whether a folder has both images and masks.
pub(crate) fn has_both(folder: &Path) -> bool {
    folder.join(IMAGES).is_dir() && folder.join(MASKS).is_dir()
}

/// Whether a split has a list, with an image in the place of every class.
pub(crate) fn lists_pairs(root: &Path, split: &str) -> bool {
    let entries = list::entries(&list::path(root, split), |mask| PathBuf::from(os_string(mask.to_vec())));
    entries
        .is_ok_and(|entries| !entries.is_empty() && entries.iter().all(|entry| is_image_name(&entry.label)))
}

/// Why there is no split with masks.
fn missing(root: &Path, split: &str) -> Error {
    let folder = root.join(split);
    if !folder.is_dir() && !pack::is_pack(root) {
        return no_split(root, split);
    }
    let name = if folder.join(IMAGES).is_dir() { MASKS } else { IMAGES };
    Error::NoMasks { folder: name, path: folder }
}

/// The names of the classes, in the order of their numbers in the masks.
pub(crate) fn class_names(root: &Path) -> Result<Vec<String>> {
    let path = root.join(labels::FILE);
    let names = labels::read_names(root)?.unwrap_or_default();
    match names.len() {
        0 => Err(Error::NoClassNames { path }),
        classes if classes > usize::from(IGNORE) => Err(Error::ManyClasses { classes, path }),
        _ => Ok(names),
    }
}

/// The images of a folder, each with the mask of the same name.
fn in_folders(folder: &Path) -> Contents {
    let Found { places, broken, others, .. } = find_images(folder, Path::new(IMAGES));
    let found = find_images(folder, Path::new(MASKS));
    let mut alone: BTreeSet<PathBuf> = found.places.iter().map(Place::name).collect();
    let samples = places.into_iter().map(|place| {
        let mask = mask_of(&place.name());
        alone.remove(&mask);
        SampleRef { place, label: Label::Mask(mask) }
    });
    let samples = samples.collect();
    let notices = match alone.first() {
        Some(first) => vec![Notice::MasksAlone { masks: alone.len(), first: first.clone() }],
        None => Vec::new(),
    };
    let broken = broken.into_iter().chain(found.broken).collect();
    Contents { samples, broken, others, notices, ..Contents::default() }
}

/// `masks/a/1.png` of `images/a/1.jpg`.
fn mask_of(image: &Path) -> PathBuf {
    Path::new(MASKS).join(image.strip_prefix(IMAGES).unwrap_or(image)).with_extension("png")
}

/// The images and masks that a list names; their paths are relative to `root`.
fn listed(root: &Path, list: &Path) -> Result<Contents> {
    let mut entries = list::entries(list, |mask| PathBuf::from(os_string(mask.to_vec())))?;
    refuse_classes(list, &entries)?;
    entries.retain(|entry| !has_junk_part(&entry.path));
    let first = entries.first().map(|entry| entry.path.clone());
    let mut n_there = 0;
    let samples: Vec<_> = entries
        .into_iter()
        .map(|Entry { path, label, .. }| {
            let (path, bytes) =
                list::find(root, path).inspect(|_| n_there += 1).unwrap_or_else(|path| (path, 0));
            let mask = list::find(root, label).map_or_else(|mask| mask, |(mask, _)| mask);
            SampleRef { place: Place::File { path, bytes }, label: Label::Mask(mask) }
        })
        .collect();
    match first.filter(|_| n_there == 0) {
        Some(first) => {
            Err(Error::NothingListed { list: list.to_owned(), lines: samples.len(), first: root.join(first) })
        }
        None => Ok(sorted(samples)),
    }
}

fn sorted(mut samples: Vec<SampleRef>) -> Contents {
    samples.sort_by(|a, b| a.place.cmp(&b.place));
    Contents { samples, ..Contents::default() }
}

/// Refuses a list whose first line names columns, or that has classes in the place of masks.
fn refuse_classes(list: &Path, entries: &[Entry<PathBuf>]) -> Result<()> {
    let no_mask = entries.iter().find(|entry| !is_image_name(&entry.label));
    no_mask.map_or(Ok(()), |entry| {
        let mask = shown(&entry.label);
        let reason = format!("`{mask}` is not the path of a mask, which is a PNG file");
        Err(Error::Line { path: list.to_owned(), line: entry.line, reason })
    })
}

#[cfg(test)]
mod tests;
