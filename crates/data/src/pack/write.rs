//! Packing: turns a data set of any layout into one file.
//!
//! Separate from reading because it decodes and encodes.
//! Invariant: the file appears under its name only when it is complete.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rayon::prelude::*;

use mutualnet_image::{Image, Others};

use super::index::{self, Entry};
use super::{HEADER_BYTES, MAGIC, Packed, Record, Store, Summary};
use crate::check::has_masks;
use crate::index::nearby;
use crate::{BrokenFile, Dataset, Error, Notice, Place, Progress, Result, SampleError, SampleRef, Split};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::image::ImageRef;
use mutualnet_image::resize::{Rect, Resizer};

/// Most image files in memory at the same time.
const AT_ONCE: usize = 256;

/// How a data set is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    /// Splits to pack; if empty, all splits with usual names.
    pub splits: Vec<String>,
    /// Images whose longer side has more pixels are scaled down to this.
    pub max_side: Option<u32>,
    /// How images are stored.
    pub store: Store,
    /// Quality of re-encoded JPEG files, 1 to 100.
    pub quality: u8,
}

impl PackOptions {
    /// How many images are in memory at the same time; as pixels, a photograph takes up to a hundred megabytes.
    fn at_once(&self) -> usize {
        match (self.store, self.max_side) {
            (Store::Raw, None) => 2 * rayon::current_num_threads(),
            _ => AT_ONCE,
        }
    }
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackReport {
    /// Images in the file.
    pub n_images: usize,
    /// The splits, and how many images of each are in the file.
    pub splits: Vec<(String, usize)>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Images that cannot be decoded and are left out.
    pub broken: Vec<BrokenFile>,
    /// Images that are left out because a quarantine list names them.
    pub quarantined: usize,
    /// Files that are left out because they are not images.
    pub others: Others,
    /// Splits of the data set that are not packed.
    pub other_splits: Vec<String>,
}

/// Packs splits of a data set into a file; another thread can follow the progress.
///
/// Every image is decoded completely, so that only usable ones are packed. Images on quarantine lists are left out.
///
/// # Errors
/// The data set has masks, cannot be read or lacks a split, its splits have different classes, or the file cannot be written or does
/// not end in `.mnpack`.
pub fn pack(root: &Path, out: &Path, options: &PackOptions, progress: &Progress) -> Result<PackReport> {
    if has_masks(root) {
        return Err(Error::PackMasks { path: root.to_owned() });
    }
    if !super::has_pack_name(out) {
        return Err(Error::PackName { path: out.to_owned() });
    }
    let splits = splits(root, &options.splits)?;
    progress.begin(splits.iter().map(|(_, dataset)| dataset.samples().len()).sum());
    let partial = PathBuf::from(format!("{}.partial", out.display()));
    let fail = |source| Error::Io { action: "write", path: partial.clone(), source };
    let mut file = BufWriter::new(File::create(&partial).map_err(fail)?);
    file.write_all(&[0; HEADER_BYTES]).map_err(fail)?;
    let (mut offset, mut entries, mut broken) = (HEADER_BYTES as u64, Vec::new(), Vec::new());
    for (number, (split, dataset)) in splits.iter().enumerate() {
        let first = entries.len();
        for samples in in_order_of_reading(dataset.samples()).chunks(options.at_once()) {
            let store = |(_, SampleRef { place, .. }): &(usize, &SampleRef)| {
                progress.reading(place, || stored(dataset.dir(), place, options))
            };
            let stored: Vec<_> = samples.par_iter().map(store).collect();
            for (&(index, sample), stored) in samples.iter().zip(stored) {
                let name = Path::new(split).join(sample.place.name());
                match stored {
                    Ok(Stored { bytes, width, height }) => {
                        file.write_all(&bytes).map_err(fail)?;
                        let crc32 = crc32fast::hash(&bytes);
                        let record = Record { offset, bytes: bytes.len() as u32, crc32, width, height };
                        let packed = Packed { name, record };
                        let entry = Entry { packed, class: sample.class(), split: number as u8 };
                        entries.push((index, entry));
                        offset += bytes.len() as u64;
                    }
                    Err(reason) => broken.push(BrokenFile { path: name, reason: reason.to_string() }),
                }
            }
        }
        entries[first..].sort_by_key(|(index, _)| *index);
    }
    let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    let (_, first) = &splits[0];
    let summary = Summary {
        classes: first.classes().to_vec(),
        splits: splits.iter().map(|(split, _)| split.clone()).collect(),
        store: options.store,
        max_side: options.max_side,
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
            Notice::Quarantined { files } => quarantined += files,
            Notice::Ignored { others: ignored, .. } => others.extend(ignored.clone()),
            _ => {}
        }
    }
    let mut other_splits = nearby::splits(root)?;
    other_splits.retain(|other| splits.iter().all(|(split, _)| split != other));
    let n_of = |split: usize| entries.iter().filter(|entry| usize::from(entry.split) == split).count();
    let splits = splits.into_iter().enumerate().map(|(i, (split, _))| (split, n_of(i))).collect();
    let (n_images, bytes) = (entries.len(), offset + index.len() as u64);
    Ok(PackReport { n_images, splits, bytes, broken, quarantined, others, other_splits })
}

