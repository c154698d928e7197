//! From a video to the clips that a network reads, each frame preprocessed like an image.
//!
//! Invariant: a single clip has the same frames as in evaluation after training.

use std::num::NonZeroUsize;
use std::path::Path;

use mutualnet_core::{ClipSampling, Preprocess};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::{Canvas, Error as ImageError, TestPipeline};
use mutualnet_video::{Ffmpeg, Video};

use crate::Result;

/// Clips of one video at the largest size.
#[derive(Debug, Clone, PartialEq)]
pub struct Clips {
    /// How many there are.
    pub views: usize,
    /// Height and width of the frames in pixels.
    pub size: [usize; 2],
    /// `[views, frames, height, width, 3]` f32, normalized.
    pub pixels: Vec<f32>,
}

impl Clips {
    /// Reads the middle of a video, or several clips at equal distances, from its beginning to its end.
    ///
    /// # Errors
    /// The file cannot be decoded, or that takes a program that is not installed.
    pub fn read(
        path: &Path,
        preprocess: &Preprocess,
        (sampling, views): (ClipSampling, NonZeroUsize),
    ) -> Result<Self> {
        let video = Video::open(path, &Ffmpeg::default())?;
        let index = video.index();
        let (views, last) = (views.get(), index.last_start(sampling));
        let start = |view: usize| if views == 1 { last / 2 } else { last * view / (views - 1) };
        let numbers: Vec<_> = (0..views).flat_map(|view| index.clip(start(view), sampling)).collect();
        let frames = video.frames(&numbers)?;
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
        Ok(Self { views, size, pixels })
    }

    /// How many frames each of them has.
    pub fn frames(&self) -> usize {
        self.pixels.len() / (self.views * 3 * self.size[0] * self.size[1])
    }
}
