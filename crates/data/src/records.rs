//! Record files: many small images of the same size, one after another in a file.
//!
//! Separate from the data sets that come in such files, so that another one is only a table entry.
//! Invariant: a record is read by its number alone; nothing stays open or in memory between two of them.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result, SampleError};
use mutualnet_image::decode::Undecoded;

/// Side of the images.
const SIDE: usize = 32;
/// Bytes of one color of an image.
const PLANE: usize = SIDE * SIDE;

/// Most bytes before the pixels.
const MAX_LABEL_BYTES: usize = 2;

/// One file of records: label bytes, the last of which counts, then 32×32 pixels of red, of green and of blue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordFile {
    /// Path relative to the data set's directory.
    path: PathBuf,
    label_bytes: usize,
    sha256: [u8; 32],
}

/// The label of every record, or why it cannot be used.
pub(crate) type Labels = Vec<Result<u32, SampleError>>;

impl RecordFile {
    /// Reads a whole file for its labels and its hash.
    pub(crate) fn scan(
        root: &Path,
        path: &str,
        label_bytes: usize,
        n_classes: usize,
    ) -> Result<(Self, Labels)> {
        let whole_path = root.join(path);
        let fail = |source| Error::Io { action: "read", path: whole_path.clone(), source };
        let mut file = BufReader::new(File::open(&whole_path).map_err(fail)?);
        let (mut hasher, mut labels) = (Sha256::new(), Labels::new());
        let mut record = vec![0; label_bytes + 3 * PLANE];
        loop {
            let n = read_up_to(&mut file, &mut record).map_err(fail)?;
            hasher.update(&record[..n]);
            let label = u32::from(record[label_bytes - 1]);
            labels.push(match n {
                0 => break,
                n if n < record.len() => Err(SampleError::CutRecord { bytes: n, of: record.len() }),
                _ if label as usize >= n_classes => {
                    Err(SampleError::Label { label: label.into(), classes: n_classes })
                }
                _ => Ok(label),
            });
        }
        Ok((Self { path: path.into(), label_bytes, sha256: hasher.finalize().into() }, labels))
    }

    /// Path relative to the data set's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What lists and messages call a record: as if the file were a folder of numbered files.
    pub(crate) fn name(&self, number: u32) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// Bytes of one record.
    pub(crate) fn record_bytes(&self) -> usize {
        self.label_bytes + 3 * PLANE
    }

    /// Hash of the file's content when it was scanned.
    pub(crate) fn sha256(&self) -> &[u8] {
        &self.sha256
    }

    /// Reads one record below a data set's directory.
    pub(crate) fn open<'b>(
        &self,
        root: &Path,
        number: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Undecoded<'b>, SampleError> {
        let read = SampleError::read;
        let mut file = File::open(root.join(&self.path)).map_err(read)?;
        let begin = u64::from(number) * self.record_bytes() as u64;
        file.seek(SeekFrom::Start(begin)).map_err(read)?;
        let mut record = [0; MAX_LABEL_BYTES + 3 * PLANE];
        let record = &mut record[..self.record_bytes()];
        let n = read_up_to(&mut file, record).map_err(read)?;
        if n < record.len() {
            return Err(SampleError::CutRecord { bytes: n, of: record.len() });
        }
        interleave(&record[self.label_bytes..], buffer);
        Ok(Undecoded::pixels(SIDE as u32, SIDE as u32, buffer))
    }
}

/// Turns three planes of color into pixels, row by row.
fn interleave(planes: &[u8], pixels: &mut Vec<u8>) {
    pixels.clear();
    pixels.extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
}

/// Fills the buffer until the file ends, and returns how many bytes were read.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
