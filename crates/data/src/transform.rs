//! Pipelines: from a decoded image to the floats in a batch, in training and at test time.
//!
//! [`TrainTransform`] is the part of a recipe; [`TrainPipeline`] and [`TestPipeline`] are checked and ready to run.

use std::path::Path;
use std::time::Instant;

use mutualnet_core::{Preprocess, Resolution, RngStream};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::augment::{
    ColorJitter, Lighting, Mixing, PadCrop, RandAugment, RandomErasing, RandomResizedCrop, RandomShortSide,
};
use crate::decode::{Undecoded, with_file};
use crate::normalize::Normalize;
use crate::resize::{Rect, Resizer};
use crate::scratch::Canvas;
use crate::stages::timed;
use crate::{DecodeError, Error, Image, Result};

mod crop;
pub use crop::TrainCrop;

/// How training images are augmented: crop, color jitter, flip, RandAugment, normalization with lighting, erasing, in
/// this order.
///
/// This is torchvision's order: color jitter ignores where a pixel is, so it gives the same before or after the flip.
/// Finished images are then mixed in pairs, in training only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainTransform {
    /// Which part of the image the network sees.
    #[serde(default)]
    pub crop: TrainCrop,
    /// Mirror half of the images left to right.
    #[serde(default = "yes")]
    pub flip: bool,
    /// Strength of random changes of brightness, contrast and saturation, from 0 to 1; 0 is off.
    #[serde(default)]
    pub color_jitter: f32,
    /// Strength of random color shifts along ImageNet's principal components, from 0 to 10; 0 is off.
    #[serde(default)]
    pub lighting: f32,
    /// RandAugment: random operations of one magnitude, such as `{ n = 2, magnitude = 9 }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// Probability that a rectangle of 2 to 33 % of the image becomes the mean color; 0 is off.
    #[serde(default)]
    pub random_erasing: f32,
    /// Mixup: parameter of the Beta distribution that the shares of two mixed images are drawn from, from 0.05 to 100,
    /// usually 0.2; 0 is off. With `cutmix` as well, each pair of images is mixed by one of the two.
    #[serde(default)]
    pub mixup: f64,
    /// CutMix: parameter of the Beta distribution that the share of the pasted rectangle is drawn from, from 0.05 to
    /// 100, usually 1.0; 0 is off.
    #[serde(default)]
    pub cutmix: f64,
    /// Differently augmented copies of every image that an epoch draws. An epoch keeps its number of steps, so it draws
    /// that many times fewer images.
    ///
    /// # Source
    /// `[Hoffer et al.]`: copies share a batch. Reference: `[DeiT]`'s sampler puts them on different processes.
    #[serde(default = "one")]
    pub repeats: u32,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

impl Default for TrainTransform {
    fn default() -> Self {
        Self {
            crop: TrainCrop::default(),
            flip: true,
            color_jitter: 0.0,
            lighting: 0.0,
            rand_augment: None,
            random_erasing: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            repeats: 1,
        }
    }
}

/// A checked [`TrainTransform`] at a resolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainPipeline {
    transform: TrainTransform,
    side: u32,
    normalize: Normalize,
    mixing: Option<Mixing>,
}

