//! The frames of one packed video: when each is shown, and where it is.
//!
//! Separate from the index because it is read when the video is, so that memory does not grow with the number of frames.
//! Invariant: as of the whole pack; and times increase.

use std::fs::File;
use std::path::Path;

use mutualnet_image::decode::Undecoded;
use mutualnet_video::{FrameIndex, TimeBase};

use super::index::Reader;
use super::{Packed, Record};
use crate::SampleError;

/// Size of a frame in the list in bytes.
const FRAME_BYTES: usize = 32;

/// A video in a packed data set, opened.
#[derive(Debug)]
pub(crate) struct PackedVideo {
    index: FrameIndex,
    frames: Vec<Record>,
    file: File,
}

impl PackedVideo {
    /// Reads the list of frames of a video in a packed file.
    pub(crate) fn open(pack: &Path, video: &Packed) -> Result<Self, SampleError> {
        let Record { width, height, .. } = video.record;
        let mut file = File::open(pack).map_err(SampleError::read)?;
        let mut bytes = Vec::new();
        video.record.read(&mut file, &mut bytes)?;
        let (time_base, times, frames) =
            parse(&bytes, video.record.offset).ok_or(SampleError::PackedFrames)?;
        let index = FrameIndex {
            container: "mnpack".to_owned(),
            codec: if frames[0].is_raw() { "rawvideo" } else { "mjpeg" }.to_owned(),
            size: [width, height],
            time_base,
            keys: (0..times.len() as u32).collect(),
            times,
            announced: None,
        };
        Ok(Self { index, frames, file })
    }

    /// When its frames are shown.
    pub(crate) fn index(&self) -> &FrameIndex {
        &self.index
    }

    /// Reads all of a frame to find damage.
    pub(crate) fn verify(&mut self, number: usize) -> Result<(), SampleError> {
        let verified = self.frame(number, &mut Vec::new(), &mut Vec::new())?.verify();
        verified
            .map(drop)
            .map_err(|source| SampleError::PackedFrame { number, source: Box::new(source.into()) })
    }

    /// Reads a frame into a buffer.
    pub(crate) fn frame<'b>(
        &mut self,
        number: usize,
        buffer: &'b mut Vec<u8>,
        decoded: &mut Vec<u8>,
    ) -> Result<Undecoded<'b>, SampleError> {
        let opened = self.frames[number].open(&mut self.file, buffer, decoded);
        opened.map_err(|source| SampleError::PackedFrame { number, source: Box::new(source) })
    }
}

/// Time base, times, and where the frames are.
fn parse(bytes: &[u8], list_at: u64) -> Option<(TimeBase, Vec<i64>, Vec<Record>)> {
    let mut reader = Reader(bytes);
    let time_base = TimeBase { numerator: reader.u32()?, denominator: reader.u32()? };
    let (frames, rest) = reader.0.as_chunks::<FRAME_BYTES>();
    if frames.is_empty() || !rest.is_empty() || time_base.denominator == 0 {
        return None;
    }
    let (mut times, mut records) = (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    for frame in frames {
        let mut reader = Reader(frame);
        let time = reader.u64()?.cast_signed();
        let record = reader.record()?;
        if times.last().is_some_and(|&last| last >= time) || !record.fits(list_at) {
            return None;
        }
        times.push(time);
        records.push(record);
    }
    Some((time_base, times, records))
}

/// The list of frames as bytes; the inverse of [`parse`].
pub(super) fn bytes(index: &FrameIndex, frames: &[Record]) -> Vec<u8> {
    let TimeBase { numerator, denominator } = index.time_base;
    let mut bytes = [numerator, denominator].map(u32::to_le_bytes).concat();
    bytes.reserve(FRAME_BYTES * frames.len());
    for (time, frame) in index.times.iter().zip(frames) {
        bytes.extend(time.to_le_bytes());
        frame.append_to(&mut bytes);
    }
    bytes
}
