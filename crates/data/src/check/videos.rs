//! Checks the videos below a directory.
//!
//! Separate because a video is not decoded as a whole: reading its index and three frames shows what is broken, and how
//! long it takes to reach a frame shows what will be slow.

use std::path::{Path, PathBuf};

use mutualnet_core::network::Rank;
use mutualnet_core::{FileKind, Task};
use mutualnet_image::Others;
use mutualnet_image::decode::check_variable;
use mutualnet_video::{Ffmpeg, FrameIndex, Video, is_video_name};
use rayon::prelude::*;

use super::{keep_once, no_directory};
use crate::index::folders::{self, Found, is_image_name};
use crate::index::{Contents, list};
use crate::pack;
use crate::quarantine_list::{self, Change};
use crate::video_source::{VideoSource, reason};
use crate::{BrokenFile, Error, Place, Progress, Result, SampleError, Split};

/// A clip starts anywhere, so half of this many frames are decoded for nothing; training reads about as many.
const SLOW_KEY_DISTANCE: usize = 64;

/// The most broken frames of a folder that are named.
const MOST_NAMED: usize = 10;

/// What a check of videos found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoReport {
    /// Videos that were tried.
    pub n_videos: usize,
    /// Files whose names are not those of videos.
    pub others: Others,
    /// Bytes of all videos.
    pub bytes: u64,
    /// What can be decoded, ordered by path.
    pub videos: Vec<VideoFile>,
    /// What cannot be decoded, ordered by path.
    pub broken: Vec<BrokenFile>,
}

/// A video that can be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFile {
    /// Its path, relative to the directory that is checked.
    pub path: PathBuf,
    /// When its frames are shown.
    pub index: FrameIndex,
}

impl VideoFile {
    /// Whether training spends most of its decoding on frames that no clip has.
    pub fn is_slow(&self) -> bool {
        self.index.key_distance() > SLOW_KEY_DISTANCE
    }

    /// Whether the file has fewer frames than its header announces.
    pub fn is_cut(&self) -> bool {
        self.index.announced.is_some_and(|announced| announced > self.index.n_frames() as u64)
    }
}

/// Whether there are more videos than images below a directory and in its lists, or videos in a packed data set.
pub fn has_videos(dir: &Path) -> bool {
    if pack::is_pack(dir) {
        return pack::rank(dir).is_ok_and(|rank| rank == Rank::Clip);
    }
    let below = Path::new("");
    let listed = lists(dir).filter_map(|list| list::contents(dir, &list).ok());
    let listed: Vec<_> = listed.flat_map(|contents| contents.samples).collect();
    let count = |found: Found, is_wanted: fn(&Path) -> bool| {
        let listed = listed.iter().filter(|sample| is_wanted(&sample.place.name()));
        found.places.len() + found.shards.len() + listed.count()
    };
    let videos = Found { shards: Vec::new(), ..folders::find_videos(dir, below) };
    count(videos, is_video_name) > count(folders::find_images(dir, below), is_image_name)
}

/// The lists of the usual splits.
fn lists(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let named = |split| [list::path(dir, split), dir.join(format!("{split}.csv"))];
    Split::USUAL.into_iter().flat_map(named).filter(|list| list.is_file())
}

/// Opens every video below a directory, and every one that its lists name, and decodes its first, its middle and its last frame,
/// on all cores; of folders of frames and in a packed data set, all frames.
///
/// # Errors
/// The directory does not exist or has no videos, a list has a malformed line, the packed data set is damaged, or `ffmpeg` is
/// needed and not installed. Broken videos are not errors; they are in the report.
pub fn check_videos(dir: &Path, ffmpeg: &Ffmpeg, progress: &Progress) -> Result<VideoReport> {
    if !dir.is_dir() && !pack::is_pack(dir) {
        return Err(no_directory(dir));
    }
    check_variable()?;
    let found = if dir.is_dir() { in_directory(dir)? } else { packed(dir)? };
    if found.places.is_empty() && found.broken.is_empty() {
        return Err(Error::NothingFound { path: dir.to_owned(), others: found.others });
    }
    progress.begin(found.places.len());
    let read = |place: &Place| progress.reading(place, || open(dir, place, ffmpeg));
    let read: Vec<_> = found.places.par_iter().map(read).collect();
    let mut report = VideoReport {
        n_videos: found.places.len() + found.broken.len(),
        others: found.others,
        bytes: bytes(dir, &found.places),
        videos: Vec::new(),
        broken: Vec::new(),
    };
    let unlisted = found.broken.iter().map(|(place, reason)| (place.name(), reason.to_string()));
    report.broken.extend(unlisted.map(|(path, reason)| BrokenFile { path, reason }));
    for (place, read) in found.places.iter().zip(read) {
        match read {
            Ok(index) => report.videos.push(VideoFile { path: place.name(), index }),
            Err(SampleError::Video(source)) if source.is_missing_program() => {
                let path = dir.join(place.name());
                return Err(mutualnet_video::Error::Read { path, source }.into());
            }
            Err(error) => report.broken.push(BrokenFile { path: place.name(), reason: error.to_string() }),
        }
    }
    report.broken.sort();
    Ok(report)
}

