//! The way of an image in training: from its bytes to the floats in a batch.
//!
//! [`TrainTransform`] is the part of a recipe; [`TrainPipeline`] is checked and ready to run. At test time images go
//! through `mutualnet_image::TestPipeline`.

use std::time::Instant;

use mutualnet_core::{Preprocess, RngStream};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::augment::{
    ColorJitter, Lighting, Mixing, PadCrop, RandAugment, RandomErasing, RandomResizedCrop, RandomShortSide,
};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::normalize::Normalize;
use mutualnet_image::pipeline::{center, checked_normalize};
use mutualnet_image::resize::Rect;
use mutualnet_image::{Canvas, DecodeError, Image, timed};

use crate::{Error, Result};

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

#[cfg(test)]
mod tests;
