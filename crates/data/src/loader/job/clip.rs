//! Makes one clip of a batch: opens a video, chooses its frames, and augments all of them alike.
//!
//! Invariant: which frames a clip has depends on the video and the draw alone.

use std::time::Instant;

use mutualnet_core::rng::Purpose;
use mutualnet_core::{ClipSampling, Views};
use mutualnet_image::Canvas;
use mutualnet_image::decode::Undecoded;
use mutualnet_video::{Ffmpeg, FrameIndex};
use rand::Rng;

use super::{Job, Work};
use crate::order::Draw;
use crate::scratch::Scratch;
use crate::video_source::{VideoSource, reason};
use crate::{SampleError, SampleRef};

/// Reads clips from the videos of a data set.
#[derive(Debug, Clone)]
pub(in crate::loader) struct ClipReader {
    sampling: ClipSampling,
    /// What evaluation reads of a video.
    views: Views,
    ffmpeg: Ffmpeg,
}

impl ClipReader {
    pub(in crate::loader) fn new(sampling: ClipSampling, views: Views) -> Self {
        Self { sampling, views, ffmpeg: Ffmpeg::default() }
    }

    /// What evaluation reads of a video.
    pub(in crate::loader) fn views(&self) -> Views {
        self.views
    }

    /// Frames of a clip.
    pub(in crate::loader) fn frames(&self) -> usize {
        self.sampling.frames.get() as usize
    }
}

impl Job {
    /// Writes `[crops, frames, side, side, 3]` floats.
    pub(super) fn attempt_clip(
        &self,
        clips: &ClipReader,
        sample: &SampleRef,
        (draw, epoch): (Draw, u32),
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), SampleError> {
        let Scratch { file, canvas, .. } = scratch;
        let begun = Instant::now();
        let opened = self.dataset.open_video(&sample.place, &clips.ffmpeg)?;
        let numbers = self.choose(clips, opened.index(), (draw, epoch));
        let crops = self.views().crops as usize;
        let (clip_len, frame_len) = (out.len() / crops, out.len() / crops / numbers.len());
        let mut write = |number: usize, frame: Undecoded<'_>, canvas: &mut Canvas| {
            let of_crop =
                |clip| &mut <[f32]>::chunks_exact_mut(clip, frame_len).nth(number).expect("in a clip")[..];
            self.write_frame(frame, (draw, epoch), canvas, out.chunks_exact_mut(clip_len).map(of_crop))
        };
        match opened {
            VideoSource::File(video) => {
                let frames = video.frames(&numbers).map_err(reason)?;
                canvas.times.decode += begun.elapsed();
                for (number, frame) in frames.into_iter().enumerate() {
                    write(number, Undecoded::decoded(frame), canvas)?;
                }
            }
            VideoSource::Packed(mut video) => {
                canvas.times.read += begun.elapsed();
                for (number, &frame) in numbers.iter().enumerate() {
                    let begun = Instant::now();
                    let image = video.frame(frame, file, &mut canvas.decoded)?;
                    canvas.times.read += begun.elapsed().saturating_sub(image.decoding());
                    canvas.times.decode += image.decoding();
                    write(number, image, canvas)?;
                }
            }
        }
        canvas.times.images += crops as u64;
        Ok(())
    }

    /// The frames of a clip. In training it begins anywhere that leaves room for it.
    fn choose(&self, clips: &ClipReader, index: &FrameIndex, (draw, epoch): (Draw, u32)) -> Vec<usize> {
        let sampling = clips.sampling;
        match self.work {
            Work::Train { .. } => {
                let last = index.last_start(sampling);
                let mut stream = draw.key(self.seed, Purpose::Clip, epoch).stream();
                index.clip(stream.random_range(0..=last), sampling)
            }
            _ => index.view(draw.copy as usize, self.views().clips as usize, sampling),
        }
    }

    /// Writes one frame, once for every crop of its clip.
    fn write_frame<'o>(
        &self,
        frame: Undecoded<'_>,
        of: (Draw, u32),
        canvas: &mut Canvas,
        mut outs: impl ExactSizeIterator<Item = &'o mut [f32]>,
    ) -> Result<(), SampleError> {
        if let Work::Test { pipeline } = &self.work {
            return Ok(pipeline.write_crops(frame, canvas, outs)?);
        }
        self.write_image(frame, of, canvas, outs.next().expect("a clip has at least one crop"))?;
        Ok(())
    }
}
