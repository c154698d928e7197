//! The way of an image at test time: from a file to the floats that a network takes.
//!
//! Training has another way, with the same center crop and the same normalization.

use std::path::Path;

use mutualnet_core::{Fit, Preprocess, Resolution};

use crate::decode::{Undecoded, with_file};
use crate::normalize::Normalize;
use crate::resize::{Along, Fitted, Rect};
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
    let crop = || resizer.shorter_side_crop(pixels, [shorter, side], Along::Middle, resized);
    Ok(timed(&mut times.resize, crop))
}

/// The normalization of a checked preprocessing.
///
/// # Errors
/// [`Error::Preprocess`]: the numbers cannot be meant.
pub fn checked_normalize(preprocess: &Preprocess) -> Result<Normalize> {
    preprocess.check().map_err(|source| Error::Preprocess { source })?;
    Ok(Normalize::new(preprocess.mean, preprocess.std))
}

/// Crops a rectangle and resizes it to a size, columns and rows.
///
/// # Errors
/// The reason why the image cannot be decoded.
pub fn cut(
    image: Undecoded<'_>,
    crop: Rect,
    size: [u32; 2],
    canvas: &mut Canvas,
) -> Result<Image, DecodeError> {
    let Canvas { decoded, resized, resizer, times, .. } = canvas;
    let (pixels, crop) = timed(&mut times.decode, || image.region(crop, size, decoded))?;
    let resized = std::mem::take(resized);
    Ok(timed(&mut times.resize, || resizer.crop_resize(pixels, crop, size, resized)))
}

/// A checked [`Preprocess`]: what every image goes through at test time and in deployment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestPipeline {
    fit: Fit,
    shorter: u32,
    side: u32,
    longest: Option<u32>,
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
        let longest = preprocess.longest_side.map(Resolution::get);
        Ok(Self { fit: preprocess.fit, shorter, side, longest, normalize: checked_normalize(preprocess)? })
    }

    /// Height and width of the images; `None` if they depend on the image.
    pub fn size(&self) -> Option<[usize; 2]> {
        match self.fit {
            Fit::CenterCrop | Fit::Square => Some([self.side as usize; 2]),
            Fit::Whole => None,
        }
    }

    /// How an image of that many columns and rows is resized.
    pub fn fitted(&self, size: [u32; 2]) -> Fitted {
        match self.fit {
            Fit::CenterCrop => Fitted::center(size, self.shorter, self.side),
            Fit::Whole => Fitted::whole(size, self.shorter, self.longest),
            Fit::Square => Fitted::stretched(size, self.side),
        }
    }

    /// Decodes, resizes and crops one image.
    ///
    /// # Errors
    /// The reason why the image cannot be decoded.
    pub fn resize(&self, image: Undecoded<'_>, canvas: &mut Canvas) -> Result<Image, DecodeError> {
        match self.fit {
            Fit::CenterCrop => center(image, [self.shorter, self.side], canvas),
            Fit::Whole | Fit::Square => {
                let Fitted { from, resized, .. } = self.fitted([image.width(), image.height()]);
                cut(image, from, resized, canvas)
            }
        }
    }

    /// Turns the pixels of a resized image into floats, and keeps their memory for the next image.
    ///
    /// # Shapes
    /// - `out`: `[height, width, 3]` f32, normalized
    ///
    /// # Panics
    /// `out` has another length.
    pub fn normalize(&self, image: Image, canvas: &mut Canvas, out: &mut [f32]) {
        timed(&mut canvas.times.normalize, || self.normalize.write(image.pixels(), [0.0; 3], out));
        canvas.resized = image.into_pixels();
    }

    /// Decodes and preprocesses one image.
    ///
    /// # Shapes
    /// - `out`: `[height, width, 3]` f32, normalized
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
        let resized = self.resize(image, canvas)?;
        self.normalize(resized, canvas, out);
        Ok(())
    }

    /// Decodes one image, and preprocesses squares along its longer side; of 1, the middle.
    ///
    /// # Shapes
    /// - `outs`: 1 or 3 times `[side, side, 3]` f32, normalized
    ///
    /// # Errors
    /// As [`Self::write`].
    ///
    /// # Panics
    /// There are other numbers of squares, `outs` have other lengths, or images are not cropped.
    pub fn write_crops<'o>(
        &self,
        image: Undecoded<'_>,
        canvas: &mut Canvas,
        outs: impl ExactSizeIterator<Item = &'o mut [f32]>,
    ) -> Result<(), DecodeError> {
        assert!(self.fit == Fit::CenterCrop, "there are no squares along images that are seen as a whole");
        let Self { shorter, side, .. } = *self;
        let whole = Rect::whole([image.width(), image.height()]);
        let Canvas { decoded, resized, resizer, times, .. } = canvas;
        let (pixels, _) = timed(&mut times.decode, || image.region(whole, [shorter; 2], decoded))?;
        for (&along, out) in Along::several(outs.len() as u32).iter().zip(outs) {
            let reused = std::mem::take(resized);
            let crop = || resizer.shorter_side_crop(pixels, [shorter, side], along, reused);
            let square = timed(&mut times.resize, crop);
            timed(&mut times.normalize, || self.normalize.write(square.pixels(), [0.0; 3], out));
            *resized = square.into_pixels();
        }
        Ok(())
    }

    fn preprocessed(&self, image: Undecoded<'_>, canvas: &mut Canvas) -> Result<Preprocessed, DecodeError> {
        let own_size = [image.height(), image.width()];
        let resized = self.resize(image, canvas)?;
        let size = [resized.height() as usize, resized.width() as usize];
        let mut pixels = vec![0.0; 3 * size[0] * size[1]];
        self.normalize(resized, canvas, &mut pixels);
        Ok(Preprocessed { size, pixels, own_size })
    }
}