impl TrainPipeline {
    /// Checks the settings; size, mean and standard deviation are those of the test-time preprocessing.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key of the recipe.
    pub fn new(transform: TrainTransform, preprocess: &Preprocess) -> Result<Self> {
        let side = preprocess.crop.get();
        transform.crop.check(side)?;
        let strength = |setting, value: f32, most: f32| {
            let reason = || format!("{value} is not between 0 and {most}");
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                Err(Error::Setting { setting, reason: reason() })
            }
        };
        strength("color_jitter", transform.color_jitter, 1.0)?;
        strength("lighting", transform.lighting, 10.0)?;
        strength("random_erasing", transform.random_erasing, 1.0)?;
        check_rand_augment(transform.rand_augment)?;
        if transform.repeats == 0 {
            return Err(Error::Setting { setting: "repeats", reason: "must be at least 1".to_owned() });
        }
        let mixing = Mixing::new(transform.mixup, transform.cutmix)?;
        Ok(Self { transform, side, normalize: checked_normalize(preprocess)?, mixing })
    }

    /// Side of the images, in pixels.
    pub fn side(&self) -> u32 {
        self.side
    }

    /// How finished images are to be mixed, if they are.
    pub fn mixing(&self) -> Option<Mixing> {
        self.mixing
    }

    /// Decodes and augments one image; all randomness comes from the stream.
    ///
    /// # Shapes
    /// - `out`: `[side, side, 3]` f32, normalized
    ///
    /// # Errors
    /// The reason why the image cannot be decoded; `out` may be half written.
    ///
    /// # Panics
    /// `out` has another length.
    pub(crate) fn write(
        &self,
        image: Undecoded<'_>,
        rng: &mut RngStream,
        canvas: &mut Canvas,
        out: &mut [f32],
    ) -> Result<(), DecodeError> {
        let mut cropped = self.crop(image, rng, canvas)?;
        let begun = Instant::now();
        let TrainTransform { flip, color_jitter, lighting, rand_augment, random_erasing, .. } =
            self.transform;
        if color_jitter > 0.0 {
            ColorJitter { strength: color_jitter }.apply(&mut cropped, rng);
        }
        let shift = if lighting > 0.0 { Lighting { strength: lighting }.draw(rng) } else { [0.0; 3] };
        if flip && rng.random() {
            cropped.flip_horizontal();
        }
        if let Some(rand_augment) = rand_augment {
            rand_augment.apply(&mut cropped, &mut canvas.spare, rng);
        }
        canvas.times.augment += begun.elapsed();
        timed(&mut canvas.times.normalize, || self.normalize.write(cropped.pixels(), shift, out));
        if random_erasing > 0.0 {
            let erasing = RandomErasing { probability: random_erasing };
            timed(&mut canvas.times.augment, || erasing.apply(out, self.side, rng));
        }
        canvas.resized = cropped.into_pixels();
        canvas.times.images += 1;
        Ok(())
    }

    fn crop(
        &self,
        image: Undecoded<'_>,
        rng: &mut RngStream,
        canvas: &mut Canvas,
    ) -> Result<Image, DecodeError> {
        let side = self.side;
        match self.transform.crop {
            TrainCrop::RandomResized { scale, ratio } => {
                let crop = RandomResizedCrop { scale, ratio }.draw(image.width(), image.height(), rng);
                cut(image, crop, side, canvas)
            }
            TrainCrop::RandomShortSide { shorter } => {
                let size = [image.width(), image.height()];
                cut(image, RandomShortSide { shorter }.draw(size, side, rng), side, canvas)
            }
            TrainCrop::Pad { pad, mode } => {
                let mut fitted = center(image, [side; 2], canvas)?;
                PadCrop { pad, mode }.apply(&mut fitted, &mut canvas.spare, rng);
                Ok(fitted)
            }
            TrainCrop::Center => center(image, [side; 2], canvas),
        }
    }
}

/// Crops a rectangle and resizes it to a square.
fn cut(image: Undecoded<'_>, crop: Rect, side: u32, canvas: &mut Canvas) -> Result<Image, DecodeError> {
    let Canvas { decoded, resized, resizer, times, .. } = canvas;
    let (pixels, crop) = timed(&mut times.decode, || image.region(crop, [side; 2], decoded))?;
    let resized = std::mem::take(resized);
    Ok(timed(&mut times.resize, || resizer.crop_resize(pixels, crop, [side; 2], resized)))
}

/// Resizes the shorter side to a length and crops the middle square.
fn center(
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

fn check_rand_augment(rand_augment: Option<RandAugment>) -> Result<()> {
    /// More would only be slow.
    const MAX_N: u32 = 14;
    let check = |setting, value: u32, least: u32, most: u32| {
        let reason = || format!("{value} is not between {least} and {most}");
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err(Error::Setting { setting, reason: reason() })
        }
    };
    let RandAugment { n, magnitude } = rand_augment.unwrap_or_default();
    check("rand_augment.n", n, 1, MAX_N)?;
    check("rand_augment.magnitude", magnitude, 0, RandAugment::MAX_MAGNITUDE)
}

fn checked_normalize(preprocess: &Preprocess) -> Result<Normalize> {
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
    pub(crate) fn write(
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

#[cfg(test)]
mod tests;
