//! Crops of training images, as a recipe writes them and as the pipeline applies them.
//!
//! Separate because the two differ: a recipe has one flat table with a `kind`, the pipeline an enum in which every kind
//! has its own settings.

use mutualnet_core::{Fit, Task};
use serde::{Deserialize, Serialize};

use crate::augment::PadMode;
use crate::{Error, Result};

/// Which part of a training image the network sees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CropFile", into = "CropFile")]
pub enum TrainCrop {
    /// A rectangle of random area and shape, resized.
    RandomResized {
        /// Smallest and largest share of the area.
        scale: [f64; 2],
        /// Smallest and largest width over height.
        ratio: [f64; 2],
    },
    /// A square of the image at a random resolution.
    RandomShortSide {
        /// Least and greatest length of the shorter side, in pixels; for classification not below the largest resolution.
        shorter: [u32; 2],
    },
    /// The whole image, shifted by a few pixels.
    Pad {
        /// Most pixels of shift in each direction.
        pad: u32,
        /// What comes in from outside.
        mode: PadMode,
    },
    /// The middle of the image, or all of it if the image is stretched to a square, as at test time.
    Center,
    /// The whole image with about its aspect ratio, in batches of images of similar ones.
    Whole,
}

/// `[data.augment.crop]`, as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CropFile {
    /// The kind of crop. The other keys each belong to one kind.
    kind: CropKind,
    /// For `random_resized`: smallest and largest share of the image's area; without it `[0.25, 1.0]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<[f64; 2]>,
    /// For `random_resized`: smallest and largest ratio of width to height; without it `[0.75, 1.333]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio: Option<[f64; 2]>,
    /// For `random_short_side`: smallest and largest length of the shorter side, in pixels, such as `[256, 480]`; for
    /// classification not below the largest resolution. Otherwise what an image does not fill is black, and has no class if
    /// pixels have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shorter: Option<[u32; 2]>,
    /// For `pad`: how many pixels the image is shifted at most, in each direction, such as 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pad: Option<u32>,
    /// For `pad`: what fills the border that the shift uncovers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<PadMode>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CropKind {
    /// A rectangle of random area and shape, resized to the square input.
    RandomResized,
    /// A square of the image after its shorter side got a random length.
    RandomShortSide,
    /// The whole image, shifted by a few pixels.
    Pad,
    /// The middle of the image, or all of it if images are stretched to a square, as at test time.
    Center,
    /// The whole image as at test time, for detection with `data.longest_side`. A batch has images of similar aspect ratios,
    /// which are stretched to the ratio of the median of their group.
    Whole,
}

impl CropFile {
    const EMPTY: Self =
        Self { kind: CropKind::Center, scale: None, ratio: None, shorter: None, pad: None, mode: None };

    /// The first setting that belongs to another kind.
    fn stray(&self) -> Option<&'static str> {
        use CropKind::{Pad, RandomResized, RandomShortSide};
        let given = [
            ("scale", self.scale.is_some(), RandomResized),
            ("ratio", self.ratio.is_some(), RandomResized),
            ("shorter", self.shorter.is_some(), RandomShortSide),
            ("pad", self.pad.is_some(), Pad),
            ("mode", self.mode.is_some(), Pad),
        ];
        given.into_iter().find(|&(_, is_given, kind)| is_given && kind != self.kind).map(|(key, ..)| key)
    }
}

impl TryFrom<CropFile> for TrainCrop {
    type Error = String;

