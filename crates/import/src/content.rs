//! The bytes of a checkpoint's parts, stored or deflated.
//!
//! Separate because PyTorch does not compress storages, but archives that people have repacked are compressed.
//! Invariant: a deflated part is unpacked only when its numbers are asked for, never to more bytes than the archive's
//! directory says, and never to more than [`MAX_UNPACKED_BYTES`] in all.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::DeflateDecoder;

use crate::{Error, Result};

/// Most bytes that are unpacked from one file; the largest file that is read has as many.
pub(crate) const MAX_UNPACKED_BYTES: u64 = 8 << 30;

/// Bytes of every storage, by key.
pub(crate) type Storages<'a> = HashMap<&'a str, Content<'a>>;

/// One part of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// The bytes in the file, already checked.
    Stored(&'a [u8]),
    Deflated(Deflated<'a>),
}

/// A compressed part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deflated<'a> {
    pub(crate) packed: &'a [u8],
    /// Length of the unpacked bytes, as the archive's directory has it; `crc` is their checksum.
    pub(crate) length: u64,
    pub(crate) crc: u32,
}

impl Content<'_> {
    /// How many bytes it has, unpacked.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Stored(bytes) => bytes.len() as u64,
            Self::Deflated(deflated) => deflated.length,
        }
    }
}

/// Unpacks parts one after the other; the last one is kept, because tensors that share a storage follow each other.
#[derive(Debug, Default)]
pub(crate) struct Unpacker {
    /// Address of the packed bytes, and the bytes that they unpack to.
    last: Option<(usize, Vec<u8>)>,
    total: u64,
}

impl Unpacker {
    /// The bytes of a part.
    ///
    /// # Errors
    /// It is damaged, does not have the length that the directory says, or there are too many bytes in all.
    pub(crate) fn bytes<'u>(&'u mut self, content: &Content<'u>) -> Result<&'u [u8]> {
        let deflated = match content {
            Content::Stored(bytes) => return Ok(bytes),
            Content::Deflated(deflated) => deflated,
        };
        let address = deflated.packed.as_ptr().addr();
        if self.last.as_ref().is_none_or(|(last, _)| *last != address) {
            self.last = None;
            self.total = self.total.saturating_add(deflated.length);
            if self.total > MAX_UNPACKED_BYTES {
                let reason = format!("its entries unpack to more than {MAX_UNPACKED_BYTES} bytes");
                return Err(Error::Container { reason });
            }
            self.last = Some((address, deflated.unpack()?));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, bytes)| bytes))
    }
}

impl Deflated<'_> {
    /// The unpacked bytes, checked against length and checksum.
    pub(crate) fn unpack(&self) -> Result<Vec<u8>> {
        let wrong = |reason: &str| Error::Container { reason: reason.to_owned() };
        let mut bytes = Vec::new();
        // Reading one byte more shows whether there are more than announced.
        let mut limited = DeflateDecoder::new(self.packed).take(self.length.saturating_add(1));
        limited
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(&format!("a compressed entry cannot be unpacked: {error}")))?;
        if bytes.len() as u64 != self.length {
            return Err(wrong("a compressed entry does not unpack to the length that the archive says"));
        }
        if crc32fast::hash(&bytes) != self.crc {
            return Err(wrong("a compressed entry does not match its checksum"));
        }
        Ok(bytes)
    }
}
