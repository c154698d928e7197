//! From a video to the clip that a network reads: the middle of it, each frame preprocessed like an image.
//!
//! Invariant: the same frames as in evaluation during training.

use std::path::Path;

use mutualnet_core::{ClipSampling, Frames, Preprocess};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::{Canvas, Error as ImageError, TestPipeline};
use mutualnet_video::{Ffmpeg, Video};

use crate::Result;

/// A clip at the largest size.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Height and width of the frames in pixels.
    pub size: [usize; 2],
    /// `[frames, height, width, 3]` f32, normalized.
    pub pixels: Vec<f32>,
}

impl Clip {
    /// Reads the middle of a video.
    ///
    /// # Errors
    /// The file cannot be decoded, or that takes a program that is not installed.
    pub fn read(path: &Path, preprocess: &Preprocess, sampling: ClipSampling) -> Result<Self> {
        let video = Video::open(path, &Ffmpeg::default())?;
        let index = video.index();
        let frames = video.frames(&index.clip(index.last_start(sampling) / 2, sampling))?;
        let pipeline = TestPipeline::new(preprocess)?;
        let size = [preprocess.crop.get() as usize; 2];
        let len = 3 * size[0] * size[1];
        let mut pixels = vec![0.0; frames.len() * len];
        let mut canvas = Canvas::default();
        for (frame, out) in frames.into_iter().zip(pixels.chunks_exact_mut(len)) {
            pipeline
                .write(Undecoded::decoded(frame), &mut canvas, out)
                .map_err(|source| ImageError::Decode { path: path.to_owned(), source })?;
        }
        Ok(Self { size, pixels })
    }

    /// The frames that a row with this many sees.
    pub fn picked(&self, frames: Frames) -> Vec<f32> {
        let len = 3 * self.size[0] * self.size[1];
        let all: Vec<_> = self.pixels.chunks_exact(len).collect();
        frames.picked_from(all.len()).flat_map(|frame| all[frame]).copied().collect()
    }
}
