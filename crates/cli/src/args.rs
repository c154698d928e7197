//! What can be typed, and its help.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use mutualnet_core::{Budget, Frames, Resolution, Width, WidthRange};

/// One network, trained once, that runs at any budget: channel width × input resolution.
#[derive(Debug, Parser)]
#[command(name = "mutualnet", version = crate::VERSION, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make or check data sets
    #[command(subcommand)]
    Data(DataCommand),
    /// Say what a recipe will do: steps, MACs, cost, before a long run
    #[cfg(feature = "train")]
    Plan(PlanArgs),
    /// Train a network after a recipe
    #[cfg(feature = "train")]
    Train(TrainArgs),
    /// Calibrate, evaluate and time every configuration; write the query table and the bundle
    #[cfg(feature = "train")]
    Tabulate(TabulateArgs),
    /// Show a query table, or the row that a budget buys
    Table(TableArgs),
    /// Lay the tables of several methods beside each other: accuracy at equal MACs, over seeds
    Compare(CompareArgs),
    /// Classify images under a budget
    Predict(PredictArgs),
    /// Cut one configuration out of a bundle
    Export(ExportArgs),
    /// Turn a PyTorch checkpoint into weights of a network, by name
    Import(ImportArgs),
    /// Look into networks and bundles
    #[command(subcommand)]
    Inspect(InspectCommand),
    /// Measure speed
    #[cfg(feature = "train")]
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Write a generated, labelled data set of image files
    #[command(subcommand)]
    Make(MakeCommand),
    /// Decode every file, list what is broken, write a quarantine list
    Check(CheckArgs),
    /// Put a data set into one file, for disks that are slow at many small ones
    Pack(PackArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MakeCommand {
    /// Textured shapes in clutter: detail and outline are both needed to tell the classes apart
    Shapes(ShapesArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ShapesArgs {
    /// Directory to write; must not exist or be empty
    pub(crate) dir: PathBuf,
    /// Training images
    #[arg(long, default_value_t = 12_000)]
    pub(crate) train: usize,
    /// Test images
    #[arg(long, default_value_t = 2_000)]
    pub(crate) test: usize,
    /// Side of the images in pixels
    #[arg(long, default_value_t = Resolution::new(32).expect("32 is a resolution"))]
    pub(crate) side: Resolution,
    /// The same seed makes the same files
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PackArgs {
    /// Data set of any layout
    pub(crate) dir: PathBuf,
    /// File to write, `….mnpack`; recipes name it as `data.path`
    pub(crate) out: PathBuf,
    /// Split to pack, several times for several; without it those of train, val, validation and test that are there
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Vec<String>,
    /// Scale images down until their longer side has so many pixels
    #[arg(long)]
    pub(crate) max_side: Option<Resolution>,
    /// jpeg: files as they are, scaled ones as JPEG; raw: pixels, the fastest to load and about ten times the size
    #[arg(long, value_enum, default_value = "jpeg")]
    pub(crate) store: StoreArg,
    /// Quality of the JPEG files that are made
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: u8,
    /// Print one JSON object
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
    /// Data set, one of its splits, or any folder of images
    pub(crate) dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Plan for so many training images instead of the recipe's data, which need not be there
    #[arg(long, requires = "classes")]
    pub(crate) train_images: Option<usize>,
    /// Classes of data that are not there
    #[arg(long, requires = "train_images")]
    pub(crate) classes: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct RecipeArgs {
    /// Recipe file (TOML)
    pub(crate) recipe: PathBuf,
    /// Keys to override, e.g. train.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Run directory: checkpoints, log, table and bundle go there
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Go on from the last checkpoint; starts the run if there is none yet
    #[arg(long)]
    pub(crate) resume: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct TabulateArgs {
    /// Run directory
    pub(crate) run: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TableArgs {
    /// Run directory, bundle (.mnb) or table.json
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Threads that latencies are for; as many as were timed if not given
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Show every row, not the Pareto front only
    #[arg(long)]
    pub(crate) all: bool,
    /// Draw accuracy over cost into an SVG file
    #[arg(long, value_name = "SVG")]
    pub(crate) plot: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BudgetArgs {
    /// Multiply-accumulates at most, e.g. 150M or 2.3G; or a latency such as 10ms
    #[arg(long)]
    pub(crate) budget: Option<Budget>,
    /// Latency at most, e.g. 10ms
    #[arg(long, conflicts_with = "budget", value_parser = latency)]
    pub(crate) latency: Option<Budget>,
}

impl BudgetArgs {
    /// The one that was given.
    pub(crate) fn get(&self) -> Option<Budget> {
        self.budget.or(self.latency)
    }
}

fn latency(text: &str) -> Result<Budget, String> {
    match text.parse() {
        Ok(budget @ Budget::Latency(_)) => Ok(budget),
        Ok(Budget::Macs(_)) => Err("expected a time such as 10ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RowArgs {
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Width of the row to run
    #[arg(long, requires = "resolution", conflicts_with_all = ["budget", "latency"])]
    pub(crate) width: Option<Width>,
    /// Resolution of the row to run
    #[arg(long, requires = "width")]
    pub(crate) resolution: Option<Resolution>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompareArgs {
    /// Name and tables of a method, one table per seed: run directories, bundles or table files;
    /// A+B is the table with the rows of both. The others are measured against the first
    #[arg(value_name = "NAME=TABLE[,TABLE...]", required = true)]
    pub(crate) series: Vec<String>,
    /// Draw the curves
    #[arg(long, value_name = "SVG")]
    pub(crate) plot: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PredictArgs {
    /// Bundle (.mnb)
    pub(crate) bundle: PathBuf,
    /// Images (JPEG, PNG, WebP)
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) row: RowArgs,
    /// Threads to run on; one per core if not given
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Classes to print per image
    #[arg(long, default_value_t = 3)]
    pub(crate) top: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// Bundle (.mnb)
    pub(crate) bundle: PathBuf,
    #[command(flatten)]
    pub(crate) row: RowArgs,
    /// File to write: .safetensors (PyTorch names) or .mnb (a bundle of that row alone)
    #[arg(short, long)]
    pub(crate) output: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// Checkpoint: .pt or .pth of PyTorch (nothing in it is executed), or .safetensors
    pub(crate) checkpoint: PathBuf,
    /// Network, e.g. mobilenet_v2
    #[arg(long)]
    pub(crate) network: String,
    /// Narrowest and widest sub-network; the checkpoint's tensors are those of the widest
    #[arg(long, value_name = "LOW,HIGH", value_parser = widths, default_value = "1.0,1.0")]
    pub(crate) widths: WidthRange,
    /// Classes that the checkpoint must have; as many as it has if not given
    #[arg(long)]
    pub(crate) classes: Option<usize>,
    /// Leave the classifier out, for training with other classes (`train.new_head` of a recipe)
    #[arg(long, conflicts_with = "classes")]
    pub(crate) new_head: bool,
    /// Key of the state dict in the file, when it holds several
    #[arg(long)]
    pub(crate) entry: Option<String>,
    /// Match tensors by their order and shapes, not by name
    #[arg(long)]
    pub(crate) by_position: bool,
    /// Leave tensors out that the network has no place for
    #[arg(long)]
    pub(crate) allow_unused: bool,
    /// Reorder channels, the most important ones first, so that narrow widths begin with good ones
    #[arg(long)]
    pub(crate) sort_channels: bool,
    /// File to write: weights as .safetensors with the authors' names
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn widths(text: &str) -> Result<WidthRange, String> {
    let (low, high) = text.split_once(',').ok_or("expected two widths, such as 0.25,1.0")?;
    let width = |text: &str| text.trim().parse::<Width>().map_err(|error| error.to_string());
    WidthRange::new(width(low)?, width(high)?).map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum InspectCommand {
    /// Shapes, MACs and parameters of a network at a sub-network, layer by layer
    Network(InspectNetworkArgs),
    /// What is in a bundle
    Bundle(InspectBundleArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectNetworkArgs {
    /// Name, e.g. mobilenet_v2
    pub(crate) name: String,
    /// Fraction of the channels
    #[arg(long, default_value_t = Width::ONE)]
    pub(crate) width: Width,
    /// Side of the input in pixels
    #[arg(long, default_value_t = Resolution::new(224).expect("224 is a resolution"))]
    pub(crate) resolution: Resolution,
    /// Frames of the clip, for video networks
    #[arg(long)]
    pub(crate) frames: Option<Frames>,
    /// Number of classes
    #[arg(long, default_value_t = 1000)]
    pub(crate) classes: usize,
    /// Factor between input and last feature map: 32, 16 or 8; as published without it
    #[arg(long)]
    pub(crate) output_stride: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectBundleArgs {
    /// Bundle (.mnb)
    pub(crate) bundle: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Time mutual steps on made-up images
    Train(BenchTrainArgs),
    /// Time the data path of a recipe, stage by stage: read, decode, resize, augment, normalize
    Data(BenchDataArgs),
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
    /// Resolutions, largest first
    #[arg(long, value_delimiter = ',', default_value = "224,192,160,128")]
    pub(crate) resolutions: Vec<Resolution>,
    /// Narrowest width; the widest is 1
    #[arg(long, default_value = "0.25")]
    pub(crate) smallest: Width,
    /// cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Threads; one per core if not given
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Steps to time after two that are not counted
    #[arg(long, default_value_t = 10)]
    pub(crate) steps: usize,
    /// Take a line `step` on stdin for every step and answer with its seconds, so that runs can be interleaved
    #[arg(long)]
    pub(crate) lockstep: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, ClapArgs)]
pub(crate) struct BenchDataArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Images to load after a first round that is not counted
    #[arg(long, default_value_t = 2000)]
    pub(crate) images: usize,
    /// Take a line `step FIRST N` on stdin for every batch and answer with its seconds, so that runs can be interleaved
    #[arg(long)]
    pub(crate) lockstep: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
