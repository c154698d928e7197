//! Places: where the bytes of one image are, and how they are read.
//!
//! Separate so that loading, checking and hashing do not need to know the layout of a data set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use mutualnet_image::Image;
use mutualnet_image::decode::{Undecoded, open_file, read_file};

use crate::SampleError;
use crate::pack::Packed;
use crate::records::RecordFile;
use crate::shard::{Member, Shard};
use crate::table::Table;

/// Where an image is; paths are relative to the data set's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Place {
    /// An image file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Size of the file.
        bytes: u64,
    },
    /// One record of a file that holds many.
    Record {
        /// The file.
        file: Arc<RecordFile>,
        /// Number of the record in the file, from 0.
        number: u32,
    },
    /// An image in a packed data set; the packed file itself takes the place of the data set's directory.
    Packed(Packed),
    /// A file in a shard.
    Member {
        /// The shard.
        shard: Arc<Shard>,
        /// The file in it.
        member: Box<Member>,
    },
    /// One row of a table.
    Row {
        /// The file.
        table: Arc<Table>,
        /// Number of the row in the file, from 0.
        row: u32,
    },
}

impl Place {
    /// Its name in quarantine lists and messages.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::File { path, .. } => path.clone(),
            Self::Record { file, number } => file.name(*number),
            Self::Packed(packed) => packed.name.clone(),
            Self::Member { shard, member } => shard.path().join(member.name()),
            Self::Row { table, row } => table.path().join(row.to_string()),
        }
    }

    /// Bytes that are read for it; for a record of a table, the mean over those that are read together.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => *bytes,
            Self::Record { file, .. } => file.record_bytes() as u64,
            Self::Packed(packed) => packed.bytes(),
            Self::Member { member, .. } => member.bytes(),
            Self::Row { table, row } => table.row_bytes(*row),
        }
    }

    /// Reads the image into a buffer; `dir` is the data set's directory.
    ///
    /// An image that cannot be decoded in parts is decoded now, in the memory of `decoded`.
    pub(crate) fn open<'b>(
        &self,
        dir: &Path,
        buffer: &'b mut Vec<u8>,
        decoded: &mut Vec<u8>,
    ) -> Result<Undecoded<'b>, SampleError> {
        match self {
            Self::File { path, .. } => {
                read_file(open_file(&dir.join(path))?, buffer)?;
                Ok(Undecoded::new(buffer, decoded)?)
            }
            Self::Record { file, number } => file.open(dir, *number, buffer),
            Self::Packed(packed) => packed.open(dir, buffer, decoded),
            Self::Member { shard, member } => {
                member.read(&mut shard.file(dir)?, buffer)?;
                Ok(Undecoded::new(buffer, decoded)?)
            }
            Self::Row { table, row } => {
                table.read(dir, *row, buffer)?;
                Ok(Undecoded::new(buffer, decoded)?)
            }
        }
    }

    /// Reads and decodes the whole image; `dir` is the data set's directory.
    pub(crate) fn read(&self, dir: &Path) -> Result<Image, SampleError> {
        Ok(self.open(dir, &mut Vec::new(), &mut Vec::new())?.whole()?)
    }

    /// Reads all of the image below a data set's directory to find damage; returns its width and height.
    ///
    /// A JPEG is scaled down while it is decoded: that finds the same damage in less time and memory.
    pub(crate) fn verify(&self, dir: &Path) -> Result<[u32; 2], SampleError> {
        Ok(self.open(dir, &mut Vec::new(), &mut Vec::new())?.verify()?)
    }

    /// Adds name and size to a hash.
    ///
    /// Names and sizes of CIFAR's records are all alike, so the content of their file is hashed instead. For a file in a
    /// shard its offset is added, for a record of a table the size of the table, and for a packed image its checksum.
    pub(crate) fn hash_into(&self, hasher: &mut Sha256) {
        for part in self.name().components() {
            hasher.update(part.as_os_str().as_encoded_bytes());
            hasher.update(b"/");
        }
        hasher.update(self.bytes().to_le_bytes());
        match self {
            Self::File { .. } => {}
            Self::Record { file, .. } => hasher.update(file.sha256()),
            Self::Member { member, .. } => hasher.update(member.offset().to_le_bytes()),
            Self::Row { table, .. } => hasher.update(table.bytes().to_le_bytes()),
            Self::Packed(packed) => hasher.update(packed.crc32().to_le_bytes()),
        }
    }
}
