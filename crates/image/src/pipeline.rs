//! The way of an image at test time: from a file to the floats that a network takes.
//!
//! Training has another way, with the same center crop and the same normalization.

use std::path::Path;

use mutualnet_core::{Preprocess, Resolution};

use crate::decode::{Undecoded, with_file};
use crate::normalize::Normalize;
use crate::resize::{Rect, Resizer};
use crate::stages::timed;
use crate::{Canvas, DecodeError, Error, Image, Result};

/// Resizes the shorter side to a length and crops the middle square.
///
/// # Errors
/// The reason why the image cannot be decoded.
pub fn center(
    image: Undecoded<'_>,
    [shorter, side]: [u32; 2],
    canvas: &mut Canvas,
) -> Result<Image, DecodeError> {
    let whole = Rect::whole([image.width(), image.height()]);
    let Canvas { decoded, resized, resizer, times, .. } = canvas;
    let (pixels, _) = timed(&mut times.decode, || image.region(whole, [shorter; 2], decoded))?;
    let resized = std::mem::take(resized);
    Ok(timed(&mut times.resize, || resizer.shorter_side_center_crop(pixels, shorter, side, resized)))
}

/// The normalization of a checked preprocessing.
///
/// # Errors
/// [`Error::Preprocess`]: the numbers cannot be meant.
pub fn checked_normalize(preprocess: &Preprocess) -> Result<Normalize> {
    preprocess.check().map_err(|source| Error::Preprocess { source })?;
    Ok(Normalize::new(preprocess.mean, preprocess.std))
}

/// A checked [`Preprocess`]: what every image goes through at test time and in deployment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestPipeline {
    shorter: u32,
    side: u32,
    normalize: Normalize,
}

impl TestPipeline {
    /// Checks the settings.
    ///
    /// Without `resize` the shorter side is resized to the crop's, so that images of the right size are left alone.
    ///
    /// # Errors
    /// [`Error::Preprocess`]: the crop is larger than the resized image, or the mean or the standard deviation is not on
    /// the scale 0–1.
    pub fn new(preprocess: &Preprocess) -> Result<Self> {
        let side = preprocess.crop.get();
        let shorter = preprocess.resize.map_or(side, Resolution::get);
        Ok(Self { shorter, side, normalize: checked_normalize(preprocess)? })
    }

    /// Side of the images, in pixels.
    pub fn side(&self) -> u32 {
        self.side
    }

    /// Decodes and preprocesses one image.
    ///
    /// # Shapes
    /// - `out`: `[side, side, 3]` f32, normalized
    ///
    /// # Errors
    /// The reason why the image cannot be decoded.
    ///
    /// # Panics
    /// `out` has another length.
    pub fn write(
        &self,
        image: Undecoded<'_>,
        canvas: &mut Canvas,
        out: &mut [f32],
    ) -> Result<(), DecodeError> {
        let cropped = center(image, [self.shorter, self.side], canvas)?;
        timed(&mut canvas.times.normalize, || self.normalize.write(cropped.pixels(), [0.0; 3], out));
        canvas.resized = cropped.into_pixels();
        canvas.times.images += 1;
        Ok(())
    }
}

/// Reads and preprocesses one image file for a prediction: decode, resize, center crop, normalize.
///
/// It is what images go through when a table's accuracies are measured: a JPEG that is much larger than needed is scaled
/// down while it is decoded.
///
/// # Shapes
/// Returns `[crop, crop, 3]` f32, normalized.
///
/// # Errors
/// As [`TestPipeline::new`] and [`decode_file`](crate::decode::decode_file).
pub fn preprocess_file(path: &Path, preprocess: &Preprocess) -> Result<Vec<f32>> {
    let pipeline = TestPipeline::new(preprocess)?;
    let mut out = vec![0.0; 3 * (pipeline.side as usize).pow(2)];
    with_file(path, |bytes| {
        let mut canvas = Canvas::default();
        let image = Undecoded::new(bytes, &mut canvas.decoded)?;
        pipeline.write(image, &mut canvas, &mut out)
    })?;
    Ok(out)
}

/// Preprocesses a decoded image for a prediction: resize, center crop, normalize.
///
/// # Shapes
/// Returns `[crop, crop, 3]` f32, normalized.
///
/// # Errors
/// As [`TestPipeline::new`].
pub fn preprocess_test(image: &Image, preprocess: &Preprocess) -> Result<Vec<f32>> {
    let TestPipeline { shorter, side, normalize } = TestPipeline::new(preprocess)?;
    let cropped = Resizer::default().shorter_side_center_crop(image.view(), shorter, side, Vec::new());
    let mut out = vec![0.0; 3 * (side as usize).pow(2)];
    normalize.write(cropped.pixels(), [0.0; 3], &mut out);
    Ok(out)
}
