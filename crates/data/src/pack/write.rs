//! Packing: turns a data set of any layout into one file.
//!
//! Separate from reading because it decodes and encodes.
//! Invariant: the file appears under its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rayon::prelude::*;

use mutualnet_core::Task;
use mutualnet_core::network::Rank;
use mutualnet_image::{Image, Others};
use mutualnet_video::{Ffmpeg, Frame, FrameIndex};

use super::index::{self, Entry};
use super::{HEADER_BYTES, MAGIC, Packed, Record, SideLimit, Store, Summary, VERSION, frames};
use crate::check::has_masks;
use crate::index::nearby;
use crate::video_source::VideoSource;
use crate::{BrokenFile, Dataset, Error, Notice, Place, Progress, Result, SampleError, SampleRef, Split};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::image::ImageRef;
use mutualnet_image::resize::{Rect, Resizer};

/// Most image files in memory at the same time.
const AT_ONCE: usize = 256;

/// The most bytes of the frames of one video, which are in memory together.
const VIDEO_BYTES: u64 = 1 << 30;

/// How a data set is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    /// Splits to pack; if empty, all splits with usual names.
    pub splits: Vec<String>,
    /// Whether the samples are images or videos.
    pub rank: Rank,
    /// Larger images and frames are scaled down to this.
    pub limit: Option<SideLimit>,
    /// How images and frames are stored.
    pub store: Store,
    /// Quality of re-encoded JPEG files, 1 to 100.
    pub quality: u8,
}

impl Default for PackOptions {
    /// All usual splits of a data set of images, as they are.
    fn default() -> Self {
        Self { splits: Vec::new(), rank: Rank::Image, limit: None, store: Store::Jpeg, quality: 90 }
    }
}

