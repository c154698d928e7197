//! `data check`: decodes every image below a directory and lists the broken ones.
//!
//! It reads every layout of a data set, and any other folder of images.
//! Invariant: nothing but the quarantine list is written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use mutualnet_core::network::Rank;
use mutualnet_core::{FileKind, Task};
use rayon::prelude::*;

use mutualnet_image::decode::check_variable;

use crate::index::cifar::Cifar;
use mutualnet_image::Others;

use crate::index::{Contents, PartsFault, folders, labels, list, parts, shards};
use crate::pack;
pub use crate::quarantine_list::Change;
use crate::{BrokenFile, Error, Place, Progress, Result, SampleError, Split, quarantine_list};

mod masks;
pub use masks::{check_masks, has_masks};
mod objects;
pub use objects::{check_objects, has_annotations};
mod videos;
pub use videos::{VideoFile, VideoReport, check_videos, has_videos, quarantine_videos};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What the data were checked for.
    pub task: Task,
    /// Images that were tried.
    pub n_images: usize,
    /// The directories of the splits, relative to what was checked, and how many images each has; the whole directory counts as
    /// one where splits are not told apart.
    pub splits: Vec<(PathBuf, usize)>,
    /// Files whose names are not those of images.
    pub others: Others,
    /// Bytes of all images.
    pub bytes: u64,
    /// Smallest and largest width in pixels; zeros when there are none.
    pub width_px: [u32; 2],
    /// Smallest and largest height in pixels; zeros when there are none.
    pub height_px: [u32; 2],
    /// Images that cannot be decoded, ordered by path.
    pub broken: Vec<BrokenFile>,
    /// Sets of parts that are incomplete.
    pub faults: Vec<PartsFault>,
    /// What is wrong with annotations, with the file and the id of each; they are left out, or used as far as possible.
    pub problems: Vec<String>,
    /// In how many images each class is, if they have masks or annotations.
    pub in_images: Vec<ClassCount>,
}

/// A class, and how many images have pixels or objects of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCount {
    /// Its name.
    pub class: String,
    /// How many images.
    pub images: usize,
}

impl CheckReport {
    /// The first split that has images, but none that can be used: its directory, their number, and the first of them.
    pub fn all_broken(&self) -> Option<(&Path, usize, &BrokenFile)> {
        self.splits.iter().find_map(|(dir, images)| {
            let mut broken = self.broken.iter().filter(|file| file.path.starts_with(dir)).peekable();
            let first = *broken.peek()?;
            (broken.count() == *images).then_some((dir.as_path(), *images, first))
        })
    }
}

/// Decodes every JPEG, PNG and WebP file below a directory, in shards and tables too, everything that its lists name, and
/// every record of CIFAR's binary files, on all cores.
///
/// # Errors
/// The directory does not exist or has no images, a binary file is missing, or a list has a malformed line. Broken
/// images and missing parts are not errors; they are in the report.
pub fn check(dir: &Path) -> Result<CheckReport> {
    check_watched(dir, &Progress::default())
}

/// What a data set seems to be for: segmentation if one of the usual splits has images with masks, in folders or in a list;
/// otherwise detection if there are annotations.
pub fn task_of(dir: &Path) -> Task {
    match dir {
        _ if has_masks(dir) => Task::Segment,
        _ if has_annotations(dir) => Task::Detect,
        _ => Task::Classify,
    }
}

/// As [`check`] for a data set of a task, whose labels are checked too; another thread can follow the progress.
///
/// # Errors
/// As [`check`]; for segmentation as [`check_masks`], for detection as [`check_objects`].
pub fn check_for(task: Task, dir: &Path, progress: &Progress) -> Result<CheckReport> {
    match task {
        Task::Segment => check_masks(dir, progress),
        Task::Detect => check_objects(dir, progress),
        _ => check_watched(dir, progress),
    }
}