/// Samples with their numbers, ordered by where they are, because a table is read a row group at a time.
fn in_order_of_reading(samples: &[SampleRef]) -> Vec<(usize, &SampleRef)> {
    let mut samples: Vec<_> = samples.iter().enumerate().collect();
    samples.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
    samples
}

fn finish(mut file: BufWriter<File>, index_at: u64, index: &[u8]) -> std::io::Result<()> {
    file.write_all(index)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&MAGIC)?;
    file.write_all(&index_at.to_le_bytes())?;
    file.write_all(&(index.len() as u64).to_le_bytes())?;
    file.write_all(&crc32fast::hash(index).to_le_bytes())?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

/// The splits that are asked for, or else all usual ones that exist; their classes must agree.
fn splits(root: &Path, names: &[String]) -> Result<Vec<(String, Dataset)>> {
    let open = |name: &str| Ok((name.to_owned(), Dataset::open_named(root, name)?));
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

/// An image as it is stored; the size is given only for raw pixels.
struct Stored {
    bytes: Vec<u8>,
    width: u32,
    height: u32,
}

impl Stored {
    fn file(bytes: Vec<u8>) -> Self {
        Self { bytes, width: 0, height: 0 }
    }

    fn raw(image: Image) -> Self {
        let (width, height) = (image.width(), image.height());
        Self { bytes: image.into_pixels(), width, height }
    }
}

fn stored(dir: &Path, place: &Place, options: &PackOptions) -> Result<Stored, SampleError> {
    let (mut file, mut decoded) = (Vec::new(), Vec::new());
    let undecoded = place.open(dir, &mut file, &mut decoded)?;
    let [width, height] = [undecoded.width(), undecoded.height()];
    if let Some(most) = options.max_side.filter(|&most| width.max(height) > most) {
        let smaller = scaled_down(undecoded, most, &mut decoded)?;
        return Ok(match options.store {
            Store::Raw => Stored::raw(smaller),
            Store::Jpeg => Stored::file(encode(smaller.view(), options.quality)),
        });
    }
    // An image that never was a file is stored as pixels.
    if options.store == Store::Raw || undecoded.is_raw() {
        return Ok(Stored::raw(undecoded.whole()?));
    }
    undecoded.verify()?;
    Ok(Stored::file(file))
}

/// Scales the longer side down to a length.
fn scaled_down(image: Undecoded<'_>, longer: u32, buffer: &mut Vec<u8>) -> Result<Image, SampleError> {
    let [width, height] = [image.width(), image.height()];
    let before = f64::from(width.max(height));
    let scaled = |side: u32| (f64::from(side) * f64::from(longer) / before).round().max(1.0) as u32;
    let size = [scaled(width), scaled(height)];
    let (pixels, all) = image.region(Rect::whole([width, height]), size, buffer)?;
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