impl PackOptions {
    /// How many samples are in memory at the same time; as pixels, a photograph takes up to a hundred megabytes.
    fn at_once(&self) -> usize {
        match (self.rank, self.store, self.limit) {
            (Rank::Clip, _, _) => rayon::current_num_threads(),
            (_, Store::Raw, None) => 2 * rayon::current_num_threads(),
            _ => AT_ONCE,
        }
    }
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackReport {
    /// Images or videos in the file.
    pub n_samples: usize,
    /// The splits, and how many samples of each are in the file.
    pub splits: Vec<(String, usize)>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Samples that cannot be decoded and are left out.
    pub broken: Vec<BrokenFile>,
    /// Samples that are left out because a quarantine list names them.
    pub quarantined: usize,
    /// Files that are left out because they are not samples.
    pub others: Others,
    /// Splits of the data set that are not packed.
    pub other_splits: Vec<String>,
}

/// Packs splits of a data set into a file; another thread can follow the progress.
///
/// Every image and every frame is decoded, so that only usable samples are packed. Those on quarantine lists are left out.
///
/// # Errors
/// The data set has masks, cannot be read or lacks a split, its splits have different classes, or the file cannot be
/// written or does not end in `.mnpack`; a video that needs `ffmpeg`, which is not installed.
pub fn pack(root: &Path, out: &Path, options: &PackOptions, progress: &Progress) -> Result<PackReport> {
    if has_masks(root) {
        return Err(Error::PackMasks { path: root.to_owned() });
    }
    if !super::has_pack_name(out) {
        return Err(Error::PackName { path: out.to_owned() });
    }
    let splits = splits(root, options)?;
    progress.begin(splits.iter().map(|(_, dataset)| dataset.samples().len()).sum());
    let partial = PathBuf::from(format!("{}.partial", out.display()));
    let fail = |source| Error::Io { action: "write", path: partial.clone(), source };
    let mut file = BufWriter::new(File::create(&partial).map_err(fail)?);
    file.write_all(&[0; HEADER_BYTES]).map_err(fail)?;
    let mut file = Appended { file, offset: HEADER_BYTES as u64 };
    let (mut entries, mut broken) = (Vec::new(), Vec::new());
    for (number, (split, dataset)) in splits.iter().enumerate() {
        let first = entries.len();
        for samples in in_order_of_reading(dataset.samples()).chunks(options.at_once()) {
            let store = |(_, SampleRef { place, .. }): &(usize, &SampleRef)| {
                progress.reading(place, || stored(dataset.dir(), place, options))
            };
            let stored: Vec<_> = samples.par_iter().map(store).collect();
            for (&(index, sample), stored) in samples.iter().zip(stored) {
                let name = match &sample.place {
                    Place::Packed(packed) => packed.name().to_owned(),
                    place => Path::new(split).join(place.name()),
                };
                match stored {
                    Ok(stored) => {
                        let packed = Packed { name, record: file.sample(&stored).map_err(fail)? };
                        let entry = Entry { packed, class: sample.class(), split: number as u8 };
                        entries.push((index, entry));
                    }
                    Err(SampleError::Video(source)) if source.is_missing_program() => {
                        let path = dataset.dir().join(sample.place.name());
                        return Err(mutualnet_video::Error::Read { path, source }.into());
                    }
                    Err(reason) => broken.push(BrokenFile { path: name, reason: reason.to_string() }),
                }
            }
        }
        entries[first..].sort_by_key(|(index, _)| *index);
    }
    let Appended { file, offset } = file;
    let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    let (_, first) = &splits[0];
    let (max_side, shorter_side) = match options.limit {
        Some(SideLimit::Longer(most)) => (Some(most), None),
        Some(SideLimit::Shorter(most)) => (None, Some(most)),
        None => (None, None),
    };
    let summary = Summary {
        rank: options.rank,
        classes: first.classes().to_vec(),
        splits: splits.iter().map(|(split, _)| split.clone()).collect(),
        store: options.store,
        max_side,
        shorter_side,
    };
    let index = index::bytes(&summary, &entries);
    finish(file, offset, &index).map_err(fail)?;
    fs::rename(&partial, out).map_err(|source| Error::Io {
        action: "write",
        path: out.to_owned(),
        source,
    })?;
    let (mut quarantined, mut others) = (0, Others::default());
    for notice in splits.iter().flat_map(|(_, dataset)| dataset.notices()) {
        match notice {
            Notice::Quarantined { files, .. } => quarantined += files,
            Notice::Ignored { others: ignored, .. } => others.extend(ignored.clone()),
            _ => {}
        }
    }
    let mut other_splits = nearby::splits(root)?;
    other_splits.retain(|other| splits.iter().all(|(split, _)| split != other));
    let n_of = |split: usize| entries.iter().filter(|entry| usize::from(entry.split) == split).count();
    let splits = splits.into_iter().enumerate().map(|(i, (split, _))| (split, n_of(i))).collect();
    let (n_samples, bytes) = (entries.len(), offset + index.len() as u64);
    Ok(PackReport { n_samples, splits, bytes, broken, quarantined, others, other_splits })
}

/// Samples with their numbers, ordered by where they are, because a table is read a row group at a time.
fn in_order_of_reading(samples: &[SampleRef]) -> Vec<(usize, &SampleRef)> {
    let mut samples: Vec<_> = samples.iter().enumerate().collect();
    samples.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
    samples
}

fn finish(mut file: BufWriter<File>, index_at: u64, index: &[u8]) -> io::Result<()> {
    file.write_all(index)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&MAGIC)?;
    file.write_all(&[VERSION])?;
    file.write_all(&index_at.to_le_bytes())?;
    file.write_all(&(index.len() as u64).to_le_bytes())?;
    file.write_all(&crc32fast::hash(index).to_le_bytes())?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// The splits that are asked for, or else all usual ones that exist; their classes must agree.
fn splits(
    root: &Path,
    PackOptions { splits: names, rank, .. }: &PackOptions,
) -> Result<Vec<(String, Dataset)>> {
    let open = |name: &str| Ok((name.to_owned(), Dataset::open_for(Task::Classify, *rank, root, name)?));
    let splits: Vec<_> = if names.is_empty() {
        let is_there =
            |split: &Result<_>| !matches!(split, Err(Error::NoSplit { .. } | Error::NotPacked { .. }));
        Split::USUAL.into_iter().map(open).filter(is_there).collect::<Result<_>>()?
    } else {
        names.iter().map(|name| open(name)).collect::<Result<_>>()?
    };
    let Some((_, first)) = splits.first() else {
        return Err(nearby::no_split(root, Split::Train.folder()));
    };
    splits.iter().try_for_each(|(_, other)| first.check_same_classes(other))?;
    Ok(splits)
}

/// The part of a packed file that is written so far.
struct Appended {
    file: BufWriter<File>,
    offset: u64,
}

impl Appended {
    fn sample(&mut self, stored: &Stored) -> io::Result<Record> {
        match stored {
            Stored::Image(image) => self.image(image),
            Stored::Video { index, frames } => {
                let records: Vec<_> =
                    frames.iter().map(|frame| self.image(frame)).collect::<io::Result<_>>()?;
                let list = self.append(&frames::bytes(index, &records))?;
                let [width, height] = index.size;
                Ok(Record { width, height, ..list })
            }
        }
    }