/// Writes the broken videos to the directory's quarantine list, as [`write_quarantine`](super::write_quarantine) does broken
/// images.
///
/// # Errors
/// [`Error::AllBroken`] if no video can be used; or the list cannot be written.
pub fn quarantine_videos(dir: &Path, report: &VideoReport) -> Result<Change> {
    match report.broken.first() {
        Some(first) if report.videos.is_empty() => Err(Error::AllBroken {
            rank: Rank::Clip,
            n: report.n_videos,
            first: first.to_string(),
            kind: FileKind::Unknown,
            path: dir.to_owned(),
        }),
        _ => quarantine_list::write(dir, Task::Classify, &report.broken),
    }
}

/// All videos below a directory and in its lists, each once.
fn in_directory(dir: &Path) -> Result<Found> {
    let mut found = folders::find_clips(dir, Path::new(""));
    for list in lists(dir) {
        let Contents { samples, broken, .. } = list::contents(dir, &list)?;
        found.others.forget(&list);
        found.places.extend(samples.into_iter().map(|sample| sample.place));
        found.broken.extend(broken);
    }
    keep_once(&mut found.places, &mut found.broken);
    Ok(found)
}

/// Bytes of all videos; a packed data set has nothing else.
fn bytes(dir: &Path, places: &[Place]) -> u64 {
    match dir.metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => places.iter().map(Place::bytes).sum(),
    }
}

/// All videos of a packed data set.
fn packed(pack: &Path) -> Result<Found> {
    let mut found = Found::default();
    for split in pack::splits(pack)? {
        found.places.extend(pack::contents(pack, &split)?.samples.into_iter().map(|sample| sample.place));
    }
    Ok(found)
}

fn open(dir: &Path, place: &Place, ffmpeg: &Ffmpeg) -> Result<FrameIndex, SampleError> {
    let mut source = VideoSource::open(dir, place, ffmpeg)?;
    let last = source.index().n_frames() - 1;
    match &mut source {
        VideoSource::File(video) if video.pictures().is_some() => check_pictures(video)?,
        VideoSource::File(video) => drop(video.frames(&[0, last / 2, last]).map_err(reason)?),
        VideoSource::Packed(video) => (0..=last).try_for_each(|number| video.verify(number))?,
    }
    Ok(source.index().clone())
}

