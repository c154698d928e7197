//! The command line: commands, arguments and their help.

use std::num::NonZeroUsize;
use std::path::PathBuf;
#[cfg(feature = "train")]
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use mutualnet_core::{Budget, Frames, Precision, Resolution, Views, Width, WidthRange};
use mutualnet_runtime::Convolution;

mod bench;
pub(crate) use bench::*;
#[cfg(feature = "train")]
mod data;
#[cfg(feature = "train")]
pub(crate) use data::*;

/// Train one network once, and run it on any budget by choosing its channel width and input resolution
#[derive(Debug, Parser)]
#[command(name = "mutualnet", version = crate::VERSION, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate, check and pack data sets
    #[cfg(feature = "train")]
    #[command(subcommand)]
    Data(DataCommand),
    /// Show what a recipe will do and how long it will take on this machine, before a long run
    #[cfg(feature = "train")]
    Plan(PlanArgs),
    /// Train a network from a recipe
    #[cfg(feature = "train")]
    Train(TrainArgs),
    /// Calibrate, evaluate and time every row of a trained run; write the query table and the bundle
    #[cfg(feature = "train")]
    Tabulate(TabulateArgs),
    /// Show a query table, or the row that a budget buys
    Table(TableArgs),
    /// Compare the tables of several methods at equal MACs, over seeds
    Compare(CompareArgs),
    /// Run a bundle on images or videos within a budget
    Predict(PredictArgs),
    /// Write one row of a bundle to a file of its own
    Export(ExportArgs),
    /// Convert a PyTorch checkpoint to weights of a network, matching tensors by name
    Import(ImportArgs),
    /// Show what is in a network or a bundle
    #[command(subcommand)]
    Inspect(InspectCommand),
    /// Measure speed on this machine
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Plan for N training images instead of reading the recipe's data, which need not exist
    #[arg(long, value_name = "N", requires = "classes")]
    pub(crate) train_images: Option<usize>,
    /// Number of classes, together with --train-images
    #[arg(long, value_name = "N", requires = "train_images")]
    pub(crate) classes: Option<usize>,
    /// Do not time training on this machine
    #[arg(long)]
    pub(crate) no_timing: bool,
    /// Plan for several processes that share every batch too, on N machines like this one
    #[arg(long, value_name = "N", value_parser = count, conflicts_with_all = ["no_timing", "train_images"])]
    pub(crate) machines: Option<NonZeroUsize>,
    /// Plan for N processes on each machine
    #[arg(long, value_name = "N", value_parser = count, conflicts_with_all = ["no_timing", "train_images"])]
    pub(crate) processes: Option<NonZeroUsize>,
    /// What the network between machines carries, in 10⁹ bits per second
    #[arg(long, value_name = "GBIT", default_value_t = 10.0, value_parser = positive)]
    pub(crate) gbit_per_s: f64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "train")]
fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("not a number above 0".to_owned()),
    }
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct RecipeArgs {
    /// Recipe file (TOML)
    pub(crate) recipe: PathBuf,
    /// Recipe keys to override, such as train.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Run directory, for checkpoints, log, table and bundle
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Continue from the last checkpoint, or start the run if there is none yet
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) processes: ProcessesArgs,
}

/// For a command that a launcher may start several times.
#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct ProcessesArgs {
    /// Seconds to wait for another process that does not answer, if a launcher such as torchrun started several
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

