//! Packed data sets: all images or videos of all splits in one file, for disks that are slow with many small files.
//!
//! `docs/formats.md` describes the layout. Images are stored as the original files, as smaller JPEG files or as raw pixels,
//! and so are the frames of videos.
//! Invariants: nothing outside the file's bounds is read, whatever its index says, and every image or frame that is handed
//! out has the checksum it was packed with.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, SampleError};
use mutualnet_core::network::Rank;
use mutualnet_image::decode::{Undecoded, check_file_size};

mod frames;
mod index;
mod write;
pub(crate) use frames::PackedVideo;
pub(crate) use index::{contents, rank, splits};
pub use write::{PackOptions, PackReport, pack};

/// First bytes of a packed file; the version of the format follows.
const MAGIC: [u8; 7] = *b"mnpack\0";
/// The version that is written. Version 1 has no videos, and is read too.
const VERSION: u8 = 2;
/// Magic, offset and length of the index (u64 each), its CRC-32, four zero bytes.
const HEADER_BYTES: usize = 32;

/// How images are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// The original files; images that are too large as smaller JPEG files.
    Jpeg,
    /// Pixels: fastest to read, about ten times the size.
    Raw,
}

/// How large images or frames may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideLimit {
    /// The longer side has at most this many pixels.
    Longer(u32),
    /// The shorter side has at most this many pixels.
    Shorter(u32),
}

impl SideLimit {
    /// The size that a larger image is scaled down to; nothing if it is not larger.
    fn scaled(self, size: [u32; 2]) -> Option<[u32; 2]> {
        let (most, before) = match self {
            Self::Longer(most) => (most, size[0].max(size[1])),
            Self::Shorter(most) => (most, size[0].min(size[1])),
        };
        let scaled = |side: u32| (f64::from(side) * f64::from(most) / f64::from(before)).round().max(1.0);
        (before > most).then(|| size.map(|side| scaled(side) as u32))
    }
}

/// What the index says about the whole data set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Summary {
    /// Absent in version 1.
    #[serde(default)]
    rank: Rank,
    classes: Vec<String>,
    splits: Vec<String>,
    store: Store,
    max_side: Option<u32>,
    /// Absent in version 1.
    #[serde(default)]
    shorter_side: Option<u32>,
}

/// Where an image, a frame, or the list of frames of a video is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    offset: u64,
    bytes: u32,
    crc32: u32,
    /// Size of raw pixels, or of the frames of a video; zeros if a file is stored.
    width: u32,
    height: u32,
}

impl Record {
    fn is_raw(&self) -> bool {
        self.width > 0
    }

    /// Whether the image lies between header and `end`, and has as many bytes as its size needs.
    fn fits(&self, end: u64) -> bool {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let whole = self.width == 0 && self.height == 0
            || pixels > 0 && pixels.checked_mul(3) == Some(self.bytes.into());
        self.is_inside(end) && whole
    }

    /// Whether the bytes lie between header and `end`.
    fn is_inside(&self, end: u64) -> bool {
        self.offset >= HEADER_BYTES as u64
            && self.offset.checked_add(self.bytes.into()).is_some_and(|last| last <= end)
    }

    /// Reads the bytes into a buffer, and compares them with their checksum.
    fn read(&self, file: &mut File, buffer: &mut Vec<u8>) -> Result<(), SampleError> {
        check_file_size(self.bytes.into())?;
        read_at(file, self.offset, self.bytes as usize, buffer).map_err(SampleError::read)?;
        if crc32fast::hash(buffer) == self.crc32 { Ok(()) } else { Err(SampleError::Checksum) }
    }

    /// Reads an image or a frame.
    fn open<'b>(
        &self,
        file: &mut File,
        buffer: &'b mut Vec<u8>,
        decoded: &mut Vec<u8>,
    ) -> Result<Undecoded<'b>, SampleError> {
        self.read(file, buffer)?;
        if self.is_raw() {
            return Ok(Undecoded::pixels(self.width, self.height, buffer));
        }
        Ok(Undecoded::new(buffer, decoded)?)
    }
}

/// A packed image or video: where it is, and its original name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packed {
    /// Path of the file before it was packed, with its split.
    pub(crate) name: PathBuf,
    pub(crate) record: Record,
}

impl Packed {
    /// Its name before it was packed.
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    /// Where it begins in the packed file.
    pub(crate) fn offset(&self) -> u64 {
        self.record.offset
    }

    /// Bytes that are read for it.
    pub(crate) fn bytes(&self) -> u64 {
        self.record.bytes.into()
    }

    /// Checksum it was packed with.
    pub(crate) fn crc32(&self) -> u32 {
        self.record.crc32
    }

    /// Reads the image from the packed file.
    pub(crate) fn open<'b>(
        &self,
        pack: &Path,
        buffer: &'b mut Vec<u8>,
        decoded: &mut Vec<u8>,
    ) -> Result<Undecoded<'b>, SampleError> {
        self.record.open(&mut File::open(pack).map_err(SampleError::read)?, buffer, decoded)
    }
}

fn read_at(file: &mut File, offset: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    buffer.resize(bytes, 0);
    file.read_exact(buffer)
}

/// Whether a path names a packed data set.
pub(crate) fn is_pack(path: &Path) -> bool {
    has_pack_name(path) && path.is_file()
}

fn has_pack_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "mnpack")
}

fn damaged(path: &Path, reason: &'static str) -> Error {
    Error::Pack { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests;
