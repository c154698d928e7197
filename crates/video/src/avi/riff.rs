//! The chunks of a RIFF file: four letters, a length, and that many bytes, padded to an even number.
//!
//! Invariant: no length is believed beyond the end of the file, and nothing is read before it is needed.

use std::io::{self, Read, Seek, SeekFrom};

/// Where the content of a chunk lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) id: [u8; 4],
    /// Position of the first byte of its content.
    pub(super) start: u64,
    /// Length as the file says.
    pub(super) len: u32,
}

impl Chunk {
    /// The end of its content as the file says.
    pub(super) fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }
}

/// Reads the chunks between two positions, one after the other.
pub(super) struct Chunks {
    at: u64,
    end: u64,
}

impl Chunks {
    pub(super) fn new(start: u64, end: u64) -> Self {
        Self { at: start, end }
    }

    /// The next chunk, if its header lies before the end.
    pub(super) fn next(&mut self, file: &mut (impl Read + Seek)) -> io::Result<Option<Chunk>> {
        if self.at + 8 > self.end {
            return Ok(None);
        }
        let [id, len] = read_at(file, self.at).map(|header: [u8; 8]| {
            let [a, b, c, d, e, f, g, h] = header;
            [[a, b, c, d], [e, f, g, h]]
        })?;
        let chunk = Chunk { id, start: self.at + 8, len: u32::from_le_bytes(len) };
        self.at = chunk.end() + u64::from(chunk.len % 2);
        Ok(Some(chunk))
    }
}

/// The bytes at a position.
pub(super) fn read_at<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