/// As [`check`]; another thread can follow the progress.
///
/// # Errors
/// As [`check`].
pub fn check_watched(dir: &Path, progress: &Progress) -> Result<CheckReport> {
    if !dir.is_dir() && !pack::is_pack(dir) {
        return Err(no_directory(dir));
    }
    check_variable()?;
    let Found { places, mut broken, others, faults } = find(dir)?;
    let n_images = places.len() + broken.len();
    if n_images == 0 {
        let mut faults = faults.into_iter();
        return Err(match faults.next() {
            Some(fault) => Error::Parts { fault },
            None => Error::NothingFound { path: dir.to_owned(), others },
        });
    }
    let bytes = places.iter().map(Place::bytes).sum();
    progress.begin(places.len());
    let decode = |place: &Place| progress.reading(place, || place.verify(dir));
    let decoded: Vec<_> = places.par_iter().map(decode).collect();
    let [width_px, height_px] = ranges(decoded.iter().flatten());
    broken.extend(places.into_iter().zip(decoded).filter_map(|(place, size)| Some((place, size.err()?))));
    broken.sort_by(|(a, _), (b, _)| a.cmp(b));
    let broken =
        broken.iter().map(|(place, reason)| BrokenFile { path: place.name(), reason: reason.to_string() });
    let (broken, problems, in_images) = (broken.collect(), Vec::new(), Vec::new());
    let task = Task::Classify;
    Ok(CheckReport {
        task,
        n_images,
        splits: vec![(PathBuf::new(), n_images)],
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

/// Smallest and largest width, and smallest and largest height; zeros when there are none.
fn ranges<'s>(sizes: impl Iterator<Item = &'s [u32; 2]> + Clone) -> [[u32; 2]; 2] {
    [0, 1].map(|axis| {
        let sides = || sizes.clone().map(|size| size[axis]);
        [sides().min().unwrap_or(0), sides().max().unwrap_or(0)]
    })
}

fn no_directory(dir: &Path) -> Error {
    let path = dir.to_owned();
    if dir.exists() { Error::NotADirectory { path } } else { Error::NoDirectory { path } }
}

/// What there is to decode, and what is found to be broken before that.
#[derive(Debug, Default)]
struct Found {
    places: Vec<Place>,
    broken: Vec<(Place, SampleError)>,
    others: Others,
    faults: Vec<PartsFault>,
}

fn find(dir: &Path) -> Result<Found> {
    if pack::is_pack(dir) {
        let mut found = Found::default();
        for split in pack::splits(dir)? {
            found = found.with(pack::contents(dir, &split)?);
        }
        return Ok(found);
    }
    let folders::Found { places, shards, broken, others } = folders::find_images(dir, Path::new(""));
    let mut found = Found { places, broken, others, faults: parts::faults(&shards) };
    if let Some(cifar) = Cifar::of(dir) {
        found = found.with(cifar.whole(dir)?);
        cifar.files_of_both().for_each(|file| found.others.forget(Path::new(file)));
    }
    if !shards.is_empty() {
        found = found.with(shards::contents(dir, &shards, class_names(dir)?));
    }
    for split in Split::USUAL {
        let path = list::path(dir, split);
        if path.is_file() {
            found = found.with(list::contents(dir, &path)?);
            found.others.forget(&path);
        }
    }
    Ok(found.once())
}

/// Class names of a data set, or of the one that contains a split.
fn class_names(dir: &Path) -> Result<Option<Vec<String>>> {
    match (labels::read_names(dir)?, dir.parent()) {
        (None, Some(parent)) => labels::read_names(parent),
        (names, _) => Ok(names),
    }
}

impl Found {
    /// Adds what a split holds.
    fn with(mut self, contents: Contents) -> Self {
        self.places.extend(contents.samples.into_iter().map(|sample| sample.place));
        self.broken.extend(contents.broken);
        self.others.extend(contents.others);
        self
    }

    fn once(mut self) -> Self {
        keep_once(&mut self.places, &mut self.broken);
        self
    }
}

/// Drops duplicates: a list may name files that are found in folders as well. What is broken is no place to decode.
fn keep_once(places: &mut Vec<Place>, broken: &mut Vec<(Place, SampleError)>) {
    broken.sort_by(|(a, _), (b, _)| a.cmp(b));
    broken.dedup_by(|(a, _), (b, _)| a == b);
    places.retain(|place| broken.binary_search_by(|(other, _)| other.cmp(place)).is_err());
    places.sort();
    places.dedup();
}

/// Writes the broken files to the directory's quarantine list, which indexing obeys; they replace those of the last
/// check.
///
/// # Errors
/// [`Error::AllBroken`] if no image of a split can be used, because a list of them all would hide the cause; or the list cannot
/// be written.
pub fn write_quarantine(dir: &Path, report: &CheckReport) -> Result<Change> {
    if let Some((split, images, first)) = report.all_broken() {
        // With masks and annotations the image itself may be fine.
        let kind = match report.task {
            Task::Classify => kind_of(&dir.join(&first.path)),
            _ => FileKind::Unknown,
        };
        let path = dir.components().chain(split.components()).collect();
        let (rank, first) = (Rank::Image, first.to_string());
        return Err(Error::AllBroken { rank, n: images, first, kind, path });
    }
    quarantine_list::write(dir, report.task, &report.broken)
}

/// What a file is by its first bytes; not known of a record inside an archive.
fn kind_of(path: &Path) -> FileKind {
    let mut start = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FileKind::START_BYTES as u64).read_to_end(&mut start));
    if read.is_ok() { FileKind::of(&start) } else { FileKind::Unknown }
}

