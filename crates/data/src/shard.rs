//! Shards: archives of many images of any size, each read at its offset.
//!
//! Separate from what a shard means as a data set: nothing here knows about labels.
//! Invariant: contents are read by offset alone; nothing is mapped, kept open or cached between two images.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use mutualnet_core::text::escape_invalid;
use mutualnet_image::decode::{check_file_size, open_file};

use crate::{Expected, SampleError};

mod tar;
mod zip;
#[cfg(test)]
pub(crate) use {tar::tests as tar_tests, zip::tests as zip_tests};

/// A file that holds others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Path relative to the data set's directory.
    path: PathBuf,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    Tar,
    /// A compressed tar file, in which nothing can be read at an offset.
    CompressedTar,
    Zip,
    /// A table, whose images are rows; it is read elsewhere.
    Parquet,
    /// A table like Parquet.
    Arrow,
}

impl Format {
    /// The format of a file, by its name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        if path.file_name().is_some_and(|name| without_compression(&name.to_string_lossy()).is_some()) {
            return Some(Self::CompressedTar);
        }
        let extension = path.extension()?;
        [
            ("tar", Self::Tar),
            ("tgz", Self::CompressedTar),
            ("zip", Self::Zip),
            ("parquet", Self::Parquet),
            ("arrow", Self::Arrow),
            ("feather", Self::Arrow),
        ]
        .into_iter()
        .find_map(|(known, format)| extension.eq_ignore_ascii_case(known).then_some(format))
    }
}

/// A file in a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    name: PathBuf,
    offset: u64,
    bytes: u64,
    packing: Packing,
}

/// How the content of a file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Packing {
    Plain,
    /// Uncompressed, with a checksum.
    Checked {
        crc32: u32,
    },
    Deflated {
        packed_bytes: u64,
        crc32: u32,
    },
}

impl Packing {
    /// Reads `bytes` bytes of content that begin at an offset.
    fn read(
        self,
        shard: &mut File,
        offset: u64,
        bytes: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<(), SampleError> {
        check_file_size(bytes)?;
        let read = SampleError::read;
        shard.seek(SeekFrom::Start(offset)).map_err(read)?;
        buffer.clear();
        let n = match self {
            Self::Plain | Self::Checked { .. } => shard.take(bytes).read_to_end(buffer).map_err(read)?,
            // One byte too many is enough to show that the size is wrong.
            Self::Deflated { packed_bytes, .. } => DeflateDecoder::new(shard.take(packed_bytes))
                .take(bytes + 1)
                .read_to_end(buffer)
                .map_err(|error| SampleError::Archive { reason: error.to_string() })?,
        } as u64;
        if n != bytes {
            let amount = if n < bytes { n.to_string() } else { "more".to_owned() };
            let reason = format!("expected a file of {bytes} bytes, found {amount}");
            return Err(SampleError::Archive { reason });
        }
        Ok(())
    }
}

/// What a shard holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Files, in the order of the shard.
    pub(crate) members: Vec<Member>,
    /// What cannot be used; without a name of its own, it is called `@` and its offset.
    pub(crate) broken: Vec<(Member, SampleError)>,
    /// Links and devices.
    pub(crate) n_other: usize,
}

/// The name without its compression, if it is that of a compressed tar file.
pub(crate) fn without_compression(name: &str) -> Option<&str> {
    let (tar, compression) = name.rsplit_once('.')?;
    let is_known = ["gz", "bz2", "xz", "zst"].iter().any(|known| compression.eq_ignore_ascii_case(known));
    let ending = tar.len().checked_sub(".tar".len()).and_then(|at| tar.get(at..))?;
    (is_known && ending.eq_ignore_ascii_case(".tar")).then_some(tar)
}

/// Whether a file is a shard, by its name; `cache-….arrow` holds what the library `datasets` computed, and is not one.
pub(crate) fn is_shard_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    Format::of(path).is_some_and(|format| format != Format::Arrow || !name.starts_with(b"cache-"))
}

/// Whether a shard is a table, in which images are rows.
pub(crate) fn is_table_name(path: &Path) -> bool {
    matches!(Format::of(path), Some(Format::Parquet | Format::Arrow))
}

impl Shard {
    /// A shard below a data set's directory; a file of any other name is taken for a tar file.
    pub(crate) fn new(path: PathBuf) -> Self {
        let format = Format::of(&path).unwrap_or(Format::Tar);
        Self { path, format }
    }

    /// Path relative to the data set's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file.
    pub(crate) fn file(&self, root: &Path) -> Result<File, SampleError> {
        Ok(open_file(&root.join(&self.path))?)
    }

    /// Reads the headers, and skips the contents.
    pub(crate) fn scan(&self, root: &Path) -> Scan {
        let nothing = |reason| Scan { broken: vec![(Member::rest(0, 0), reason)], ..Scan::default() };
        match self.file(root) {
            Ok(file) => match self.format {
                Format::Tar => self.or_other(root, Expected::Tar, tar::scan(file)),
                Format::CompressedTar => nothing(SampleError::Archive {
                    reason: "a compressed tar file cannot be read in place: decompress it to a .tar file"
                        .to_owned(),
                }),
                Format::Zip => self.or_other(root, Expected::Zip, zip::scan(file)),
                Format::Parquet | Format::Arrow => Scan::default(),
            },
            Err(reason) => nothing(reason),
        }
    }

    /// What was found; if that is nothing but damage, the reason becomes what the file is instead.
    fn or_other(&self, root: &Path, expected: Expected, mut scan: Scan) -> Scan {
        if let ([], [(_, reason)]) = (scan.members.as_slice(), scan.broken.as_mut_slice())
            && let Some(instead) = expected.instead(&root.join(&self.path))
        {
            *reason = instead;
        }
        scan
    }
}

impl Member {
    /// What begins at an offset and has no name, or a name that is in use already.
    pub(crate) fn rest(offset: u64, bytes: u64) -> Self {
        Self { name: format!("@{offset}").into(), offset, bytes, packing: Packing::Plain }
    }

    /// The same content under the name of [`Member::rest`].
    pub(crate) fn unnamed(&self) -> Self {
        Self { packing: self.packing, ..Self::rest(self.offset, self.bytes) }
    }

    /// Its name in the shard, without empty parts, `.` and control characters, so that it fits into one line of a list.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Where its content begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the content from its shard.
    pub(crate) fn read(&self, shard: &mut File, buffer: &mut Vec<u8>) -> Result<(), SampleError> {
        self.packing.read(shard, self.offset, self.bytes, buffer)?;
        self.check(buffer)
    }

    fn check(&self, content: &[u8]) -> Result<(), SampleError> {
        match self.packing {
            Packing::Checked { crc32 } | Packing::Deflated { crc32, .. } => {
                let mut crc = Crc::new();
                crc.update(content);
                if crc.sum() == crc32 {
                    return Ok(());
                }
                Err(SampleError::Archive { reason: "the checksum of the file is wrong".to_owned() })
            }
            Packing::Plain => Ok(()),
        }
    }
}

/// A relative name in which nothing would break a line of a list; bytes that are not UTF-8 become `\xNN`.
fn clean_name(bytes: &[u8]) -> PathBuf {
    let text = escape_invalid(bytes);
    let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
    let printable = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    parts.map(|part| part.chars().map(printable).collect::<String>()).collect()
}
