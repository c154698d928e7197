//! The way of an image in training: from its bytes to the floats in a batch.
//!
//! [`TrainTransform`] is the part of a recipe; [`TrainPipeline`] is checked and ready to run. At test time images go
//! through `mutualnet_image::TestPipeline`.

use std::mem;
use std::time::Instant;

use mutualnet_core::{Fit, Preprocess, Resolution, RngStream, Task};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::augment::{
    ColorJitter, Lighting, Mixing, PadCrop, RandAugment, RandomErasing, RandomResizedCrop, RandomShortSide,
    Shown,
};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::normalize::Normalize;
use mutualnet_image::pipeline::{center, checked_normalize, cut};
use mutualnet_image::resize::Fitted;
use mutualnet_image::{Canvas, DecodeError, Image, timed};

use crate::geometry::Shift;
use crate::{Error, Geometry, Result};

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
    fit: Fit,
    longest: Option<u32>,
    normalize: Normalize,
    mixing: Option<Mixing>,
}

impl TrainPipeline {
    /// Checks the settings for images with classes, as [`new_for`](Self::new_for).
    ///
    /// # Errors
    /// [`Error::Setting`] with the key of the recipe.
    pub fn new(transform: TrainTransform, preprocess: &Preprocess) -> Result<Self> {
        Self::new_for(Task::Classify, transform, preprocess)
    }

    /// Checks the settings; size, mean and standard deviation are those of the test-time preprocessing.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key of the recipe; also what masks or boxes cannot follow, if there are such.
    pub fn new_for(task: Task, transform: TrainTransform, preprocess: &Preprocess) -> Result<Self> {
        let side = preprocess.crop.get();
        transform.crop.check(task, preprocess.fit, side)?;
        match task {
            Task::Segment => check_labels_can_follow(&transform, "masks")?,
            Task::Detect => check_labels_can_follow(&transform, "boxes")?,
            _ => {}
        }
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
        if transform.repeats != 1 && matches!(transform.crop, TrainCrop::Whole) {
            let reason =
                "must be 1 if images are whole, because batches are of similar aspect ratios".to_owned();
            return Err(Error::Setting { setting: "repeats", reason });
        }
        let mixing = Mixing::new(transform.mixup, transform.cutmix)?;
        let longest = preprocess.longest_side.map(Resolution::get);
        let normalize = checked_normalize(preprocess)?;
        Ok(Self { transform, side, fit: preprocess.fit, longest, normalize, mixing })
    }

    /// Side of the images, in pixels.
    pub fn side(&self) -> u32 {
        self.side
    }

    /// Whether images are seen whole, so that those of a batch need similar aspect ratios.
    pub fn is_whole(&self) -> bool {
        matches!(self.transform.crop, TrainCrop::Whole)
    }

    /// How a whole image of that many columns and rows is resized.
    pub(crate) fn whole(&self, size: [u32; 2]) -> Fitted {
        Fitted::whole(size, self.side, self.longest)
    }

    /// How finished images are to be mixed, if they are.
    pub fn mixing(&self) -> Option<Mixing> {
        self.mixing
    }

