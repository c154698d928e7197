//! Packed data sets: all images of all splits in one file, for disks that are slow with many small files.
//!
//! `docs/formats.md` describes the layout. Images are stored as the original files, as smaller JPEG files or as raw pixels.
//! Invariants: nothing outside the file's bounds is read, whatever its index says, and every image that is handed out
//! has the checksum it was packed with.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, SampleError};
use mutualnet_image::decode::{Undecoded, check_file_size};

mod index;
mod write;
pub(crate) use index::{contents, splits};
pub use write::{PackOptions, PackReport, pack};

/// First bytes of a packed file; the last one is the version of the format.
const MAGIC: [u8; 8] = *b"mnpack\0\x01";
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

/// What the index says about the whole data set.
#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    classes: Vec<String>,
    splits: Vec<String>,
    store: Store,
    max_side: Option<u32>,
}

/// One image in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    offset: u64,
    bytes: u32,
    crc32: u32,
    /// Size of raw pixels; zeros if a file is stored.
    width: u32,
    height: u32,
}

impl Record {
    fn is_raw(&self) -> bool {
        self.width > 0
    }

    /// Whether the image lies between header and index, and has as many bytes as its size needs.
    fn fits(&self, index_at: u64) -> bool {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let inside = self.offset >= HEADER_BYTES as u64
            && self.offset.checked_add(self.bytes.into()).is_some_and(|end| end <= index_at);
        let whole = self.width == 0 && self.height == 0
            || pixels > 0 && pixels.checked_mul(3) == Some(self.bytes.into());
        inside && whole
    }
}

/// A packed image: where it is, and its original name.
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
        let Record { offset, bytes, crc32, width, height } = self.record;
        check_file_size(bytes.into())?;
        read_at(pack, offset, bytes as usize, buffer).map_err(SampleError::read)?;
        if crc32fast::hash(buffer) != crc32 {
            return Err(SampleError::Checksum);
        }
        if self.record.is_raw() {
            return Ok(Undecoded::pixels(width, height, buffer));
        }
        Ok(Undecoded::new(buffer, decoded)?)
    }
}

fn read_at(path: &Path, offset: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::open(path)?;
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
