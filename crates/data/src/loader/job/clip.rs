//! Makes one clip of a batch: opens a video, chooses its frames, and augments all of them alike.
//!
//! Invariant: which frames a clip has depends on the video and the draw alone.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use mutualnet_core::ClipSampling;
use mutualnet_core::rng::Purpose;
use mutualnet_image::decode::Undecoded;
use mutualnet_image::{Image, timed};
use mutualnet_video::{Error, Ffmpeg, FrameIndex, Video, VideoError};
use rand::Rng;

use super::{Job, Work};
use crate::order::Draw;
use crate::scratch::Scratch;
use crate::{SampleError, SampleRef};

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

    /// Decodes a clip; `start` chooses its first frame from those up to the last one that leaves room for it.
    fn read(
        &self,
        path: &Path,
        sample: u32,
        start: impl FnOnce(usize) -> usize,
    ) -> Result<Vec<Image>, SampleError> {
        let video = self.open(path, sample)?;
        let index = video.index();
        let frames = index.clip(start(index.last_start(self.sampling)), self.sampling);
        Ok(video.frames(&frames).map_err(reason)?)
    }

    fn open(&self, path: &Path, sample: u32) -> Result<Video, SampleError> {
        let known = &self.indices[sample as usize];
        if let Some(index) = known.get() {
            return Ok(Video::open_indexed(path, &self.ffmpeg, index.clone()).map_err(reason)?);
        }
        let video = Video::open(path, &self.ffmpeg).map_err(reason)?;
        known.get_or_init(|| video.index().clone());
        Ok(video)
    }
}

/// Why a video cannot be read, without its path.
fn reason(error: Error) -> VideoError {
    match error {
        Error::Read { source, .. } => source,
        error => VideoError::Damaged { reason: error.to_string() },
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
        let canvas = &mut scratch.canvas;
        let start = |last: usize| match self.work {
            Work::Train { .. } => draw.key(self.seed, Purpose::Clip, epoch).stream().random_range(0..=last),
            // The middle of the video.
            _ => last / 2,
        };
        let path = self.dataset.dir().join(sample.place.name());
        let frames = timed(&mut canvas.times.decode, || clips.read(&path, number, start))?;
        let len = out.len() / frames.len();
        for (frame, out) in frames.into_iter().zip(out.chunks_exact_mut(len)) {
            self.write_image(Undecoded::decoded(frame), (draw, epoch), canvas, out)?;
        }
        canvas.times.images += 1;
        Ok(())
    }
}
