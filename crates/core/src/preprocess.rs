//! Test-time preprocessing: how a decoded image becomes the input of the network.
//!
//! It is part of what a bundle says about itself, so training and deployment share it.
//! Invariant: [`Preprocess::check`] is the only place that decides whether preprocessing makes sense.

use serde::{Deserialize, Serialize};

use crate::network::Rank;
use crate::{Error, Frames, Network, Resolution, Result};

/// Which part of an image the network sees at test time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The middle square.
    #[default]
    CenterCrop,
    /// All of it, at its own aspect ratio; resolutions are lengths of the shorter side.
    Whole,
    /// All of it, stretched to a square.
    Square,
}

impl Fit {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which frames of a video make a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSampling {
    /// Frames of a clip: the largest number that a sub-network reads.
    pub frames: Frames,
    /// Distance from one frame of a clip to the next, in mean frame times of the video.
    pub stride: u32,
}

impl ClipSampling {
    /// Every frame of a video for a network whose rows read at most this many, or more if it has a
    /// [`Network::whole_clip`]; `None` if it reads images.
    pub fn every_frame(network: &Network, most: Frames) -> Option<Self> {
        let whole = network.whole_clip().and_then(|[frames, ..]| Frames::new(frames).ok());
        (network.rank() == Rank::Clip).then_some(Self { frames: whole.unwrap_or(most), stride: 1 })
    }

    /// The largest stride.
    pub const MAX_STRIDE: u32 = 256;
}

/// Which parts of a video the answer for it is averaged over, at test time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Views {
    /// Number of clips, at equal distances from the beginning of the video to its end; a single one is its middle.
    pub clips: u32,
    /// Number of squares of every clip: 1, its middle, or 3, at the ends of the longer side too.
    pub crops: u32,
}

/// The middle of the video.
impl Default for Views {
    fn default() -> Self {
        Self { clips: 1, crops: 1 }
    }
}

impl Views {
    /// More clips than any publication averages over.
    pub const MAX_CLIPS: u32 = 100;

    /// Number of inputs of the network for one video.
    pub fn n(self) -> usize {
        self.clips as usize * self.crops as usize
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn check(self) -> Result<(), (&'static str, String)> {
        let Self { clips, crops } = self;
        let most = Self::MAX_CLIPS;
        if !(1..=most).contains(&clips) {
            return Err(("views", format!("must be from 1 to {most}, not {clips}")));
        }
        if !matches!(crops, 1 | 3) {
            return Err(("crops", format!("must be 1 or 3, not {crops}")));
        }
        Ok(())
    }
}

/// Test-time preprocessing: resize, center crop, scale to 0–1, normalize.
///
/// A sub-network with a smaller resolution gets the result shrunk (bilinear, aligned corners, to the size that [`shrunk`]
/// gives), not a crop of its own.
///
/// # Source
/// `[MN-code utils/datasets.py]`, `[MN-code train.py test]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Which part of the resized image the network sees.
    #[serde(default, skip_serializing_if = "Fit::is_default")]
    pub fit: Fit,
    /// Length of the shorter side after the resize, in pixels; `None` resizes it to `crop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resolution>,
    /// Side of the center crop or of the stretched image, or length of the shorter side of a whole image: the largest
    /// resolution.
    pub crop: Resolution,
    /// Length of the longer side of a whole image at most, in pixels, for which the shorter one may be below `crop`; `None` if any
    /// length is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_side: Option<Resolution>,
    /// Mean of each color channel, on the scale 0–1.
    pub mean: [f32; 3],
    /// Standard deviation of each color channel, on the scale 0–1.
    pub std: [f32; 3],
    /// Which frames of a video make a clip, whose frames are then preprocessed like images; `None` if the network reads
    /// images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipSampling>,
    /// Which parts of a video are averaged over; only those of clips are more than one.
    #[serde(default, skip_serializing_if = "Views::is_default")]
    pub views: Views,
}

/// Largest value of a color channel in an 8-bit image.
const MAX_8_BIT: f32 = 255.0;

/// The size, height and width, of an image for a resolution, if its size for the resolution `from` is `size`.
///
/// Halves are rounded up, and no side is below 1.
pub fn shrunk(size: [usize; 2], from: Resolution, to: Resolution) -> [usize; 2] {
    let (from, to) = (from.get() as usize, to.get() as usize);
    size.map(|side| ((2 * side * to + from) / (2 * from)).max(1))
}

