//! Finds the frames of an AVI file with Motion JPEG.
//!
//! The chunks themselves are followed, not the file's index, which is often damaged or missing.
//! Invariant: hostile files give an error or fewer frames, never a panic; memory is at most about twice the file.

use std::io::{Read, Seek, SeekFrom};

use super::riff::{Chunk, Chunks, read_at};
use crate::{FrameIndex, TimeBase, VideoError};

/// The most frames of one file: 46 days at 25 frames per second.
const MAX_FRAMES: usize = 100_000_000;

/// Codes of Motion JPEG in a stream's header.
const CODECS: [&[u8; 4]; 4] = [b"MJPG", b"mjpg", b"AVRn", b"dmb1"];

/// The frames of a Motion JPEG file.
#[derive(Debug)]
pub(crate) struct Movie {
    /// When the frames are shown.
    pub(crate) index: FrameIndex,
    /// Position and length of every frame's JPEG.
    pub(crate) frames: Vec<(u64, u32)>,
}

/// What the headers say about the first video stream.
struct Stream {
    number: u8,
    size: [u32; 2],
    time_base: TimeBase,
    announced: u32,
}

/// The frames of an AVI file whose video is Motion JPEG; nothing if the file is anything else.
pub(crate) fn read(file: &mut (impl Read + Seek)) -> Result<Option<Movie>, VideoError> {
    let file_end = file.seek(SeekFrom::End(0))?;
    let mut riffs = Chunks::new(0, file_end);
    let (mut stream, mut frames) = (None, Vec::new());
    while let Some(riff) = riffs.next(file)? {
        if &riff.id != b"RIFF" || riff.start + 4 > file_end {
            break;
        }
        // Large files go on in further parts.
        let kind: [u8; 4] = read_at(file, riff.start)?;
        if !matches!(&kind, b"AVI " | b"AVIX") {
            break;
        }
        let mut chunks = Chunks::new(riff.start + 4, content_end(&riff, file_end));
        while let Some(chunk) = chunks.next(file)? {
            match list_type(file, &chunk, file_end)? {
                Some(list) if &list == b"hdrl" && stream.is_none() => {
                    let Some(found) = read_headers(file, &chunk, file_end)? else { return Ok(None) };
                    stream = Some(found);
                }
                Some(list) if &list == b"movi" => {
                    let Some(stream) = &stream else { return Ok(None) };
                    collect(file, (&chunk, file_end), stream.number, &mut frames)?;
                }
                _ => {}
            }
        }
    }
    let Some(stream) = stream else { return Ok(None) };
    repeat_dropped(&mut frames);
    if frames.is_empty() {
        return Err(VideoError::NoFrames);
    }
    let index = FrameIndex {
        container: "avi".to_owned(),
        codec: "mjpeg".to_owned(),
        size: stream.size,
        time_base: stream.time_base,
        times: (0..frames.len() as i64).collect(),
        keys: (0..frames.len() as u32).collect(),
        announced: (stream.announced > 0).then_some(u64::from(stream.announced)),
    };
    Ok(Some(Movie { index, frames }))
}

/// Where a list ends; a recording that was cut short may say 0.
fn content_end(chunk: &Chunk, file_end: u64) -> u64 {
    if chunk.len == 0 { file_end } else { chunk.end().min(file_end) }
}

/// The type of a chunk that is a list.
fn list_type(
    file: &mut (impl Read + Seek),
    chunk: &Chunk,
    file_end: u64,
) -> Result<Option<[u8; 4]>, VideoError> {
    if &chunk.id != b"LIST" || chunk.start + 4 > file_end {
        return Ok(None);
    }
    Ok(Some(read_at(file, chunk.start)?))
}

/// The first video stream, if it is Motion JPEG.
fn read_headers(
    file: &mut (impl Read + Seek),
    headers: &Chunk,
    file_end: u64,
) -> Result<Option<Stream>, VideoError> {
    let mut lists = Chunks::new(headers.start + 4, content_end(headers, file_end));
    let mut number = 0;
    while let Some(chunk) = lists.next(file)? {
        if list_type(file, &chunk, file_end)?.is_none_or(|list| &list != b"strl") {
            continue;
        }
        if let Some(found) = read_stream(file, &chunk, (number, file_end))? {
            return Ok(found);
        }
        number += 1;
        if number > 99 {
            break;
        }
    }
    Ok(None)
}

/// What a stream's list says: nothing if it is no video, and `Some(None)` if it is a video of another codec.
fn read_stream(
    file: &mut (impl Read + Seek),
    list: &Chunk,
    (number, file_end): (u8, u64),
) -> Result<Option<Option<Stream>>, VideoError> {
    let mut chunks = Chunks::new(list.start + 4, content_end(list, file_end));
    let (mut header, mut format) = (None, None);
    while let Some(chunk) = chunks.next(file)? {
        match &chunk.id {
            b"strh" if chunk.len >= 36 && chunk.start + 36 <= file_end => {
                header = Some(read_at::<36>(file, chunk.start)?);
            }
            b"strf" if chunk.len >= 20 && chunk.start + 20 <= file_end => {
                format = Some(read_at::<20>(file, chunk.start)?);
            }
            _ => {}
        }
    }
    let Some(header) = header.filter(|header| header.starts_with(b"vids")) else { return Ok(None) };
    let Some(format) = format else { return Ok(Some(None)) };
    let number_at = |bytes: &[u8], at: usize| bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    if !CODECS.iter().any(|codec| format[16..20] == codec[..]) {
        return Ok(Some(None));
    }
    let [scale, rate, announced] = [20, 24, 32].map(|at| number_at(&header, at));
    // Frames from top to bottom have a negative height.
    let [width, height] = [number_at(&format, 4), number_at(&format, 8).cast_signed().unsigned_abs()];
    if scale == 0 || rate == 0 {
        return Err(VideoError::Damaged { reason: "the AVI header has no frame rate".to_owned() });
    }
    let time_base = TimeBase { numerator: scale, denominator: rate };
    Ok(Some(Some(Stream { number, size: [width, height], time_base, announced })))
}

/// Adds the frames of a stream in a list of data. Only whole frames count: the last one of a file may be cut.
fn collect(
    file: &mut (impl Read + Seek),
    (list, file_end): (&Chunk, u64),
    number: u8,
    frames: &mut Vec<(u64, u32)>,
) -> Result<(), VideoError> {
    // Lists of records lie within the list of data and are read as if their borders were not there.
    let digits = [b'0' + number / 10, b'0' + number % 10];
    let end = content_end(list, file_end);
    let mut chunks = Chunks::new(list.start + 4, end);
    while let Some(chunk) = chunks.next(file)? {
        if &chunk.id == b"LIST" {
            chunks = Chunks::new(chunk.start + 4, end);
        } else if chunk.id[..2] == digits
            && matches!(&chunk.id[2..], b"dc" | b"db")
            && chunk.end() <= file_end
        {
            frames.push((chunk.start, chunk.len));
            if frames.len() > MAX_FRAMES {
                return Err(VideoError::Damaged { reason: format!("more than {MAX_FRAMES} frames") });
            }
        }
    }
    Ok(())
}

/// A frame without bytes stands for the one before it.
fn repeat_dropped(frames: &mut Vec<(u64, u32)>) {
    let first = frames.iter().position(|&(_, len)| len > 0).unwrap_or(frames.len());
    frames.drain(..first);
    for idx in 1..frames.len() {
        if frames[idx].1 == 0 {
            frames[idx] = frames[idx - 1];
        }
    }
}
