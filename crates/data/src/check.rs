//! `data check`: decodes every image below a directory and lists what is broken.
//!
//! Any layout of folders will do, and every other layout of a data set; nothing but the quarantine list is written.

use std::path::Path;

use rayon::prelude::*;

use crate::decode::check_variable;
use crate::index::cifar::Cifar;
use crate::index::{Contents, folders, labels, list, shards};
use crate::pack;
use crate::{BrokenFile, DecodeError, Error, Place, Progress, Result, Split, quarantine_list};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Images that were decoded or tried.
    pub n_images: usize,
    /// Files that are no images by their name.
    pub n_other: usize,
    /// Bytes of all images.
    pub bytes: u64,
    /// Smallest and largest width in pixels; zeros when there are none.
    pub width_px: [u32; 2],
    /// Smallest and largest height in pixels; zeros when there are none.
    pub height_px: [u32; 2],
    /// What cannot be decoded, by path.
    pub broken: Vec<BrokenFile>,
}

/// Decodes every JPEG, PNG and WebP file below a directory, in shards too, and what its lists of `train`, `val` and `test`
/// name, or every record of CIFAR's binary files in it, on all cores.
///
/// # Errors
/// The directory does not exist or has no images, a binary file is missing, or a list has a malformed line; broken images
/// are no error.
pub fn check(dir: &Path) -> Result<CheckReport> {
    check_watched(dir, &Progress::default())
}

/// As [`check`], and another thread can look at how far it is.
///
/// # Errors
/// As [`check`].
pub fn check_watched(dir: &Path, progress: &Progress) -> Result<CheckReport> {
    if !dir.is_dir() && !pack::is_pack(dir) {
        let path = dir.to_owned();
        return Err(if dir.exists() { Error::NotADirectory { path } } else { Error::NoDirectory { path } });
    }
    check_variable()?;
    let Found { places, mut broken, n_other } = find(dir)?;
    let n_images = places.len() + broken.len();
    if n_images == 0 {
        return Err(Error::NothingFound { path: dir.to_owned(), others: n_other });
    }
    let bytes = places.iter().map(Place::bytes).sum();
    progress.begin(places.len());
    let decode = |place: &Place| progress.reading(place, || place.verify(dir));
    let decoded: Vec<_> = places.par_iter().map(decode).collect();
    let range = |axis: usize| {
        let sides = || decoded.iter().flatten().map(|size| size[axis]);
        [sides().min().unwrap_or(0), sides().max().unwrap_or(0)]
    };
    let (width_px, height_px) = (range(0), range(1));
    broken.extend(places.into_iter().zip(decoded).filter_map(|(place, size)| Some((place, size.err()?))));
    broken.sort_by(|(a, _), (b, _)| a.cmp(b));
    let broken =
        broken.iter().map(|(place, reason)| BrokenFile { path: place.name(), reason: reason.to_string() });
    Ok(CheckReport { n_images, n_other, bytes, width_px, height_px, broken: broken.collect() })
}

/// What there is to decode, and what is known to be broken before.
#[derive(Debug, Default)]
struct Found {
    places: Vec<Place>,
    broken: Vec<(Place, DecodeError)>,
    n_other: usize,
}

fn find(dir: &Path) -> Result<Found> {
    if pack::is_pack(dir) {
        let mut found = Found::default();
        for split in pack::splits(dir)? {
            found = found.with(pack::contents(dir, &split)?);
        }
        return Ok(found);
    }
    let folders::Found { places, shards, broken, n_other } = folders::find_images(dir, Path::new(""));
    let mut found = Found { places, broken, n_other };
    if let Some(cifar) = Cifar::of(dir) {
        found = found.with(cifar.whole(dir)?);
        found.n_other = found.n_other.saturating_sub(cifar.n_files());
    }
    if !shards.is_empty() {
        found = found.with(shards::contents(dir, &shards, class_names(dir)?));
    }
    for split in Split::USUAL {
        let path = list::path(dir, split);
        if path.is_file() {
            found = found.with(list::contents(dir, &path)?);
        }
    }
    Ok(found.once())
}

/// Class names of a data set, or of the one that a directory is a split of.
fn class_names(dir: &Path) -> Result<Option<Vec<String>>> {
    match (labels::read_names(dir)?, dir.parent()) {
        (None, Some(parent)) => labels::read_names(parent),
        (names, _) => Ok(names),
    }
}

impl Found {
    /// And what a split holds.
    fn with(mut self, contents: Contents) -> Self {
        self.places.extend(contents.samples.into_iter().map(|sample| sample.place));
        self.broken.extend(contents.broken);
        self.n_other += contents.n_other;
        self
    }

    /// Every image once: a list names files that are in folders as well.
    fn once(mut self) -> Self {
        self.broken.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.broken.dedup_by(|(a, _), (b, _)| a == b);
        let broken = &self.broken;
        self.places.retain(|place| broken.binary_search_by(|(other, _)| other.cmp(place)).is_err());
        self.places.sort();
        self.places.dedup();
        self
    }
}

/// Writes the broken files to the directory's quarantine list, which indexing obeys; an old list is replaced.
///
/// # Errors
/// The list cannot be written.
pub fn write_quarantine(dir: &Path, report: &CheckReport) -> Result<()> {
    quarantine_list::write(dir, &report.broken)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Dataset, Image, Notice, Split, encode_png};

    #[test]
    fn broken_files_are_listed_and_left_out_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let class = dir.path().join("train/cat");
        fs::create_dir_all(&class).unwrap();
        let png = encode_png(&Image::new(4, 3, vec![1; 36]));
        fs::write(class.join("1.png"), &png).unwrap();
        fs::write(class.join("2.png"), &png[..png.len() / 2]).unwrap();
        fs::write(class.join("3.jpg"), b"").unwrap();
        fs::write(dir.path().join("readme.txt"), b"").unwrap();
        let report = check(dir.path()).unwrap();
        assert_eq!((report.n_images, report.n_other), (3, 1));
        assert_eq!((report.width_px, report.height_px), ([4, 4], [3, 3]));
        let broken: Vec<String> = report.broken.iter().map(ToString::to_string).collect();
        assert!(broken[0].starts_with("train/cat/2.png: PNG: "), "{broken:?}");
        assert_eq!(broken[1], "train/cat/3.jpg: the file is empty");
        write_quarantine(dir.path(), &report).unwrap();
        let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
        assert_eq!(dataset.samples().len(), 1);
        assert!(dataset.notices().contains(&Notice::Quarantined { files: 2 }));
        assert!(check(&dir.path().join("nowhere")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for() {
        for name in ["pipe.jpg", "train.tar", "train.zip", "train.parquet", "train.arrow"] {
            let dir = tempfile::tempdir().unwrap();
            let pipe = dir.path().join(name);
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let broken = check(dir.path()).unwrap().broken;
            let text = broken[0].to_string();
            assert!(text.starts_with(name) && text.ends_with(": not a regular file"), "{text}");
        }
    }
}