impl Preprocess {
    /// A center crop without a resize of its own; mean and standard deviation are on the scale 0–1.
    pub fn center_crop(crop: Resolution, mean: [f32; 3], std: [f32; 3]) -> Self {
        Self {
            fit: Fit::CenterCrop,
            resize: None,
            crop,
            longest_side: None,
            mean,
            std,
            clip: None,
            views: Views::default(),
        }
    }

    /// Whether images can be preprocessed like this.
    ///
    /// # Errors
    /// [`Error::Preprocess`]: the crop is larger than the resized image, mean and standard deviation are not on the
    /// scale 0–1, the longest side is below the crop, the frames of a clip are too far apart, or they are not all of one
    /// size, or the views are those of a video where there is none.
    pub fn check(&self) -> Result<()> {
        let Self { fit, resize, crop, longest_side, mean, std, clip, views } = *self;
        self.check_clip(clip)?;
        views.check().map_err(|(key, reason)| Error::Preprocess { key, reason, hint: None })?;
        if clip.is_none() && !views.is_default() {
            let reason = "only videos have several views, and the network reads images".to_owned();
            return Err(Error::Preprocess { key: "views", reason, hint: Some("remove them".to_owned()) });
        }
        if fit != Fit::CenterCrop && resize.is_some() {
            let reason = "whole images are resized to the largest resolution, and not cropped";
            let hint = Some("remove it".to_owned());
            return Err(Error::Preprocess { key: "resize", reason: reason.to_owned(), hint });
        }
        let longest_problem = longest_side.and_then(|longest| match fit {
            Fit::Whole if longest < crop => {
                Some(format!("{longest} is below the largest resolution, {crop}"))
            }
            Fit::Whole => None,
            _ => Some("images do not keep their aspect ratio".to_owned()),
        });
        if let Some(reason) = longest_problem {
            return Err(Error::Preprocess { key: "longest_side", reason, hint: None });
        }
        if let Some(resize) = resize.filter(|&resize| resize < crop) {
            let reason = format!("{resize} is below the largest resolution, {crop}");
            return Err(Error::Preprocess { key: "resize", reason, hint: None });
        }
        let is_8_bit = |values: [f32; 3]| {
            values.iter().any(|&x| x > 1.0) && values.iter().all(|x| (0.0..=MAX_8_BIT).contains(x))
        };
        if let Some((key, values)) = [("mean", mean), ("std", std)].into_iter().find(|(_, v)| is_8_bit(*v)) {
            let reason = format!("{} is on the scale 0–255, but pixels are on the scale 0–1", list(values));
            let divided = |key, values| {
                let values: [f32; 3] = if is_8_bit(values) { values.map(|x| x / MAX_8_BIT) } else { values };
                format!("{key}={}", list(values))
            };
            let hint = format!("divide by 255: {} {}", divided("mean", mean), divided("std", std));
            return Err(Error::Preprocess { key, reason, hint: Some(hint) });
        }
        if !mean.iter().all(|mean| (0.0..=1.0).contains(mean)) {
            let reason = format!("{} must be from 0 to 1", list(mean));
            return Err(Error::Preprocess { key: "mean", reason, hint: None });
        }
        if !std.iter().all(|&std| std > 0.0 && std <= 1.0) {
            let reason = format!("{} must be above 0 and at most 1", list(std));
            return Err(Error::Preprocess { key: "std", reason, hint: None });
        }
        Ok(())
    }
}

impl Preprocess {
    fn check_clip(&self, clip: Option<ClipSampling>) -> Result<()> {
        let Some(ClipSampling { stride, .. }) = clip else { return Ok(()) };
        let most = ClipSampling::MAX_STRIDE;
        let reason = if self.fit != Fit::CenterCrop {
            "the frames of a clip are cropped to a square".to_owned()
        } else if !(1..=most).contains(&stride) {
            format!("the stride must be from 1 to {most}, not {stride}")
        } else {
            return Ok(());
        };
        Err(Error::Preprocess { key: "clip", reason, hint: None })
    }
}