    /// Decodes and augments one image of a batch whose images have `size`, columns and rows; all randomness comes from the
    /// stream. Returns where its pixels come from.
    ///
    /// # Shapes
    /// - `out`: `[rows, columns, 3]` f32, normalized; both are [`side`](Self::side) unless images are whole
    ///
    /// # Errors
    /// The reason why the image cannot be decoded; `out` may be half written.
    ///
    /// # Panics
    /// `out` has another length.
    pub(crate) fn write(
        &self,
        (image, size): (Undecoded<'_>, [u32; 2]),
        rng: &mut RngStream,
        canvas: &mut Canvas,
        out: &mut [f32],
    ) -> Result<Geometry, DecodeError> {
        let mut geometry = self.draw([image.width(), image.height()], size, rng);
        let mut cropped = self.crop(image, &geometry, canvas)?;
        let begun = Instant::now();
        let TrainTransform { flip, color_jitter, lighting, rand_augment, random_erasing, .. } =
            self.transform;
        if color_jitter > 0.0 {
            ColorJitter { strength: color_jitter }.apply(&mut cropped, rng);
        }
        let shift = if lighting > 0.0 { Lighting { strength: lighting }.draw(rng) } else { [0.0; 3] };
        // Drawn after the colors, whose draws come between in runs of earlier versions as well.
        geometry.flip = flip && rng.random();
        if geometry.flip {
            cropped.flip_horizontal();
        }
        if let Some(rand_augment) = rand_augment {
            rand_augment.apply(&mut cropped, &mut canvas.spare, rng);
        }
        let cropped = padded(cropped, geometry.size, &mut canvas.spare);
        canvas.times.augment += begun.elapsed();
        timed(&mut canvas.times.normalize, || self.normalize.write(cropped.pixels(), shift, out));
        if random_erasing > 0.0 {
            let erasing = RandomErasing { probability: random_erasing };
            timed(&mut canvas.times.augment, || erasing.apply(out, self.side, rng));
        }
        canvas.resized = cropped.into_pixels();
        Ok(geometry)
    }

    /// Draws which part of an image of that many columns and rows is seen in a batch whose images have `finished`.
    fn draw(&self, size: [u32; 2], finished: [u32; 2], rng: &mut RngStream) -> Geometry {
        let side = self.side;
        match self.transform.crop {
            TrainCrop::RandomResized { scale, ratio } => {
                let crop = RandomResizedCrop { scale, ratio }.draw(size[0], size[1], rng);
                Geometry::cut(crop, [side; 2], [side; 2])
            }
            TrainCrop::RandomShortSide { shorter } => {
                let Shown { from, filled } = RandomShortSide { shorter }.draw(size, side, rng);
                Geometry::cut(from, filled, [side; 2])
            }
            TrainCrop::Pad { pad, mode } => {
                let pad = PadCrop { pad, mode };
                let shift = Some(Shift { pad, from: pad.draw(rng) });
                Geometry { shift, ..Geometry::of(Fitted::center(size, side, side)) }
            }
            TrainCrop::Center if self.fit == Fit::Square => Geometry::of(Fitted::stretched(size, side)),
            TrainCrop::Center => Geometry::of(Fitted::center(size, side, side)),
            TrainCrop::Whole => Geometry::cut(self.whole(size).from, finished, finished),
        }
    }

    /// The pixels that a geometry shows, before they are mirrored.
    fn crop(
        &self,
        image: Undecoded<'_>,
        geometry: &Geometry,
        canvas: &mut Canvas,
    ) -> Result<Image, DecodeError> {
        let Geometry { fitted, shift, .. } = *geometry;
        let is_cut = match self.transform.crop {
            TrainCrop::RandomResized { .. } | TrainCrop::RandomShortSide { .. } | TrainCrop::Whole => true,
            TrainCrop::Center => self.fit == Fit::Square,
            TrainCrop::Pad { .. } => false,
        };
        if is_cut {
            return cut(image, fitted.from, fitted.resized, canvas);
        }
        let mut middle = center(image, [self.side; 2], canvas)?;
        if let Some(Shift { pad, from: [dx, dy] }) = shift {
            pad.shift(&mut middle, &mut canvas.spare, dx, dy);
        }
        Ok(middle)
    }
}

/// The image in the top left corner of a black one, unless it fills all of that.
fn padded(image: Image, [columns, rows]: [u32; 2], spare: &mut Vec<u8>) -> Image {
    if [image.width(), image.height()] == [columns, rows] {
        return image;
    }
    let mut pixels = mem::take(spare);
    pixels.clear();
    pixels.resize(3 * columns as usize * rows as usize, 0);
    let stride = 3 * image.width() as usize;
    let lines = pixels.chunks_exact_mut(3 * columns as usize).zip(image.pixels().chunks_exact(stride));
    lines.for_each(|(line, shown)| line[..stride].copy_from_slice(shown));
    *spare = image.into_pixels();
    Image::new(columns, rows, pixels)
}

/// Refuses what moves or replaces pixels in a way that is not part of a [`Geometry`].
fn check_labels_can_follow(transform: &TrainTransform, labels: &str) -> Result<()> {
    let TrainTransform { rand_augment, random_erasing, mixup, cutmix, .. } = *transform;
    let used = [
        ("rand_augment", rand_augment.is_some()),
        ("random_erasing", random_erasing != 0.0),
        ("mixup", mixup != 0.0),
        ("cutmix", cutmix != 0.0),
    ];
    match used.into_iter().find(|(_, is_used)| *is_used) {
        Some((setting, _)) => Err(Error::Setting {
            setting,
            reason: format!("is for classification; {labels} cannot follow it"),
        }),
        None => Ok(()),
    }
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
