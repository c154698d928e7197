//! The arguments of `mutualnet data`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use mutualnet_core::{Resolution, Task};

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Generate a labeled data set of images or videos
    #[command(subcommand)]
    Make(MakeCommand),
    /// Decode every image, or three frames of every video, list the broken ones and write a quarantine list
    Check(CheckArgs),
    /// Pack a data set into one file, for disks that are slow with many small files
    Pack(PackArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MakeCommand {
    /// Textured shapes in clutter; telling the classes apart takes both detail and outline
    Shapes(ShapesArgs),
    /// Pictures of several overlapping shapes, with masks for segmentation, and boxes and polygons in COCO's format
    Scenes(ScenesArgs),
    /// Videos of a shape that moves; the classes are motions, so that one frame does not tell them apart
    Clips(ClipsArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ClipsArgs {
    /// Directory to write to; must be empty or not exist
    pub(crate) dir: PathBuf,
    /// Number of training clips
    #[arg(long, default_value_t = 1_600)]
    pub(crate) train: usize,
    /// Number of test clips
    #[arg(long, default_value_t = 400)]
    pub(crate) test: usize,
    /// Side of the square frames in pixels
    #[arg(long, default_value_t = Resolution::new(64).expect("64 is a resolution"))]
    pub(crate) side: Resolution,
    /// Number of frames of a clip
    #[arg(long, default_value_t = 16)]
    pub(crate) frames: u32,
    /// Random seed; the same seed makes the same files
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScenesArgs {
    /// Directory to write to; must be empty or not exist
    pub(crate) dir: PathBuf,
    /// Number of training pictures
    #[arg(long, default_value_t = 1_500)]
    pub(crate) train: usize,
    /// Number of test pictures
    #[arg(long, default_value_t = 300)]
    pub(crate) test: usize,
    /// Side of the square pictures in pixels
    #[arg(long, default_value_t = Resolution::new(160).expect("160 is a resolution"))]
    pub(crate) side: Resolution,
    /// Smallest diameter of an object in pixels
    #[arg(long, default_value_t = 24)]
    pub(crate) min_object: u32,
    /// Random seed; the same seed makes the same files
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ShapesArgs {
    /// Directory to write to; must be empty or not exist
    pub(crate) dir: PathBuf,
    /// Number of training images
    #[arg(long, default_value_t = 12_000)]
    pub(crate) train: usize,
    /// Number of test images
    #[arg(long, default_value_t = 2_000)]
    pub(crate) test: usize,
    /// Side of the square images in pixels
    #[arg(long, default_value_t = Resolution::new(32).expect("32 is a resolution"))]
    pub(crate) side: Resolution,
    /// Random seed; the same seed makes the same files
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PackArgs {
    /// Data set, in any layout
    pub(crate) dir: PathBuf,
    /// File to write (.mnpack); recipes name it as `data.path`
    pub(crate) out: PathBuf,
    /// Split to pack; may be repeated [default: those of train, val, validation and test that exist]
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Vec<String>,
    /// The data are videos or folders of frames; without it, they are if there are more videos than images
    #[arg(long)]
    pub(crate) clips: bool,
    /// Scale images, or the frames of videos, down so that their longer side has at most N pixels
    #[arg(long, value_name = "N")]
    pub(crate) max_side: Option<Resolution>,
    /// Scale images, or the frames of videos, down so that their shorter side has at most N pixels
    #[arg(long, value_name = "N", conflicts_with = "max_side")]
    pub(crate) shorter_side: Option<Resolution>,
    /// jpeg keeps files as they are and stores scaled images and the frames of videos as JPEG; raw stores pixels, which
    /// load fastest and take about ten times the space
    #[arg(long, value_enum, default_value = "jpeg")]
    pub(crate) store: StoreArg,
    /// JPEG quality of scaled images and of the frames of videos
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: u8,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum StoreArg {
    Jpeg,
    Raw,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// Data set, one of its splits, or any folder of images or videos
    pub(crate) dir: PathBuf,
    /// The data are videos or folders of frames; without it, they are if there are more videos than images
    #[arg(long, conflicts_with = "task")]
    pub(crate) clips: bool,
    /// What the data are for; without it, `segment` if a split has the folders `images` and `masks`
    #[arg(long, value_name = "classify|segment|detect")]
    pub(crate) task: Option<Task>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
