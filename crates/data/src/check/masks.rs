//! Checks images together with their masks.
//!
//! Separate because a mask is checked against its image and the classes, and images are found by their split.
//! Invariant: whatever is wrong with a mask makes its image a broken one; nothing of it stops the check.

use std::path::{Path, PathBuf};

use mutualnet_core::Task;
use mutualnet_image::decode::check_variable;
use rayon::prelude::*;

use super::{CheckReport, ClassCount, no_directory, ranges};
use crate::index::masks::{self, Masked};
use crate::index::nearby::no_split;
use crate::mask_file::{self, Wanted};
use crate::{BrokenFile, Error, IGNORE, Label, Place, Progress, Result, SampleError, SampleRef, Split};

/// Whether one of the usual splits of a directory has the folders of images with masks, or a list of pairs of them.
pub fn has_masks(dir: &Path) -> bool {
    Split::USUAL.iter().any(|split| masks::has_both(&dir.join(split)) || masks::lists_pairs(dir, split))
}

/// As [`check_watched`](super::check_watched), for a data set with masks: reads the mask of every image too, and counts in
/// how many images each class is.
///
/// # Errors
/// The directory does not exist or has no split with masks, there is no `classes.txt`, or a list has a malformed line.
pub fn check_masks(dir: &Path, progress: &Progress) -> Result<CheckReport> {
    if !dir.is_dir() {
        return Err(no_directory(dir));
    }
    check_variable()?;
    let classes = masks::class_names(dir)?;
    let found = find(dir)?;
    progress.begin(found.pairs.len());
    let read = |pair: &Pair| progress.reading(&pair.image, || pair.read(dir, classes.len()));
    let read: Vec<_> = found.pairs.par_iter().map(read).collect();
    let [width_px, height_px] = ranges(read.iter().flatten().map(|seen| &seen.size));
    let images = |number: usize| read.iter().flatten().filter(|seen| seen.has[number]).count();
    let in_images = classes.into_iter().enumerate();
    let in_images: Vec<_> = in_images.map(|(i, class)| ClassCount { class, images: images(i) }).collect();
    let problems = unlabelled(&in_images, images(usize::from(IGNORE)));
    let n_images = found.pairs.len() + found.broken.len();
    let bytes = found.pairs.iter().map(|pair| pair.image.bytes()).sum();
    let unread = found.pairs.iter().zip(&read).filter_map(|(pair, read)| {
        let reason = read.as_ref().err()?.to_string();
        Some(BrokenFile { path: pair.image.name(), reason })
    });
    let mut broken: Vec<_> = unread.chain(found.broken).collect();
    broken.sort();
    let (others, faults, splits) = (found.others, Vec::new(), found.splits);
    let task = Task::Segment;
    Ok(CheckReport {
        task,
        n_images,
        splits,
        others,
        bytes,
        width_px,
        height_px,
        broken,
        faults,
        problems,
        in_images,
    })
}

/// What is wrong with masks in which classes are missing.
fn unlabelled(in_images: &[ClassCount], ignored: usize) -> Vec<String> {
    let found: Vec<_> = in_images.iter().filter(|count| count.images > 0).collect();
    match found[..] {
        [] if ignored > 0 => vec![format!(
            "no pixel of any mask has a class: all have the number {IGNORE}, which stands for pixels without one"
        )],
        [only] if ignored > 0 && in_images.len() > 1 => vec![format!(
            "`{}` is the only class in the masks, beside the number {IGNORE}, which stands for pixels without a class; \
             classes have the numbers 0 to {}",
            only.class,
            in_images.len() - 1
        )],
        _ => Vec::new(),
    }
}

/// An image and its mask, relative to the directory that is checked.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    image: Place,
    mask: PathBuf,
}

/// What the splits hold.
#[derive(Debug, Default)]
struct Found {
    pairs: Vec<Pair>,
    /// The directories of splits, and how many images each has.
    splits: Vec<(PathBuf, usize)>,
    broken: Vec<BrokenFile>,
    others: mutualnet_image::Others,
}

fn find(dir: &Path) -> Result<Found> {
    let (mut found, mut no_masks) = (Found::default(), None);
    for split in Split::USUAL {
        let Masked { dir: below, contents } = match masks::open(dir, split) {
            Err(Error::NoSplit { .. }) => continue,
            Err(error @ Error::NoMasks { .. }) => {
                no_masks.get_or_insert(error);
                continue;
            }
            opened => opened?,
        };
        let prefix = below.strip_prefix(dir).unwrap_or(Path::new(""));
        let images = contents.samples.len() + contents.broken.len();
        match found.splits.iter_mut().find(|(below, _)| below == prefix) {
            // Lists of several splits are in one directory.
            Some((_, all)) => *all += images,
            None => found.splits.push((prefix.to_owned(), images)),
        }
        found.pairs.extend(contents.samples.into_iter().filter_map(|sample| pair(prefix, sample)));
        found.broken.extend(contents.broken.into_iter().map(|(place, reason)| BrokenFile {
            path: prefix.join(place.name()),
            reason: reason.to_string(),
        }));
        found.others.extend(contents.others);
    }
    if found.pairs.is_empty() && found.broken.is_empty() {
        return Err(no_masks.unwrap_or_else(|| no_split(dir, Split::Train.folder())));
    }
    found.pairs.sort();
    found.pairs.dedup();
    Ok(found)
}

fn pair(prefix: &Path, SampleRef { place, label }: SampleRef) -> Option<Pair> {
    match (place, label) {
        (Place::File { path, bytes }, Label::Mask(mask)) => {
            Some(Pair { image: Place::File { path: prefix.join(path), bytes }, mask: prefix.join(mask) })
        }
        _ => None,
    }
}

/// What an image and its mask turn out to be.
struct Seen {
    size: [u32; 2],
    has: [bool; 256],
}

impl Pair {
    fn read(&self, dir: &Path, classes: usize) -> Result<Seen, SampleError> {
        let size = self.image.verify(dir)?;
        let mask = mask_file::read(dir, &self.mask, Wanted { size, classes }, &mut Vec::new())?;
        let mut has = [false; 256];
        mask.numbers().iter().for_each(|&number| has[usize::from(number)] = true);
        Ok(Seen { size, has })
    }
}

#[cfg(test)]
mod tests;
