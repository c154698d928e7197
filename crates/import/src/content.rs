//! The bytes of a checkpoint's parts, stored or deflated.
//!
//! Separate because PyTorch stores storages as they are, and people pack the archives again.
//! Invariant: a deflated part is unpacked when its numbers are asked for, never to more than its directory says and never
//! to more than [`MAX_UNPACKED_BYTES`] in all.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::DeflateDecoder;

use crate::{Error, Result};

/// Most bytes that are unpacked out of one file; as many as are read of a file that is not packed.
pub(crate) const MAX_UNPACKED_BYTES: u64 = 8 << 30;

/// Bytes of every storage, by key.
pub(crate) type Storages<'a> = HashMap<&'a str, Content<'a>>;

/// One part of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// As it lies in the file, checked.
    Stored(&'a [u8]),
    Deflated(Deflated<'a>),
}

/// A part that is to be unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deflated<'a> {
    pub(crate) packed: &'a [u8],
    /// What the directory says about the unpacked bytes.
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
    /// Address of the packed bytes, and what they are unpacked.
    last: Option<(usize, Vec<u8>)>,
    total: u64,
}

impl Unpacker {
    /// The bytes of a part.
    ///
    /// # Errors
    /// It is damaged, has another length than its directory says, or there are too many bytes in all.
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
    /// All bytes, compared with length and checksum.
    pub(crate) fn unpack(&self) -> Result<Vec<u8>> {
        let wrong = |reason: &str| Error::Container { reason: reason.to_owned() };
        let mut bytes = Vec::new();
        // One byte more would show that there are more.
        let mut limited = DeflateDecoder::new(self.packed).take(self.length.saturating_add(1));
        limited
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(&format!("a compressed entry cannot be unpacked: {error}")))?;
        if bytes.len() as u64 != self.length {
            return Err(wrong("a compressed entry unpacks to another length than the archive says"));
        }
        if crc32fast::hash(&bytes) != self.crc {
            return Err(wrong("a compressed entry does not match its checksum"));
        }
        Ok(bytes)
    }
}