/// Decodes all frames of a folder, and names those that are broken.
fn check_pictures(video: &Video) -> Result<(), SampleError> {
    let files = video.pictures().unwrap_or_default();
    let decode = |number: usize| video.frames(&[number]).map(drop).map_err(reason).err();
    let broken: Vec<_> = (0..files.len()).filter_map(decode).map(|reason| reason.to_string()).collect();
    if broken.is_empty() {
        return Ok(());
    }
    let mut listed = broken.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
    if broken.len() > MOST_NAMED {
        listed += "; …";
    }
    Err(SampleError::Frames { frames: broken.len(), listed })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clips::{self, ClipsSpec};
    use crate::{Dataset, Notice};

    /// Nothing here needs the program, and its absence must not matter.
    fn without_ffmpeg() -> Ffmpeg {
        Ffmpeg::at(Path::new("/no/such/ffmpeg"))
    }

    #[test]
    fn videos_are_described_and_broken_ones_are_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        clips::generate(&dir, &ClipsSpec { seed: 1, train: 8, test: 8, side: 16, frames: 4 }).unwrap();
        let cut = dir.join("train/left/00000.avi");
        let bytes = fs::read(&cut).unwrap();
        fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        fs::write(dir.join("test/up/00000.avi"), b"").unwrap();
        assert!(has_videos(&dir));
        let report = check_videos(&dir, &without_ffmpeg(), &Progress::default()).unwrap();
        assert_eq!((report.n_videos, report.videos.len()), (16, 15));
        assert_eq!(report.broken[0].to_string(), "test/up/00000.avi: the file is empty");
        let of = |name: &str| report.videos.iter().find(|video| video.path == Path::new(name)).unwrap();
        assert!(of("train/left/00000.avi").is_cut() && !of("train/right/00000.avi").is_cut());
        assert_eq!(of("train/right/00000.avi").index.frame_rate(), Some(16.0));
        assert!(!of("train/right/00000.avi").is_slow());
    }

    #[test]
    fn a_missing_program_is_one_error_and_not_a_data_set_of_broken_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.mp4"), b"\0\0\0\x18ftypmp42").unwrap();
        let error = check_videos(dir.path(), &without_ffmpeg(), &Progress::default()).unwrap_err();
        assert!(error.hint().unwrap().contains("apt-get install ffmpeg"), "{error}");
    }

    #[test]
    fn what_lists_name_is_checked_and_left_out_if_it_is_broken() {
        let root = tempfile::tempdir().unwrap();
        let (videos, dir) = (root.path().join("videos"), root.path().join("data"));
        clips::generate(&videos, &ClipsSpec { seed: 1, train: 8, test: 8, side: 16, frames: 4 }).unwrap();
        fs::create_dir(&dir).unwrap();
        let line = |name: &str, class: usize| format!("../videos/train/{name}/00000.avi {class}\n");
        fs::write(dir.join("train.txt"), line("up", 0) + &line("down", 1) + &line("gone", 1)).unwrap();
        fs::write(dir.join("test.csv"), line("left", 0) + &line("right", 1)).unwrap();
        fs::write(dir.join("thumb.jpg"), b"not looked at").unwrap();
        assert!(has_videos(&dir));
        let report = check_videos(&dir, &without_ffmpeg(), &Progress::default()).unwrap();
        let broken: Vec<_> = report.broken.iter().map(ToString::to_string).collect();
        assert_eq!((report.n_videos, report.others.to_string()), (5, "1 .jpg".to_owned()));
        assert!(broken[0].starts_with("../videos/train/gone/00000.avi: No such file"), "{broken:?}");
        assert_eq!(quarantine_videos(&dir, &report).unwrap(), Change { listed: 1, removed: 0 });
        let train = Dataset::open_for(Task::Classify, Rank::Clip, &dir, "train").unwrap();
        assert_eq!(train.samples().len(), 2);
        assert!(train.notices().contains(&Notice::Quarantined { rank: Rank::Clip, files: 1 }));
    }

    /// A picture beside videos is none of their frames, and makes the folder no clip.
    #[test]
    fn a_few_images_among_videos_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        clips::generate(&dir, &ClipsSpec { seed: 1, train: 8, test: 8, side: 16, frames: 4 }).unwrap();
        fs::write(dir.join("train/up/thumb.jpg"), b"not looked at").unwrap();
        assert!(has_videos(&dir));
        let report = check_videos(&dir, &without_ffmpeg(), &Progress::default()).unwrap();
        assert_eq!((report.n_videos, report.broken.len(), report.others.n()), (16, 0, 1));
        assert_eq!(quarantine_videos(&dir, &report).unwrap(), Change::default());
    }

    #[test]
    fn broken_frames_of_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("train/a/clip");
        fs::create_dir_all(&folder).unwrap();
        let png = mutualnet_image::encode_png(&mutualnet_image::Image::new(4, 3, vec![9; 36]));
        (1..=4).for_each(|number| fs::write(folder.join(format!("{number:03}.png")), &png).unwrap());
        assert!(!has_videos(dir.path()), "they may as well be images");
        let check = || check_videos(dir.path(), &without_ffmpeg(), &Progress::default()).unwrap();
        let whole = check();
        assert_eq!((whole.n_videos, whole.broken.len(), whole.bytes), (1, 0, 4 * png.len() as u64));
        assert_eq!(
            (whole.videos[0].index.container.as_str(), whole.videos[0].index.size),
            ("folder", [4, 3])
        );
        fs::write(folder.join("002.png"), b"").unwrap();
        fs::write(folder.join("004.png"), &png[..png.len() / 2]).unwrap();
        let broken = check().broken[0].to_string();
        assert!(
            broken.starts_with(
                "train/a/clip: 2 of the frames cannot be decoded: 002.png: the file is empty; 004.png: PNG: "
            ),
            "{broken}"
        );
    }
}
