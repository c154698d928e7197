//! From a video to the clips that a network reads, each frame preprocessed like an image.
//!
//! Invariant: clips have the same frames, and frames the same pixels, as in evaluation after training.

use std::path::Path;

use mutualnet_core::{ClipSampling, Preprocess, Views};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::{Canvas, Error as ImageError, TestPipeline};
use mutualnet_video::{Ffmpeg, Video};

use crate::Result;

/// Clips of one video at the largest size, or several squares of each of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Clips {
    /// How many there are: the [`Views::n`] that were asked for.
    pub n: usize,
    /// Height and width of the frames in pixels.
    pub size: [usize; 2],
    /// `[n, frames, height, width, 3]` f32, normalized.
    pub pixels: Vec<f32>,
}

impl Clips {
    /// Reads the parts of a video that the views say.
    ///
    /// # Errors
    /// The file cannot be decoded, or that takes a program that is not installed.
    pub fn read(
        path: &Path,
        preprocess: &Preprocess,
        (sampling, views): (ClipSampling, Views),
    ) -> Result<Self> {
        let video = Video::open(path, &Ffmpeg::default())?;
        let (clips, crops) = (views.clips as usize, views.crops as usize);
        let numbers: Vec<_> = (0..clips).flat_map(|clip| video.index().view(clip, clips, sampling)).collect();
        let frames = video.frames(&numbers)?;
        let pipeline = TestPipeline::new(preprocess)?;
        let size = [preprocess.crop.get() as usize; 2];
        let frame_len = 3 * size[0] * size[1];
        let of_clip = frames.len() / clips;
        let mut pixels = vec![0.0; crops * frames.len() * frame_len];
        let mut canvas = Canvas::default();
        for (number, frame) in frames.into_iter().enumerate() {
            let (clip, within) = (number / of_clip, number % of_clip);
            let squares = pixels.chunks_exact_mut(of_clip * frame_len).skip(clip * crops).take(crops);
            let outs = squares.map(|square| &mut square[within * frame_len..][..frame_len]);
            pipeline
                .write_crops(Undecoded::decoded(frame), &mut canvas, outs)
                .map_err(|source| ImageError::Decode { path: path.to_owned(), source })?;
        }
        Ok(Self { n: views.n(), size, pixels })
    }

    /// How many frames each of them has.
    pub fn frames(&self) -> usize {
        self.pixels.len() / (self.n * 3 * self.size[0] * self.size[1])
    }
}