/// A quarantine list that leaves out images which can be decoded, and which a check of the directory does not rewrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleList {
    /// The list.
    pub path: PathBuf,
    /// How many of its lines, which an earlier check wrote, are about images that can be decoded.
    pub images: usize,
    /// The directory to check again, so that the list is corrected.
    pub dir: PathBuf,
}

/// Lists of the folders in a directory and of the one above it that an earlier check wrote and that are out of date.
///
/// # Errors
/// A directory or a list cannot be read.
pub fn stale_lists(dir: &Path, report: &CheckReport) -> Result<Vec<StaleList>> {
    let broken: BTreeSet<&Path> = report.broken.iter().map(|file| file.path.as_path()).collect();
    let mut stale = Vec::new();
    let mut look = |dir: PathBuf, path: &dyn Fn(PathBuf) -> Option<PathBuf>| -> Result<()> {
        let listed = quarantine_list::by_check(&dir, report.task)?.into_iter().filter_map(path);
        let images = listed.filter(|file| !broken.contains(file.as_path())).count();
        if images > 0 {
            stale.push(StaleList { path: quarantine_list::place(&dir), images, dir });
        }
        Ok(())
    };
    if !dir.is_dir() {
        return Ok(stale);
    }
    for folder in folders::names(dir)? {
        look(dir.join(&folder), &|file| Some(folder.join(file)))?;
    }
    if let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) {
        look(parent.to_owned(), &|file| file.strip_prefix(name).ok().map(Path::to_owned))?;
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mutualnet_image::{Image, encode_png};

    use super::*;
    use crate::{Dataset, Notice, Split};

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
        assert_eq!((report.n_images, report.others.to_string()), (3, "1 .txt".to_owned()));
        assert_eq!((report.width_px, report.height_px), ([4, 4], [3, 3]));
        let broken: Vec<String> = report.broken.iter().map(ToString::to_string).collect();
        assert!(broken[0].starts_with("train/cat/2.png: PNG: "), "{broken:?}");
        assert_eq!(broken[1], "train/cat/3.jpg: the file is empty");
        write_quarantine(dir.path(), &report).unwrap();
        let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
        assert_eq!(dataset.samples().len(), 1);
        assert!(dataset.notices().contains(&Notice::Quarantined { rank: Rank::Image, files: 2 }));
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
