//! Makes one clip of a batch: opens a video, chooses its frames, and augments all of them alike.
//!
//! Invariant: which frames a clip has depends on the video and the draw alone.

use std::path::Path;
use std::sync::{Arc, OnceLock};
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
use crate::{Place, SampleError, SampleRef};

/// Reads clips from the videos of a data set.
#[derive(Debug, Clone)]
pub(in crate::loader) struct ClipReader {
    sampling: ClipSampling,
    ffmpeg: Ffmpeg,
    /// When the frames of each video are shown, once it has been opened: that may start another program.
    indices: Arc<[OnceLock<FrameIndex>]>,
}

impl ClipReader {
    /// A reader for the videos whose indices go to `indices`.
    pub(in crate::loader) fn new(sampling: ClipSampling, indices: Arc<[OnceLock<FrameIndex>]>) -> Self {
        Self { sampling, ffmpeg: Ffmpeg::default(), indices }
    }

    /// Frames of a clip.
    pub(in crate::loader) fn frames(&self) -> usize {
        self.sampling.frames.get() as usize
    }

    /// The frames of a clip; `start` chooses the first one from those up to the last one that leaves room for the clip.
    fn choose(&self, index: &FrameIndex, start: impl FnOnce(usize) -> usize) -> Vec<usize> {
        index.clip(start(index.last_start(self.sampling)), self.sampling)
    }

    fn open(&self, dir: &Path, (number, place): (u32, &Place)) -> Result<VideoSource, SampleError> {
        let known = &self.indices[number as usize];
        match (place, known.get()) {
            (Place::File { path, .. }, Some(index)) => {
                let video = Video::open_indexed(&dir.join(path), &self.ffmpeg, index.clone());
                Ok(VideoSource::File(video.map_err(reason)?))
            }
            _ => {
                let video = VideoSource::open(dir, place, &self.ffmpeg)?;
                if let VideoSource::File(video) = &video {
                    known.get_or_init(|| video.index().clone());
                }
                Ok(video)
            }
        }
    }
}

impl Job {
    /// Writes `[frames, side, side, 3]` floats.
    pub(super) fn attempt_clip(
        &self,
        clips: &ClipReader,
        (number, sample): (u32, &SampleRef),
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
        let (dir, begun) = (self.dataset.dir(), Instant::now());
        let opened = clips.open(dir, (number, &sample.place))?;
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