/// An image as a network takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessed {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// `[height, width, 3]` f32, normalized.
    pub pixels: Vec<f32>,
    /// Height and width of the image before it was resized.
    pub own_size: [u32; 2],
}

/// Reads and preprocesses one image file for a prediction: decode, resize, crop, normalize.
///
/// It is what images go through when a table's accuracies are measured: a JPEG that is much larger than needed is scaled
/// down while it is decoded.
///
/// # Errors
/// As [`TestPipeline::new`] and [`decode_file`](crate::decode::decode_file).
pub fn preprocess_file(path: &Path, preprocess: &Preprocess) -> Result<Preprocessed> {
    let pipeline = TestPipeline::new(preprocess)?;
    with_file(path, |bytes| {
        let mut canvas = Canvas::default();
        let image = Undecoded::new(bytes, &mut canvas.decoded)?;
        pipeline.preprocessed(image, &mut canvas)
    })
}

/// Preprocesses a decoded image for a prediction: resize, crop, normalize.
///
/// # Errors
/// As [`TestPipeline::new`].
pub fn preprocess_test(image: &Image, preprocess: &Preprocess) -> Result<Preprocessed> {
    let pipeline = TestPipeline::new(preprocess)?;
    let image = Undecoded::pixels(image.width(), image.height(), image.pixels());
    let made = pipeline.preprocessed(image, &mut Canvas::default());
    Ok(made.expect("an image in memory need not be decoded"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::encode_jpeg;

    #[test]
    fn a_whole_image_keeps_its_aspect_from_a_file_and_from_memory() {
        let pixels = (0..3 * 60 * 40).map(|i| (i / 31) as u8).collect();
        let image = Image::new(60, 40, pixels);
        let crop = Resolution::new(20).expect("20 is a resolution");
        let center = Preprocess::center_crop(crop, [0.5; 3], [0.25; 3]);
        let whole = Preprocess { fit: Fit::Whole, ..center };
        let of_center = preprocess_test(&image, &center).unwrap();
        let of_whole = preprocess_test(&image, &whole).unwrap();
        assert_eq!((of_center.size, of_whole.size), ([20, 20], [20, 30]));
        for y in 0..20 {
            let middle = &of_whole.pixels[3 * (30 * y + 5)..][..60];
            assert_eq!(middle, &of_center.pixels[3 * 20 * y..][..60], "row {y}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("photo.jpg");
        fs::write(&path, encode_jpeg(&Image::new(900, 30, vec![200; 81_000]), 95)).unwrap();
        let long = preprocess_file(&path, &whole).unwrap();
        assert_eq!((long.size, long.pixels.len()), ([20, 160], 3 * 20 * 160));
    }
}
