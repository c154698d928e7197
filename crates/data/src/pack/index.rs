//! The index of a packed data set, to bytes and back.
//!
//! Separate from the images because it is read once, as a whole.

use std::fs::File;
use std::path::Path;

use mutualnet_core::network::Rank;
use mutualnet_core::text::escape_invalid;

use super::{HEADER_BYTES, MAGIC, Packed, Record, Summary, VERSION, damaged, read_at};
use crate::index::{Contents, SampleRef};
use crate::{Error, Expected, Label, Place, Result};

/// Size of an index entry in bytes, without its name.
const RECORD_BYTES: usize = 36;

/// An image or video in the index, with its class and split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) packed: Packed,
    pub(super) class: u32,
    pub(super) split: u8,
}

/// The images or videos of one split.
pub(crate) fn contents(pack: &Path, split: &str) -> Result<Contents> {
    let (summary, entries) = read(pack)?;
    let Some(number) = summary.splits.iter().position(|name| name == split) else {
        return Err(Error::NotPacked {
            split: split.to_owned(),
            splits: summary.splits,
            path: pack.to_owned(),
        });
    };
    let of_split = entries.into_iter().filter(|entry| usize::from(entry.split) == number);
    let samples = of_split.map(|Entry { packed, class, .. }| SampleRef {
        place: Place::Packed(packed),
        label: Label::Class(class),
    });
    let mut samples: Vec<_> = samples.collect();
    samples.sort_by_key(SampleRef::class);
    Ok(Contents { rank: summary.rank, classes: summary.classes, samples, ..Contents::default() })
}

/// Whether a packed file holds images or videos.
pub(crate) fn rank(pack: &Path) -> Result<Rank> {
    Ok(read(pack)?.0.rank)
}

/// Names of the splits in a packed file.
pub(crate) fn splits(pack: &Path) -> Result<Vec<String>> {
    Ok(read(pack)?.0.splits)
}

/// Reads and checks the whole index.
pub(super) fn read(pack: &Path) -> Result<(Summary, Vec<Entry>)> {
    let fail = |source| Error::Io { action: "read", path: pack.to_owned(), source };
    let mut file = File::open(pack).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    if size < HEADER_BYTES as u64 {
        return Err(damaged(pack, "too short"));
    }
    let mut header = Vec::new();
    read_at(&mut file, 0, HEADER_BYTES, &mut header).map_err(fail)?;
    let version = header[MAGIC.len()];
    if header[..MAGIC.len()] != MAGIC || !(1..=VERSION).contains(&version) {
        return Err(other(pack, "another version of the format, or another kind of file"));
    }
    let mut header = Reader(&header[8..]);
    let (index_at, index_bytes, crc32) =
        (header.u64().unwrap_or(0), header.u64().unwrap_or(0), header.u32().unwrap_or(0));
    if index_at < HEADER_BYTES as u64 || index_at.checked_add(index_bytes) != Some(size) {
        return Err(damaged(
            pack,
            "the index is not where the header says: the file is truncated or was never finished",
        ));
    }
    let mut index = Vec::new();
    read_at(&mut file, index_at, index_bytes as usize, &mut index).map_err(fail)?;
    if crc32fast::hash(&index) != crc32 {
        return Err(damaged(pack, "the checksum of its index is wrong"));
    }
    let parsed = parse(&index, index_at).filter(|(summary, _)| version > 1 || summary.rank == Rank::Image);
    parsed.ok_or_else(|| damaged(pack, "its index is malformed"))
}

/// The error for a file that is not a packed data set: what it is instead, or else `reason`.
fn other(pack: &Path, reason: &'static str) -> Error {
    match Expected::Packed.instead(pack) {
        None => damaged(pack, reason),
        Some(source) => Error::Decode { path: pack.to_owned(), source },
    }
}

fn parse(index: &[u8], index_at: u64) -> Option<(Summary, Vec<Entry>)> {
    let mut reader = Reader(index);
    let summary_bytes = reader.u32()?;
    let summary: Summary = serde_json::from_slice(reader.take(summary_bytes as usize)?).ok()?;
    let n = usize::try_from(reader.u64()?).ok()?;
    let records = reader.take(n.checked_mul(RECORD_BYTES)?)?;
    let mut names = reader;
    let mut entries = Vec::with_capacity(n);
    for record in records.as_chunks::<RECORD_BYTES>().0 {
        let mut reader = Reader(record);
        let record = reader.record()?;
        let (class, split, name_bytes) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let name = std::str::from_utf8(names.take(name_bytes as usize)?).ok()?.into();
        let split = u8::try_from(split).ok()?;
        let known = (class as usize) < summary.classes.len() && usize::from(split) < summary.splits.len();
        let fits = match summary.rank {
            Rank::Image => record.fits(index_at),
            Rank::Clip => record.is_inside(index_at),
        };
        if !known || !fits {
            return None;
        }
        entries.push(Entry { packed: Packed { name, record }, class, split });
    }
    names.0.is_empty().then_some((summary, entries))
}

/// The index as bytes; the inverse of [`read`].
pub(super) fn bytes(summary: &Summary, entries: &[Entry]) -> Vec<u8> {
    let summary = serde_json::to_vec(summary).expect("names and numbers are JSON");
    let mut bytes = (summary.len() as u32).to_le_bytes().to_vec();
    bytes.extend(&summary);
    bytes.extend((entries.len() as u64).to_le_bytes());
    let name = |entry: &Entry| escape_invalid(entry.packed.name.as_os_str().as_encoded_bytes());
    for entry in entries {
        entry.packed.record.append_to(&mut bytes);
        let name_bytes = name(entry).len() as u32;
        bytes.extend([entry.class, entry.split.into(), name_bytes].map(u32::to_le_bytes).concat());
    }
    for entry in entries {
        bytes.extend(name(entry).as_bytes());
    }
    bytes
}

impl Record {
    /// Its bytes in an index or in a list of frames.
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        let Self { offset, bytes: length, crc32, width, height } = *self;
        bytes.extend(offset.to_le_bytes());
        bytes.extend([length, crc32, width, height].map(u32::to_le_bytes).concat());
    }
}

/// Reads little-endian numbers from the front of a byte slice.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// The inverse of [`Record::append_to`].
    pub(super) fn record(&mut self) -> Option<Record> {
        Some(Record {
            offset: self.u64()?,
            bytes: self.u32()?,
            crc32: self.u32()?,
            width: self.u32()?,
            height: self.u32()?,
        })
    }
}
