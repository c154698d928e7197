//! Makes one clip of a batch: opens a video, chooses its frames, and augments all of them alike.
//!
//! Invariant: which frames a clip has depends on the video and the draw alone.

use std::path::Path;
use std::time::Instant;

use mutualnet_core::ClipSampling;
use mutualnet_core::rng::Purpose;
use mutualnet_image::decode::Undecoded;
use mutualnet_video::{Ffmpeg, FrameIndex, Video};
use rand::Rng;

use super::{Job, Work};
use crate::order::Draw;
use crate::scratch::Scratch;
use crate::video_source::{VideoSource, reason};
use crate::{Dataset, Place, SampleError, SampleRef};

/// Reads clips from the videos of a data set.
#[derive(Debug, Clone)]
pub(in crate::loader) struct ClipReader {
    sampling: ClipSampling,
    ffmpeg: Ffmpeg,
}

impl ClipReader {
    pub(in crate::loader) fn new(sampling: ClipSampling) -> Self {
        Self { sampling, ffmpeg: Ffmpeg::default() }
    }

    /// Frames of a clip.
    pub(in crate::loader) fn frames(&self) -> usize {
        self.sampling.frames.get() as usize
    }

    /// The frames of a clip; `start` chooses the first one from those up to the last one that leaves room for the clip.
    fn choose(&self, index: &FrameIndex, start: impl FnOnce(usize) -> usize) -> Vec<usize> {
        index.clip(start(index.last_start(self.sampling)), self.sampling)
    }

    fn open(&self, dataset: &Dataset, place: &Place) -> Result<VideoSource, SampleError> {
        let Place::File { path: name, .. } = place else {
            return VideoSource::open(dataset.dir(), place, &self.ffmpeg);
        };
        let index = |path: &Path| dataset.frames().index(name, path, &self.ffmpeg);
        let video = Video::open_with(&dataset.dir().join(name), &self.ffmpeg, index);
        Ok(VideoSource::File(video.map_err(reason)?))
    }
}

impl Job {
    /// Writes `[frames, side, side, 3]` floats.
    pub(super) fn attempt_clip(
        &self,
        clips: &ClipReader,
        sample: &SampleRef,
        (draw, epoch): (Draw, u32),
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), SampleError> {
        let Scratch { file, canvas, .. } = scratch;
        let start = |last: usize| match self.work {
            Work::Train { .. } => draw.key(self.seed, Purpose::Clip, epoch).stream().random_range(0..=last),
            // The middle of the video.
            _ => last / 2,
        };
        let begun = Instant::now();
        let opened = clips.open(&self.dataset, &sample.place)?;
        let numbers = clips.choose(opened.index(), start);
        let outs = out.chunks_exact_mut(out.len() / numbers.len());
        match opened {
            VideoSource::File(video) => {
                let frames = video.frames(&numbers).map_err(reason)?;
                canvas.times.decode += begun.elapsed();
                for (frame, out) in frames.into_iter().zip(outs) {
                    self.write_image(Undecoded::decoded(frame), (draw, epoch), canvas, out)?;
                }
            }
            VideoSource::Packed(mut video) => {
                canvas.times.read += begun.elapsed();
                for (&frame, out) in numbers.iter().zip(outs) {
                    let begun = Instant::now();
                    let image = video.frame(frame, file, &mut canvas.decoded)?;
                    canvas.times.read += begun.elapsed().saturating_sub(image.decoding());
                    canvas.times.decode += image.decoding();
                    self.write_image(image, (draw, epoch), canvas, out)?;
                }
            }
        }
        canvas.times.images += 1;
        Ok(())
    }
}