/// `[0.485,0.456,0.406]`: as it can be typed on a command line, with at most four decimals.
fn list(values: [f32; 3]) -> String {
    let text = values.map(|value| ((f64::from(value) * 1e4).round() / 1e4).to_string());
    format!("[{}]", text.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagenet() -> Preprocess {
        let crop = Resolution::new(32).unwrap();
        Preprocess::center_crop(crop, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    }

    fn told(preprocess: Preprocess) -> (String, Option<String>) {
        let error = preprocess.check().unwrap_err();
        (error.to_string(), error.hint())
    }

    #[test]
    fn the_scale_0_to_255_is_named_with_the_divided_numbers() {
        let mean = [123.675, 116.28, 103.53];
        let std = [58.395, 57.12, 57.375];
        let says = "mean: [123.675,116.28,103.53] is on the scale 0–255, but pixels are on the scale 0–1";
        let hint = "divide by 255: mean=[0.485,0.456,0.406] std=[0.229,0.224,0.225]";
        assert_eq!(told(Preprocess { mean, std, ..imagenet() }), (says.to_owned(), Some(hint.to_owned())));
        // One of the two, or one channel of it, is enough.
        assert_eq!(told(Preprocess { mean, ..imagenet() }).1.as_deref(), Some(hint));
        assert_eq!(told(Preprocess { std, ..imagenet() }).1.as_deref(), Some(hint));
        assert!(told(Preprocess { std: [0.2, 1.01, 0.2], ..imagenet() }).0.contains("scale 0–255"));
    }

    #[test]
    fn numbers_outside_of_the_scale_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, -0.1, -120.0, 256.0] {
            let (mean, hint) = told(Preprocess { mean: [0.5, bad, 0.5], ..imagenet() });
            assert!(mean.contains("must be from 0 to 1") && hint.is_none(), "{mean}");
            let (std, hint) = told(Preprocess { std: [0.5, bad, 0.5], ..imagenet() });
            assert!(std.contains("must be above 0 and at most 1") && hint.is_none(), "{std}");
        }
        assert!(told(Preprocess { std: [0.2, 0.0, 0.2], ..imagenet() }).0.contains("above 0"));
    }

    #[test]
    fn the_crop_lies_inside_of_the_resized_image() {
        let resize = Some(Resolution::new(31).unwrap());
        assert_eq!(
            told(Preprocess { resize, ..imagenet() }).0,
            "resize: 31 is below the largest resolution, 32"
        );
    }

    #[test]
    fn sizes_shrink_with_the_resolution() {
        let [from, to] = [160, 96].map(|n| Resolution::new(n).unwrap());
        assert_eq!(shrunk([160, 160], from, to), [96, 96]);
        assert_eq!(shrunk([160, 213], from, to), [96, 128]);
        assert_eq!(shrunk([1200, 160], from, to), [720, 96]);
        assert_eq!(shrunk([1, 1], from, Resolution::new(1).unwrap()), [1, 1]);
    }

    #[test]
    fn whole_images_have_no_resize_of_their_own() {
        let whole = Preprocess { fit: Fit::Whole, ..imagenet() };
        whole.check().unwrap();
        assert!(told(Preprocess { resize: Some(whole.crop), ..whole }).0.starts_with("resize: whole images"));
    }

    #[test]
    fn only_whole_images_have_a_longest_side() {
        let longest = |n| Some(Resolution::new(n).unwrap());
        let whole = Preprocess { fit: Fit::Whole, longest_side: longest(32), ..imagenet() };
        whole.check().unwrap();
        assert_eq!(
            told(Preprocess { longest_side: longest(31), ..whole }).0,
            "longest_side: 31 is below the largest resolution, 32"
        );
        assert!(told(Preprocess { fit: Fit::Square, ..whole }).0.contains("keep their aspect ratio"));
    }

    #[test]
    fn clips_have_square_frames_that_are_not_too_far_apart() {
        let frames = Frames::new(8).unwrap();
        let with = |stride| Preprocess { clip: Some(ClipSampling { frames, stride }), ..imagenet() };
        with(ClipSampling::MAX_STRIDE).check().unwrap();
        let views = |clips, crops| Preprocess { views: Views { clips, crops }, ..with(1) };
        views(10, 3).check().unwrap();
        for (wrong, key) in [(views(0, 1), "views"), (views(101, 1), "views"), (views(2, 2), "crops")] {
            assert!(matches!(wrong.check(), Err(Error::Preprocess { key: named, .. }) if named == key));
        }
        assert!(Preprocess { clip: None, ..views(1, 3) }.check().is_err());
        for stride in [0, ClipSampling::MAX_STRIDE + 1] {
            assert!(told(with(stride)).0.starts_with("clip: the stride must be from 1 to 256"));
        }
        assert!(told(Preprocess { fit: Fit::Whole, ..with(1) }).0.contains("cropped to a square"));
    }

    #[test]
    fn the_usual_ones_pass() {
        let zero_one = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..imagenet() };
        let caffe = Preprocess { mean: [0.41, 0.46, 0.48], std: [1.0 / 255.0; 3], ..imagenet() };
        for preprocess in [imagenet(), zero_one, caffe] {
            preprocess.check().unwrap();
        }
    }
}