#[cfg(feature = "train")]
impl ProcessesArgs {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct TabulateArgs {
    /// Run directory of a training that has finished, unless --step or --best is given
    pub(crate) run: PathBuf,
    /// Tabulate the checkpoint of this step, into step-N/ of the run directory; also of a training that was interrupted
    #[arg(long, value_name = "N")]
    pub(crate) step: Option<u64>,
    /// Tabulate the checkpoint that evaluated best during training (train.evaluate_epochs), as --step does
    #[arg(long, conflicts_with = "step")]
    pub(crate) best: bool,
    #[command(flatten)]
    pub(crate) processes: ProcessesArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TableArgs {
    /// Run directory, bundle (.mnb) or table.json
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Use the latencies measured with N threads [default: the largest N that was measured]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Show all rows instead of only the Pareto front
    #[arg(long)]
    pub(crate) all: bool,
    /// Draw how good the rows are over their cost to an SVG file
    #[arg(long, value_name = "SVG", value_parser = svg)]
    pub(crate) plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BudgetArgs {
    /// Most that the row may cost: MACs, as in 150M, 2.3 GMACs or 7030000, or a latency, as in 10ms. No row above the budget is
    /// chosen; costs are printed rounded up, so that a cost copied from a table buys its row
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) budget: Option<Budget>,
    /// Most time that a prediction may take, as in 10ms, 800us or 0.5s; compared with the 99th percentile
    #[arg(long, conflicts_with = "budget", allow_hyphen_values = true, value_parser = Budget::latency_from_str)]
    pub(crate) latency: Option<Budget>,
}

impl BudgetArgs {
    /// The budget, by either option.
    pub(crate) fn get(&self) -> Option<Budget> {
        self.budget.or(self.latency)
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RowArgs {
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Width of the row, instead of a budget
    #[arg(long, requires = "resolution", conflicts_with_all = ["budget", "latency"])]
    pub(crate) width: Option<Width>,
    /// Resolution of the row, instead of a budget
    #[arg(long, requires = "width")]
    pub(crate) resolution: Option<Resolution>,
    /// Number of frames of the row, for a network that reads clips
    #[arg(long, requires = "width")]
    pub(crate) frames: Option<Frames>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompareArgs {
    /// Name and tables of a method, one table per seed; each is a run directory, a bundle or a table file, and A+B joins
    /// the rows of two. All methods are compared with the first
    #[arg(value_name = "NAME=TABLE[,TABLE...]", required = true)]
    pub(crate) series: Vec<String>,
    /// Draw the curves to an SVG file
    #[arg(long, value_name = "SVG", value_parser = svg)]
    pub(crate) plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a Markdown table
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

/// How a network is computed.
#[derive(Debug, ClapArgs)]
pub(crate) struct ArithmeticArgs {
    /// Precision of weights and feature maps: f32, or bf16, which is faster on processors that multiply it [default: that
    /// of the row]
    #[arg(long)]
    pub(crate) precision: Option<Precision>,
    /// Compute every convolution term by term, not by Winograd's method, which is faster and rounds a little more
    #[arg(long)]
    no_winograd: bool,
}

impl ArithmeticArgs {
    pub(crate) fn convolution(&self) -> Convolution {
        if self.no_winograd { Convolution::Direct } else { Convolution::Fast }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PredictArgs {
    /// Bundle (.mnb) or run directory
    pub(crate) bundle: PathBuf,
    /// Images (JPEG, PNG, WebP) or, if the network reads clips, videos; or folders of them, which are searched with all their
    /// subfolders. Where there is no video, every folder of images is a clip, with an image for each frame
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) row: RowArgs,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Print the N most probable classes of each image or video, if the network classifies
    #[arg(long, value_name = "N", value_parser = count, default_value_t = const { NonZeroUsize::new(3).unwrap() })]
    pub(crate) top: NonZeroUsize,
    /// Tell and draw the objects with this score or more, if the network detects; JSON has all
    #[arg(long, value_name = "0-1", value_parser = score, default_value_t = 0.5)]
    pub(crate) score: f32,
    /// Average over N clips of each video, at equal distances; 1 is its middle [default: as the table was measured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Views::MAX_CLIPS)))]
    pub(crate) views: Option<u32>,
    /// Average over N squares of each clip: 1, its middle, or 3, at the ends of the longer side too [default: as the table
    /// was measured]
    #[arg(long, value_name = "N", value_parser = crops)]
    pub(crate) crops: Option<u32>,
    #[command(flatten)]
    pub(crate) arithmetic: ArithmeticArgs,
    /// Draw the classes, or the boxes and masks, over the image, with a legend, if the network segments or detects: a PNG file, or for
    /// several images a directory
    #[arg(long, value_name = "PNG")]
    pub(crate) save: Option<PathBuf>,
    /// Write the number of the class of every pixel, if the network segments: a PNG file, or for several images a directory
    #[arg(long, value_name = "PNG")]
    pub(crate) mask: Option<PathBuf>,
    /// Print what is found as a list in COCO's results format, if the network detects; FILE is the ground truth, which has the ids
    /// of the images by their names, and those of the categories
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(crate) coco: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// Bundle (.mnb) or run directory
    pub(crate) bundle: PathBuf,
    #[command(flatten)]
    pub(crate) row: RowArgs,
    /// File to write: .onnx, .safetensors (with PyTorch names) or .mnb (a bundle with only this row)
    #[arg(short, long)]
    pub(crate) output: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// PyTorch checkpoint (.pt, .pth, .ckpt, .bin; nothing in it is executed) or .safetensors file
    pub(crate) checkpoint: PathBuf,
    /// Network, such as mobilenet_v2
    #[arg(long)]
    pub(crate) network: String,
    /// Narrowest and widest width; the checkpoint has the tensors of the widest
    #[arg(long, value_name = "LOW,HIGH", value_parser = widths, default_value = "1.0,1.0")]
    pub(crate) widths: WidthRange,
    /// Number of classes that the checkpoint must have [default: any]
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,
    /// Leave out the classifier, to train on other classes (`train.new_head` in a recipe)
    #[arg(long, conflicts_with = "classes")]
    pub(crate) new_head: bool,
    /// Key of the state dict, if the file has several
    #[arg(long)]
    pub(crate) entry: Option<String>,
    /// Start of the names of the network's tensors, such as `model.` [default: where most tensors are found]
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Match tensors by order and shape instead of by name
    #[arg(long)]
    pub(crate) by_position: bool,
    /// Ignore tensors that the network does not have
    #[arg(long)]
    pub(crate) allow_unused: bool,
    /// Sort channels by importance, so that narrow widths start with the best ones
    #[arg(long)]
    pub(crate) sort_channels: bool,
    /// Weights file to write (.safetensors), for `train.init` in a recipe
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The most threads that can be asked for; recipes have the same limit.
const MAX_THREADS: usize = 1024;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let wrong = || format!("must be a whole number from 1 to {MAX_THREADS}");
    text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= MAX_THREADS).ok_or_else(wrong)
}

fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "must be a whole number above 0".to_owned())
}

fn score(text: &str) -> Result<f32, String> {
    let wrong = || "must be a number from 0 to 1".to_owned();
    text.parse().ok().filter(|score| (0.0..=1.0).contains(score)).ok_or_else(wrong)
}

/// A file that is written as SVG, so that no other file is overwritten by mistake.
fn svg(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("svg") => Ok(path),
        _ => Err("must be a file name that ends in .svg".to_owned()),
    }
}

fn crops(text: &str) -> Result<u32, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("must be 1 or 3".to_owned()),
    }
}

fn widths(text: &str) -> Result<WidthRange, String> {
    let (low, high) = text.split_once(',').ok_or("expected two widths, such as 0.25,1.0")?;
    let width = |text: &str| text.trim().parse::<Width>().map_err(|error| error.to_string());
    WidthRange::new(width(low)?, width(high)?).map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum InspectCommand {
    /// Show the shapes, MACs and parameters of a sub-network, layer by layer
    Network(InspectNetworkArgs),
    /// Show what a bundle contains
    Bundle(InspectBundleArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectNetworkArgs {
    /// Network, such as mobilenet_v2
    pub(crate) name: String,
    /// Fraction of the channels
    #[arg(long, default_value_t = Width::ONE)]
    pub(crate) width: Width,
    /// Side of the square input in pixels
    #[arg(long, default_value_t = Resolution::new(224).expect("224 is a resolution"))]
    pub(crate) resolution: Resolution,
    /// Number of frames of a clip, for video networks
    #[arg(long, value_name = "N", default_value_t)]
    pub(crate) frames: Frames,
    /// Number of frames that a Fast pathway reads [default: as published]
    #[arg(long, value_name = "N")]
    pub(crate) fast_frames: Option<Frames>,
    /// Side of the frames that a Fast pathway reads, in pixels [default: as published]
    #[arg(long, value_name = "RESOLUTION")]
    pub(crate) fast_resolution: Option<Resolution>,
    /// Number of classes
    #[arg(long, default_value_t = 1000)]
    pub(crate) classes: usize,
    /// Factor between the sides of the input and of the last feature map: 32, 16 or 8 [default: as published]
    #[arg(long, value_name = "N")]
    pub(crate) output_stride: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectBundleArgs {
    /// Bundle (.mnb) or run directory
    pub(crate) bundle: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