    fn image(&mut self, StoredImage { bytes, width, height }: &StoredImage) -> io::Result<Record> {
        Ok(Record { width: *width, height: *height, ..self.append(bytes)? })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<Record> {
        self.file.write_all(bytes)?;
        let (offset, crc32) = (self.offset, crc32fast::hash(bytes));
        self.offset += bytes.len() as u64;
        Ok(Record { offset, bytes: bytes.len() as u32, crc32, width: 0, height: 0 })
    }
}

/// A sample as it is stored.
enum Stored {
    Image(StoredImage),
    /// The size of the index is that of the stored frames.
    Video {
        index: FrameIndex,
        frames: Vec<StoredImage>,
    },
}

/// An image or a frame as it is stored; the size is given only for raw pixels.
struct StoredImage {
    bytes: Vec<u8>,
    width: u32,
    height: u32,
}

impl StoredImage {
    fn file(bytes: Vec<u8>) -> Self {
        Self { bytes, width: 0, height: 0 }
    }

    fn raw(image: Image) -> Self {
        let (width, height) = (image.width(), image.height());
        Self { bytes: image.into_pixels(), width, height }
    }
}

fn stored(dir: &Path, place: &Place, options: &PackOptions) -> Result<Stored, SampleError> {
    match options.rank {
        Rank::Image => {
            let (mut file, mut decoded) = (Vec::new(), Vec::new());
            let undecoded = place.open(dir, &mut file, &mut decoded)?;
            let (image, _) = stored_image(undecoded, options)?;
            Ok(Stored::Image(image.unwrap_or_else(|| StoredImage::file(file))))
        }
        Rank::Clip => stored_video(dir, place, options),
    }
}

fn stored_video(dir: &Path, place: &Place, options: &PackOptions) -> Result<Stored, SampleError> {
    let mut video = VideoSource::open(dir, place, &Ffmpeg::default())?;
    let (mut size, mut bytes) = (video.index().size, 0);
    let frames = video.map_frames(|frame| {
        if bytes > VIDEO_BYTES {
            return Err(SampleError::LargeVideo { mib: VIDEO_BYTES >> 20 });
        }
        let (image, stored_size) = match frame {
            Frame::File(mut file) => {
                let (image, size) = stored_image(Undecoded::new(&mut file, &mut Vec::new())?, options)?;
                (image.unwrap_or_else(|| StoredImage::file(file)), size)
            }
            Frame::Decoded(image) => stored_pixels(image, options)?,
        };
        size = stored_size;
        bytes += image.bytes.len() as u64;
        Ok(image)
    })?;
    let index = FrameIndex { size, ..video.index().clone() };
    Ok(Stored::Video { index, frames })
}

/// An image as it is stored, and its size; nothing if its file is stored as it is.
fn stored_image(
    image: Undecoded<'_>,
    options: &PackOptions,
) -> Result<(Option<StoredImage>, [u32; 2]), SampleError> {
    let size = [image.width(), image.height()];
    if let Some(size) = options.limit.and_then(|limit| limit.scaled(size)) {
        let smaller = scaled_down(image, size)?;
        return Ok((Some(store_pixels(smaller, options)), size));
    }
    // An image that never was a file is stored as pixels.
    if options.store == Store::Raw || image.is_raw() {
        return Ok((Some(StoredImage::raw(image.whole()?)), size));
    }
    Ok((None, image.verify()?))
}

/// A frame that no file of its own had.
fn stored_pixels(image: Image, options: &PackOptions) -> Result<(StoredImage, [u32; 2]), SampleError> {
    let size = [image.width(), image.height()];
    let (image, size) = match options.limit.and_then(|limit| limit.scaled(size)) {
        Some(smaller) => (scaled_down(Undecoded::decoded(image), smaller)?, smaller),
        None => (image, size),
    };
    Ok((store_pixels(image, options), size))
}

fn store_pixels(image: Image, options: &PackOptions) -> StoredImage {
    match options.store {
        Store::Raw => StoredImage::raw(image),
        Store::Jpeg => StoredImage::file(encode(image.view(), options.quality)),
    }
}

fn scaled_down(image: Undecoded<'_>, size: [u32; 2]) -> Result<Image, SampleError> {
    let (all, mut buffer) = (Rect::whole([image.width(), image.height()]), Vec::new());
    let (pixels, all) = image.region(all, size, &mut buffer)?;
    Ok(Resizer::default().crop_resize(pixels, all, size, Vec::new()))
}

fn encode(image: ImageRef<'_>, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    let (width, height) = (image.width() as u16, image.height() as u16);
    encoder.encode(image.pixels(), width, height, ColorType::Rgb).expect("writing to memory does not fail");
    bytes
}