    fn try_from(file: CropFile) -> Result<Self, String> {
        if let Some(key) = file.stray() {
            return Err(format!("`{key}` belongs to another kind of crop"));
        }
        Ok(match file.kind {
            CropKind::RandomResized => Self::RandomResized {
                scale: file.scale.unwrap_or(DEFAULT_SCALE),
                ratio: file.ratio.unwrap_or(DEFAULT_RATIO),
            },
            CropKind::RandomShortSide => Self::RandomShortSide {
                shorter: file
                    .shorter
                    .ok_or("the kind `random_short_side` needs `shorter`, such as shorter = [256, 480]")?,
            },
            CropKind::Pad => {
                let (Some(pad), Some(mode)) = (file.pad, file.mode) else {
                    let needs = "the kind `pad` needs `pad` and `mode`, such as pad = 4, mode = \"reflect\"";
                    return Err(needs.to_owned());
                };
                Self::Pad { pad, mode }
            }
            CropKind::Center => Self::Center,
            CropKind::Whole => Self::Whole,
        })
    }
}

impl From<TrainCrop> for CropFile {
    fn from(crop: TrainCrop) -> Self {
        let empty = Self::EMPTY;
        match crop {
            TrainCrop::RandomResized { scale, ratio } => {
                Self { kind: CropKind::RandomResized, scale: Some(scale), ratio: Some(ratio), ..empty }
            }
            TrainCrop::RandomShortSide { shorter } => {
                Self { kind: CropKind::RandomShortSide, shorter: Some(shorter), ..empty }
            }
            TrainCrop::Pad { pad, mode } => {
                Self { kind: CropKind::Pad, pad: Some(pad), mode: Some(mode), ..empty }
            }
            TrainCrop::Center => empty,
            TrainCrop::Whole => Self { kind: CropKind::Whole, ..empty },
        }
    }
}

/// The reference's setting for MobileNets.
const DEFAULT_SCALE: [f64; 2] = [0.25, 1.0];
const DEFAULT_RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

impl Default for TrainCrop {
    fn default() -> Self {
        Self::RandomResized { scale: DEFAULT_SCALE, ratio: DEFAULT_RATIO }
    }
}

impl TrainCrop {
    /// Whether the settings make sense for images of `side` pixels.
    pub(super) fn check(&self, task: Task, fit: Fit, side: u32) -> Result<()> {
        let (setting, reason) = match *self {
            Self::Whole if fit != Fit::Whole || task != Task::Detect => (
                "crop.kind",
                "`whole` is for detection with data.longest_side".to_owned(),
            ),
            Self::RandomShortSide { .. } | Self::Pad { .. } if fit == Fit::Square => (
                "crop.kind",
                "all of an image is stretched to a square: use `random_resized`, or `center` for the whole image".to_owned(),
            ),
            Self::Pad { .. } | Self::Center if fit == Fit::Whole && task == Task::Detect => (
                "crop.kind",
                "images keep their aspect ratio: use `whole`, `random_short_side`, such as { kind = \"random_short_side\", \
                 shorter = [480, 800] }, or `random_resized`"
                    .to_owned(),
            ),
            Self::RandomShortSide { shorter: [low, high] } if task != Task::Classify => {
                if 0 < low && low <= high {
                    return Ok(());
                }
                ("crop.shorter", format!("[{low}, {high}] is not a range above 0"))
            }
            Self::RandomResized { scale: [low, high], .. } if !(0.0 < low && low <= high && high <= 1.0) => {
                ("crop.scale", format!("[{low}, {high}] is not a range above 0 and up to 1"))
            }
            Self::RandomResized { ratio: [low, high], .. }
                if !(0.01 <= low && low <= high && high <= 100.0) =>
            {
                ("crop.ratio", format!("[{low}, {high}] is not a range from 0.01 to 100"))
            }
            Self::RandomShortSide { shorter: [low, high] } if !(side <= low && low <= high) => (
                "crop.shorter",
                format!(
                    "[{low}, {high}] is not a range that begins at the largest resolution, {side}, or above"
                ),
            ),
            Self::Pad { pad, .. } if pad >= side => {
                ("crop.pad", format!("{pad} is not below the largest resolution, {side}"))
            }
            _ => return Ok(()),
        };
        Err(Error::Setting { setting, reason })
    }
}
