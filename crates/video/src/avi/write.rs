//! Writes AVI files with Motion JPEG: one header, the frames, and an index of them.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result, TimeBase};

/// The most bytes of a file without extensions, which every program reads.
const MAX_BYTES: u64 = 1 << 30;

/// Bytes in front of the first frame.
const HEADER: u32 = 12 + 8 + LIST_HDRL + 12;
/// Content of the list of headers.
const LIST_HDRL: u32 = 4 + 8 + 56 + 8 + LIST_STRL;
/// Content of the list of the stream.
const LIST_STRL: u32 = 4 + 8 + 56 + 8 + 40;

/// Writes one AVI file, frame by frame.
#[derive(Debug)]
pub struct AviWriter {
    path: PathBuf,
    file: BufWriter<File>,
    size: [u32; 2],
    time_base: TimeBase,
    /// Position, counted from the `movi` of the list, and length of every frame.
    frames: Vec<(u32, u32)>,
    written: u64,
}

impl AviWriter {
    /// Makes a file for frames of a width and height in pixels; `time_base` is the time from one frame to the next.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, size: [u32; 2], time_base: TimeBase) -> Result<Self> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        // The header is written last, when the number of frames is known.
        file.write_all(&[0; HEADER as usize]).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, size, time_base, frames: Vec::new(), written: 0 })
    }

    /// Adds a frame, as the bytes of a JPEG file.
    ///
    /// # Errors
    /// The file would have more than 2³⁰ bytes, or it cannot be written.
    pub fn frame(&mut self, jpeg: &[u8]) -> Result<()> {
        let padded = jpeg.len() as u64 + jpeg.len() as u64 % 2;
        // With 8 bytes of header, and 16 in the index.
        let after = self.written + padded + 8 + 16 * (self.frames.len() as u64 + 1);
        if u64::from(HEADER) + after > MAX_BYTES {
            return Err(Error::TooLong { path: self.path.clone(), limit: MAX_BYTES });
        }
        self.frames.push((4 + self.written as u32, jpeg.len() as u32));
        self.written += 8 + padded;
        let chunk = [&b"00dc"[..], &(jpeg.len() as u32).to_le_bytes(), jpeg, &[0][..jpeg.len() % 2]].concat();
        self.file.write_all(&chunk).map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    /// Writes the index and the header.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.write_ends().map_err(|source| Error::Write { path: self.path, source })
    }

    fn write_ends(&mut self) -> io::Result<()> {
        self.file.write_all(b"idx1")?;
        self.file.write_all(&(16 * self.frames.len() as u32).to_le_bytes())?;
        for &(start, len) in &self.frames {
            // Every frame is a key frame.
            let entry = [u32::from_le_bytes(*b"00dc"), 0x10, start, len];
            self.file.write_all(&entry.map(u32::to_le_bytes).concat())?;
        }
        self.file.seek(SeekFrom::Start(0))?;
        let header = self.header();
        self.file.write_all(&header)?;
        self.file.flush()
    }

    fn header(&self) -> Vec<u8> {
        let n_frames = self.frames.len() as u32;
        let ([width, height], largest) =
            (self.size, self.frames.iter().map(|&(_, len)| len).max().unwrap_or(0));
        let TimeBase { numerator, denominator } = self.time_base;
        let microseconds = u64::from(numerator) * 1_000_000 / u64::from(denominator);
        let (movi, idx1) = (4 + self.written as u32, 16 * n_frames);
        let mut header = Vec::with_capacity(HEADER as usize);
        let mut numbers = |numbers: &[u32]| header.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        let code = |name: &[u8; 4]| u32::from_le_bytes(*name);
        numbers(&[code(b"RIFF"), HEADER - 8 + self.written as u32 + 8 + idx1, code(b"AVI ")]);
        numbers(&[code(b"LIST"), LIST_HDRL, code(b"hdrl")]);
        numbers(&[
            code(b"avih"),
            56,
            microseconds as u32,
            0,
            0,
            0x10,
            n_frames,
            0,
            1,
            largest,
            width,
            height,
        ]);
        numbers(&[0; 4]);
        numbers(&[code(b"LIST"), LIST_STRL, code(b"strl")]);
        numbers(&[
            code(b"strh"),
            56,
            code(b"vids"),
            code(b"MJPG"),
            0,
            0,
            0,
            numerator,
            denominator,
            0,
            n_frames,
        ]);
        // The quality is not stated; the frame lies in the rectangle of the last two numbers.
        numbers(&[largest, u32::MAX, 0, 0, width & 0xffff | height << 16]);
        numbers(&[code(b"strf"), 40, 40, width, height, 1 | 24 << 16, code(b"MJPG"), 3 * width * height]);
        numbers(&[0; 4]);
        numbers(&[code(b"LIST"), movi, code(b"movi")]);
        header
    }
}
