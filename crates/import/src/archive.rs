//! A reader of zip archives: entries that are stored, as PyTorch writes them, or deflated, as repacking leaves them.
//!
//! Our own because we need little of the format, and the usual crate brings in a dozen others for the rest of it.
//! Invariant: entries are used in place and together are no longer than the file, so time and memory are linear in the
//! file. A deflated entry may claim a length of at most [`MAX_RATIO`] times its packed bytes.

use std::collections::HashMap;

use crate::content::{Content, Deflated};
use crate::{Error, Result, printable};

/// The content of every entry, by name.
pub(crate) type Entries<'a> = HashMap<&'a str, Content<'a>>;

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// Lengths of the fixed parts.
const END_BYTES: usize = 22;
const LOCATOR_64_BYTES: usize = 20;
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// Longest comment after the end record.
const MAX_COMMENT: usize = 0xffff;
/// Deflate turns at most 1032 bytes into one.
const MAX_RATIO: u64 = 1032;
/// Stands for a value that is in the 64-bit extra field.
const IN_64: u64 = 0xffff_ffff;

fn wrong(reason: impl Into<String>) -> Error {
    Error::Container { reason: reason.into() }
}

fn wrong_entry(name: &str, what: &str) -> Error {
    wrong(format!("entry `{}` {what}", printable(name)))
}

/// A part of the file and numbers in it.
#[derive(Clone, Copy)]
struct Part<'a>(&'a [u8]);

impl<'a> Part<'a> {
    /// `length` bytes at `at`, which begin with `signature`.
    fn at(file: &'a [u8], at: usize, length: usize, signature: &[u8]) -> Result<Self> {
        let part = at.checked_add(length).and_then(|end| file.get(at..end));
        let part = part.filter(|part| part.starts_with(signature));
        part.map(Self).ok_or_else(|| wrong("its directory is malformed"))
    }

    fn u16(self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn u32(self, at: usize) -> u64 {
        u64::from(u32::from_le_bytes(self.0[at..at + 4].try_into().expect("4 bytes")))
    }

    fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("8 bytes"))
    }
}

/// A size or offset; one that does not fit a `usize` lies past the end of any file, and so does the largest `usize`.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// All entries of an archive.
pub(crate) fn entries(file: &[u8]) -> Result<Entries<'_>> {
    let (n_entries, mut at) = directory(file)?;
    let mut entries = Entries::new();
    let mut total = 0;
    for _ in 0..n_entries {
        let entry = Part::at(file, at, ENTRY_BYTES, ENTRY)?;
        let [name_bytes, extra_bytes, comment_bytes] = [28, 30, 32].map(|field| entry.u16(field));
        let behind = Part::at(file, at, ENTRY_BYTES + name_bytes + extra_bytes + comment_bytes, ENTRY)?.0;
        let (name, extra) = behind[ENTRY_BYTES..].split_at(name_bytes);
        let name = std::str::from_utf8(name)
            .map_err(|source| Error::NotUtf8 { what: "the name of an entry".to_owned(), source })?;
        let (packed, content) = content(file, entry, &extra[..extra_bytes], name)?;
        total += packed;
        if total > file.len() {
            return Err(wrong("its entries overlap"));
        }
        if entries.insert(name, content).is_some() {
            return Err(wrong_entry(name, "occurs twice"));
        }
        at += behind.len();
    }
    Ok(entries)
}

/// Number of entries, and where their directory begins.
fn directory(file: &[u8]) -> Result<(u64, usize)> {
    let from = file.len().saturating_sub(END_BYTES + MAX_COMMENT);
    let end = file[from..].windows(END.len()).rposition(|window| window == END);
    let end = from + end.ok_or_else(|| wrong("the archive has no end record: it is truncated"))?;
    let record = Part::at(file, end, END_BYTES, END)?;
    let locator = end.checked_sub(LOCATOR_64_BYTES);
    let locator = locator.and_then(|at| Part::at(file, at, LOCATOR_64_BYTES, LOCATOR_64).ok());
    let (n_entries, begin) = match locator {
        Some(locator) => {
            let record = Part::at(file, size(locator.u64(8)), 56, END_64)?;
            (record.u64(32), record.u64(48))
        }
        None => (record.u16(10) as u64, record.u32(16)),
    };
    Ok((n_entries, size(begin)))
}

/// How many bytes one entry of the directory takes, and what is in them.
fn content<'a>(file: &'a [u8], entry: Part<'_>, extra: &[u8], name: &str) -> Result<(usize, Content<'a>)> {
    const ENCRYPTED: usize = 1;
    const STORED: usize = 0;
    const DEFLATED: usize = 8;
    if entry.u16(8) & ENCRYPTED != 0 {
        return Err(Error::Encrypted { name: name.to_owned() });
    }
    let [mut packed, mut length, mut local] = [20, 24, 42].map(|field| entry.u32(field));
    // The field holds only the values that are needed, in this order.
    let mut wide = extra_64(extra);
    for value in [&mut length, &mut packed, &mut local] {
        if *value == IN_64
            && let Some((first, rest)) = wide.split_first_chunk::<8>()
        {
            (*value, wide) = (u64::from_le_bytes(*first), rest);
        }
    }
    let local = size(local);
    let header = Part::at(file, local, LOCAL_BYTES, LOCAL)?;
    let begin = local + LOCAL_BYTES + header.u16(26) + header.u16(28);
    let end = begin.checked_add(size(packed));
    let bytes = end.and_then(|end| file.get(begin..end));
    let bytes = bytes.ok_or_else(|| wrong_entry(name, "reaches beyond the end of the file"))?;
    let crc = entry.u32(16) as u32;
    let content = match entry.u16(10) {
        STORED if packed != length => return Err(wrong_entry(name, "has two different sizes")),
        STORED if crc32fast::hash(bytes) != crc => {
            return Err(wrong_entry(name, "does not match its checksum"));
        }
        STORED => Content::Stored(bytes),
        DEFLATED if length > MAX_RATIO.saturating_mul(packed) => {
            return Err(wrong_entry(name, "claims to unpack to more bytes than is possible"));
        }
        DEFLATED => Content::Deflated(Deflated { packed: bytes, length, crc }),
        method => return Err(Error::Compression { name: name.to_owned(), method }),
    };
    Ok((bytes.len(), content))
}

/// The extra field with 64-bit sizes, or nothing.
fn extra_64(mut extra: &[u8]) -> &[u8] {
    const SIZES_64: u16 = 1;
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let [id, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_le_bytes);
        let Some((field, behind)) = rest.split_at_checked(length.into()) else { break };
        if id == SIZES_64 {
            return field;
        }
        extra = behind;
    }
    &[]
}
