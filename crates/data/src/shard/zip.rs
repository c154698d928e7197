//! Zip directories: where every file in an archive begins, and how it is compressed.
//!
//! The `zip` crate reads the directory and the headers; contents are read at their offsets, as in every shard.
//! Invariant: an archive without its directory, which is at the end, has no files.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use super::{Member, Packing, Scan, clean_name};
use crate::SampleError;

/// Reads the directory of a zip file.
pub(super) fn scan(file: File) -> Scan {
    let mut scan = Scan::default();
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let mut archive = match ZipArchive::new(BufReader::with_capacity(4096, file)) {
        Ok(archive) => archive,
        Err(error) => {
            scan.broken.push((Member::rest(0, bytes), damage(&error.to_string())));
            return scan;
        }
    };
    for number in 0..archive.len() {
        let name = archive.name_for_index(number).unwrap_or_default().to_owned();
        match archive.by_index_raw(number) {
            Ok(entry) if entry.is_dir() => {}
            Ok(entry) if entry.is_symlink() => scan.n_other += 1,
            Ok(entry) => match member(&entry, bytes) {
                Ok(member) => scan.members.push(member),
                Err(reason) => scan.broken.push((named(&name, &entry), reason)),
            },
            Err(error) => {
                let mut member = Member::rest(0, 0);
                member.name = clean_name(name.as_bytes());
                scan.broken.push((member, damage(&error.to_string())));
            }
        }
    }
    scan
}

fn named<R: Read + Seek>(name: &str, entry: &ZipFile<'_, R>) -> Member {
    let packing = Packing::Checked { crc32: entry.crc32() };
    let offset = entry.data_start().unwrap_or_default();
    Member { name: clean_name(name.as_bytes()), offset, bytes: entry.size(), packing }
}

/// A file that can be read; `shard_bytes` is the size of the archive.
fn member<R: Read + Seek>(entry: &ZipFile<'_, R>, shard_bytes: u64) -> Result<Member, SampleError> {
    let mut member = named(entry.name(), entry);
    let (crc32, packed_bytes) = (entry.crc32(), entry.compressed_size());
    if entry.encrypted() {
        return Err(damage("the file is encrypted"));
    }
    member.packing = match entry.compression() {
        CompressionMethod::Stored if packed_bytes == member.bytes => Packing::Checked { crc32 },
        CompressionMethod::Stored => return Err(damage("the directory and the file disagree on its size")),
        CompressionMethod::DEFLATE => Packing::Deflated { packed_bytes, crc32 },
        other => return Err(damage(&format!("{other} is not a supported compression"))),
    };
    if shard_bytes.saturating_sub(member.offset) < packed_bytes {
        return Err(damage("ends before the file does"));
    }
    Ok(member)
}

fn damage(reason: &str) -> SampleError {
    SampleError::Archive { reason: reason.split_whitespace().collect::<Vec<_>>().join(" ") }
}

#[cfg(test)]
pub(crate) mod tests;
