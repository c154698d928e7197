//! The recipe as written: what TOML can say, and the defaults of what it leaves out.
//!
//! The reference of the recipe in `docs/formats.md` is made from the comments of these types: `cargo xtask reference`.
//! A `RecipeFile` may hold nonsense; [`Recipe`](super::Recipe) is the checked form.

use std::path::PathBuf;

use mutualnet_core::network::ChannelRule;
use mutualnet_core::{Frames, Precision, Resolution, Task, WidthRange};
use mutualnet_data::TrainTransform;
use mutualnet_zoo::{OutputStride, TwoStage};
use serde::{Deserialize, Serialize};

use super::train_section::TrainSection;

/// A whole recipe, not yet checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// Every random draw of the run follows from this number.
    #[serde(default)]
    pub seed: u64,
    /// What the network is trained for.
    #[serde(default)]
    pub task: Task,
    /// The network.
    pub network: NetworkSection,
    /// The data it is trained on and evaluated with.
    pub data: DataSection,
    /// The training.
    pub train: TrainSection,
    /// What `mutualnet tabulate` does after training.
    #[serde(default)]
    pub tabulate: TabulateSection,
}

/// `[network]`: what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// The network: a name from [the list of networks](networks.md), such as `mobilenet_v2`. It must suit the task.
    pub name: String,
    /// The narrowest and the widest sub-network, such as `[0.25, 1.0]`, above 0 and at most 8.
    pub widths: WidthRange,
    /// Sides of the square input in pixels, largest first, such as `[224, 192, 160, 128]`. To segment, these are the
    /// lengths of the shorter side after training, when images keep their aspect ratio. To detect, all of an image is
    /// stretched to the square, unless `data.longest_side` is set.
    pub resolutions: Vec<Resolution>,
    /// Numbers of frames of a clip, largest first, such as `[16, 8, 4]`, for a network that reads clips. A sub-network with
    /// fewer frames sees some of those of the largest clip, at equal distances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frames>,
    /// Number of frames of the clip that a Fast pathway reads, such as 32; networks without one do not have the key. The
    /// clip has this many frames at the largest resolution for every sub-network, and `network.frames` are of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast_frames: Option<Frames>,
    /// 32, 16 or 8: smaller ones suit small images. Without it as published. Wide ResNets have an output stride of 4 and
    /// no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<OutputStride>,
    /// Numbers of channels are rounded to multiples of this, 1 to 64; the published networks have 8. Smaller ones give a
    /// small network more widths that differ.
    #[serde(default = "NetworkSection::default_channel_divisor")]
    pub channel_divisor: u32,
    /// Slim the head of a network that segments or detects as well as its backbone. Without it, the head is the same at every width.
    #[serde(default)]
    pub slim_head: bool,
    /// Sizes of a two-stage detector: the keys of `network.two_stage` below. Only for networks with regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_stage: Option<TwoStage>,
}

impl NetworkSection {
    fn default_channel_divisor() -> u32 {
        8
    }
}

const _: () = assert!(ChannelRule::DIVISOR == 8, "the default is that of the networks");

/// `[data]`: what the network is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// A [data set](#data-sets), relative to the working directory; `~/` is the home directory.
    pub path: PathBuf,
    /// The split to train on: the name of a folder or file, depending on the [layout](#data-sets).
    #[serde(default = "DataSection::default_train")]
    pub train: String,
    /// The split to evaluate on.
    #[serde(default = "DataSection::default_test")]
    pub test: String,
    /// Share of the training images of each class to use, above 0 and at most 1: evenly spaced, at least one image, the
    /// same for every seed.
    #[serde(default = "DataSection::default_train_share")]
    pub train_share: f64,
    /// Mean of the red, green and blue channel on the scale 0–1; the default is ImageNet's.
    #[serde(default = "DataSection::imagenet_mean")]
    pub mean: [f32; 3],
    /// Standard deviation of the red, green and blue channel on the scale 0–1; the default is ImageNet's.
    #[serde(default = "DataSection::imagenet_std")]
    pub std: [f32; 3],
    /// Length of the shorter side before the center crop at test time. Without it, the largest resolution. Only to
    /// classify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resolution>,
    /// To detect with regions: images keep their aspect ratio, and `network.resolutions` are lengths of the shorter side,
    /// unless the longer one would be above this many pixels at the largest resolution, such as 1000 for 600. Training sees
    /// whole images too with the crop `whole`, and squares of them with others. Without this key, all of an image is stretched
    /// to a square. To segment, images keep their aspect ratio in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_side: Option<Resolution>,
    /// Distance from one frame of a clip to the next, in frames of the video, 1 to 256. Where the time between the frames
    /// of a video varies, its mean counts.
    #[serde(default = "DataSection::default_frame_stride", skip_serializing_if = "DataSection::is_one")]
    pub frame_stride: u32,
    /// Augmentation of the training images: the keys of `data.augment` below.
    #[serde(default)]
    pub augment: TrainTransform,
    /// Decoding threads, up to 1024; 0 is one per core.
    #[serde(default)]
    pub workers: usize,
    /// Share of files that may fail to decode before the run stops, from 0 to 1. It may be raised to go on with `--resume`.
    #[serde(default = "DataSection::default_broken_limit")]
    pub broken_limit: f64,
}

impl DataSection {
    fn default_train() -> String {
        "train".to_owned()
    }

    fn default_test() -> String {
        "test".to_owned()
    }

    fn default_train_share() -> f64 {
        1.0
    }

    fn default_frame_stride() -> u32 {
        1
    }

    fn is_one(stride: &u32) -> bool {
        *stride == 1
    }

    fn imagenet_mean() -> [f32; 3] {
        [0.485, 0.456, 0.406]
    }

    fn imagenet_std() -> [f32; 3] {
        [0.229, 0.224, 0.225]
    }

    fn default_broken_limit() -> f64 {
        0.01
    }
}

/// `[tabulate]`: how the trained network is calibrated, evaluated and timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TabulateSection {
    /// Which weights go into the table and the bundle.
    pub weights: TabulateWeights,
    /// Distance between the widths of the table; the narrowest and the widest are always in it.
    pub width_step: f64,
    /// Batches of training images that the batch-norm statistics of each row are averaged over.
    pub calibration_batches: usize,
    /// Images per calibration batch, at least 2; 0 is the batch of training.
    pub calibration_batch: usize,
    /// The precisions in which every row is evaluated and timed: f32, and bf16 beside it if wanted. A row in bf16 that is not
    /// faster than the same row in f32 on this machine is left out.
    pub precisions: Vec<Precision>,
    /// Clips of a test video, at equal distances from its beginning to its end, that its answer is averaged over; 1 is its
    /// middle.
    pub views: u32,
    /// Squares of every clip of a test video that its answer is averaged over: 1, the middle, or 3, at the ends of the longer
    /// side too.
    pub crops: u32,
    /// Predictions of a single image that the latency of a row is measured over, per thread count.
    pub latency_runs: usize,
}

/// Which weights of a finished run go into the table and the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TabulateWeights {
    /// Those after the last step.
    #[default]
    Last,
    /// Their running average; needs `train.ema`.
    Ema,
}

impl Default for TabulateSection {
    fn default() -> Self {
        Self {
            weights: TabulateWeights::Last,
            width_step: 0.05,
            calibration_batches: 16,
            calibration_batch: 0,
            precisions: vec![Precision::F32],
            views: 1,
            crops: 1,
            latency_runs: 60,
        }
    }
}
