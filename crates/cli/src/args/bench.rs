//! The arguments of `mutualnet bench`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
#[cfg(feature = "train")]
use mutualnet_core::{Frames, Resolution, Width};

#[cfg(feature = "train")]
use super::RecipeArgs;
use super::{ArithmeticArgs, RowArgs, count, threads};

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Time mutual steps on random images
    #[cfg(feature = "train")]
    Train(BenchTrainArgs),
    /// Time the data path of a recipe stage by stage: read, decode, resize, augment, normalize
    #[cfg(feature = "train")]
    Data(BenchDataArgs),
    /// Time a row of a bundle layer by layer, and compare each layer with what the processor can do
    Runtime(BenchRuntimeArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BenchRuntimeArgs {
    /// Bundle (.mnb) or run directory
    pub(crate) bundle: PathBuf,
    #[command(flatten)]
    pub(crate) row: RowArgs,
    /// Images per run
    #[arg(long, value_name = "N", value_parser = count, default_value = "1")]
    pub(crate) batch: NonZeroUsize,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Number of runs to time, after a few that do not count
    #[arg(long, value_name = "N", value_parser = count, default_value = "100")]
    pub(crate) runs: NonZeroUsize,
    #[command(flatten)]
    pub(crate) arithmetic: ArithmeticArgs,
    /// Answer requests on stdin, so that runs can be interleaved with those of other programs: `outputs FROM TO` runs the
    /// images of a file, and `step N` runs them N times and prints the mean seconds
    #[arg(long)]
    pub(crate) lockstep: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct BenchTrainArgs {
    /// Network
    #[arg(long, default_value = "mobilenet_v1")]
    pub(crate) network: String,
    /// Images per step
    #[arg(long, default_value_t = 16)]
    pub(crate) batch: usize,
    /// Resolutions in pixels, largest first
    #[arg(long, value_delimiter = ',', default_value = "224,192,160,128")]
    pub(crate) resolutions: Vec<Resolution>,
    /// Numbers of frames of a clip, largest first, for a network that reads clips
    #[arg(long, value_delimiter = ',')]
    pub(crate) frames: Vec<Frames>,
    /// Number of frames of the clip that a Fast pathway reads [default: as published]
    #[arg(long, value_name = "N")]
    pub(crate) fast_frames: Option<Frames>,
    /// Narrowest width; the widest is 1.0
    #[arg(long, default_value = "0.25")]
    pub(crate) smallest: Width,
    /// Number of classes
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) classes: usize,
    /// Time plain steps, of the full network alone
    #[arg(long, conflicts_with = "lockstep")]
    pub(crate) plain: bool,
    /// Device: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Number of steps to time, after two warm-up steps
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) steps: usize,
    /// Run one step for every line `step` or `plain` on stdin and answer with its seconds, so that runs can be interleaved
    #[arg(long)]
    pub(crate) lockstep: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct BenchDataArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Number of images or clips to load, after a warm-up round
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) images: usize,
    /// Load one batch for every line `step FIRST N` on stdin and answer with its seconds, so that runs can be
    /// interleaved
    #[arg(long)]
    pub(crate) lockstep: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
