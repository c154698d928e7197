//! Errors of this crate, with their remedies.

use std::io;
use std::path::{Path, PathBuf};

use mutualnet_core::text::counted;

use crate::recipe::{Change, Place, Problem, Recipe};

/// What can go wrong between a recipe and a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe is invalid.
    #[error("{}{reason}", of_recipe(.path.as_deref(), .place.as_ref()))]
    Recipe {
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// Where in the recipe, if one place is to blame.
        place: Option<Place>,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The directory for a new run already holds one.
    #[error("a run already exists: {}", .path.display())]
    RunExists {
        /// The run directory.
        path: PathBuf,
    },
    /// What the directory for a new run is called is a file.
    #[error("a run needs a directory, and this is a file: {}", .path.display())]
    RunIsFile {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes into the run directory.
    #[error("another process is working on this run: {}", .path.display())]
    InUse {
        /// The run directory.
        path: PathBuf,
    },
    /// There is no run, or it has not come far enough.
    #[error("{what} is missing: {}", .path.display())]
    NoRun {
        /// The part that is missing.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// Training has not finished.
    #[error("training has only reached step {step} of {total_steps}: {}", .path.display())]
    Unfinished {
        /// Steps done.
        step: u64,
        /// Steps of the plan.
        total_steps: u64,
        /// The run directory.
        path: PathBuf,
    },
    /// A run is resumed with a recipe that would give another result.
    #[error("the recipe changed since the run was started: {}: {}", list(.changes), .path.display())]
    OtherRecipe {
        /// The keys that differ.
        changes: Vec<Change>,
        /// The run directory.
        path: PathBuf,
    },
    /// A run is resumed on other data.
    #[error("the training data changed since the run was started: {}", .path.display())]
    OtherData {
        /// The data directory.
        path: PathBuf,
    },
    /// A run is tabulated on data with other classes.
    #[error("the classes, or their order, changed since the run was started: {}", .path.display())]
    RunClasses {
        /// The data directory.
        path: PathBuf,
    },
    /// The run has no intact checkpoint.
    #[error("no intact checkpoint: {}", .path.display())]
    NoCheckpoint {
        /// The directory of checkpoints.
        path: PathBuf,
    },
    /// The run has no checkpoint of the step that was asked for.
    #[error("no checkpoint of step {step}: {}", .path.display())]
    NoSuchCheckpoint {
        /// The step that was asked for.
        step: u64,
        /// Those that are there.
        there: Vec<u64>,
        /// The directory of checkpoints.
        path: PathBuf,
    },
    /// No checkpoint is marked as the best one.
    #[error("no checkpoint of this run was evaluated: {}", .path.display())]
    NoBest {
        /// The run directory.
        path: PathBuf,
    },
    /// A checkpoint without something that the recipe needs.
    #[error("the checkpoint has no part `{part}`")]
    MissingPart {
        /// Name of the part.
        part: String,
    },
    /// `train.init` is not a file of weights.
    #[error("train.init: {reason}: {}", .path.display())]
    FirstWeights {
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
        /// The file.
        path: PathBuf,
    },
    /// First weights do not fit the network.
    #[error("train.init: the weights do not fit the network: {}", .path.display())]
    Init {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: mutualnet_nn::Error,
    },
    /// First weights have a classifier for another number of classes.
    #[error("train.init: the weights {}, the data have {needed}: {}", classes_of(*found), .path.display())]
    OtherClasses {
        /// Classes of the file; 0 if it has no classifier.
        found: usize,
        /// Classes of the data.
        needed: usize,
        /// The file.
        path: PathBuf,
    },
    /// One of our own files is damaged or of another version.
    #[error("{what}: {reason}: {}", .path.display())]
    Format {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A network that reads clips, without the number of their frames.
    #[error("network `{network}` reads clips, but network.frames is not set")]
    NoFrames {
        /// Name of the network.
        network: String,
    },
    /// A network with a Fast pathway, without the number of frames that it reads.
    #[error("network `{network}` has a Fast pathway, but network.fast_frames is not set")]
    NoFastFrames {
        /// Name of the network.
        network: String,
        /// The number of frames that the network is published with.
        published: u32,
    },
    /// A network without a Fast pathway, with the number of frames that one would read.
    #[error("network `{network}` has no Fast pathway, but network.fast_frames is set")]
    NoFastPathway {
        /// Name of the network.
        network: String,
    },
    /// A network without regions, with a key for those that look at regions.
    #[error("network `{network}` does not look at regions, but {key} is set")]
    NoRegions {
        /// Name of the network.
        network: String,
        /// The key.
        key: &'static str,
    },
    /// A network that reads images, with a number of frames.
    #[error("network `{network}` reads images, which have no frames, but network.frames is set")]
    ReadsImages {
        /// Name of the network.
        network: String,
    },
    /// Losses were NaN or infinite too often.
    #[error("{} produced NaN or infinity, most recently step {step} in sub-network {subnet}", counted(*n as usize, "step"))]
    Diverged {
        /// Number of such steps.
        n: u64,
        /// The last of them.
        step: u64,
        /// Its sub-network.
        subnet: mutualnet_core::Subnet,
    },
    /// The variables by which a launcher tells its processes about each other are wrong.
    #[error("the launcher's variables are wrong: {reason}")]
    Launch {
        /// Which of them, and why.
        reason: String,
    },
    /// The processes that should train together do not find each other.
    #[error("process {rank} of {of} did not meet the others at {address}")]
    Rendezvous {
        /// Which process this is, from 0.
        rank: usize,
        /// How many there should be.
        of: usize,
        /// Where they meet.
        address: String,
        /// Why not.
        source: mutualnet_engine::EngineError,
    },
    /// A process that trains with this one is gone, or does not answer.
    #[error("{}", gone_processes(.gone))]
    Exchange {
        /// Which ones, from 0; empty if that is not known.
        gone: Vec<usize>,
        /// What the engine says.
        source: mutualnet_engine::EngineError,
    },
    /// Processes that should train the same do not.
    #[error("{what} of {} differ{} from that of process 0", processes(.ranks), if .ranks.len() == 1 { "s" } else { "" })]
    Unlike {
        /// What differs.
        what: &'static str,
        /// Whose, from 0.
        ranks: Vec<usize>,
    },
    /// Masks without a class.
    #[error("no pixel of the test masks has a class, so there is nothing to measure")]
    NoLabels,
    /// The data do not fit the recipe.
    #[error("{reason}: {}", .path.display())]
    Data {
        /// What does not fit.
        reason: String,
        /// The data directory.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A value is out of its range.
    #[error(transparent)]
    Core(#[from] mutualnet_core::Error),
    /// There is no such network.
    #[error(transparent)]
    Zoo(#[from] mutualnet_zoo::Error),
    /// The loader failed.
    #[error(transparent)]
    Loader(#[from] mutualnet_data::Error),
    /// Detections cannot be evaluated.
    #[error(transparent)]
    Detect(#[from] mutualnet_detect::Error),
    /// The tensor engine failed.
    #[error(transparent)]
    Engine(#[from] mutualnet_engine::EngineError),
    /// The network cannot be built or run.
    #[error(transparent)]
    Nn(#[from] mutualnet_nn::Error),
    /// The bundle cannot be made.
    #[error(transparent)]
    Bundle(#[from] mutualnet_bundle::Error),
    /// The bundle cannot be run.
    #[error(transparent)]
    Runtime(#[from] mutualnet_runtime::Error),
}

const FULL: &str =
    "free some space and start again; with --resume, training continues from its newest checkpoint";

/// Whether there is no space for what was to be written.
fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// What first weights are for.
fn classes_of(found: usize) -> String {
    match found {
        0 => "have no classifier with names of this network".to_owned(),
        1 => "are for 1 class".to_owned(),
        _ => format!("are for {found} classes"),
    }
}

impl Error {
    pub(crate) fn recipe(path: Option<&Path>, problem: Problem) -> Self {
        let reason = problem.to_string();
        Self::Recipe { path: path.map(Path::to_owned), place: problem.place, reason, hint: problem.hint }
    }

    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Recipe { hint, .. } => hint.clone(),
            Self::RunExists { .. } => {
                Some("continue it with --resume, or choose another directory for --out".to_owned())
            }
            Self::RunIsFile { .. } => Some("choose a directory for --out; it is made if it is missing".to_owned()),
            Self::InUse { .. } => {
                Some("wait until it ends, or stop it; a new run needs a directory of its own".to_owned())
            }
            Self::NoRun { .. } => Some("train first: mutualnet train RECIPE --out RUN".to_owned()),
            Self::Unfinished { .. } => {
                Some("finish it: mutualnet train RECIPE --out RUN --resume; or tabulate a checkpoint as it is, with --step"
                    .to_owned())
            }
            Self::OtherRecipe { .. } => Some(format!(
                "a resumed run may change only {}; for anything else, start a new run with another --out",
                Recipe::MAY_CHANGE.join(", ")
            )),
            Self::OtherData { .. } => Some(
                "restore the data (a quarantine list written since then counts as a change), or start a new run"
                    .to_owned(),
            ),
            Self::NoLabels => Some(
                "the number 255 stands for pixels without a class; `mutualnet data check DIR --task segment` counts the \
                 classes"
                    .to_owned(),
            ),
            Self::NoFrames { .. } => Some("set network.frames, such as network.frames=[16,8,4]".to_owned()),
            Self::NoFastFrames { published, .. } => {
                Some(format!("set network.fast_frames, such as network.fast_frames={published}"))
            }
            Self::NoFastPathway { .. } => {
                Some("remove network.fast_frames, or choose a network such as slowfast_r50_8x8".to_owned())
            }
            Self::NoRegions { key, .. } => {
                Some(format!("remove {key}, or choose a network such as fasterrcnn_resnet50_fpn"))
            }
            Self::ReadsImages { .. } => {
                Some("remove network.frames, or choose a network that reads clips".to_owned())
            }
            Self::RunClasses { .. } => Some("restore the data; plan.toml lists the classes".to_owned()),
            Self::FirstWeights { hint, .. } => Some(hint.clone()),
            Self::Init { .. } => {
                Some("give weights of this network; `mutualnet import` converts checkpoints".to_owned())
            }
            Self::OtherClasses { .. } => {
                Some("start with a random classifier: train.new_head=true".to_owned())
            }
            Self::NoCheckpoint { .. } => Some("start the run again, in a new directory".to_owned()),
            Self::NoSuchCheckpoint { there, .. } => Some(match &there[..] {
                [] => "no checkpoint was written yet".to_owned(),
                steps => format!(
                    "there are those of {}; train.keep_checkpoints and train.keep_every keep more of them",
                    steps.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
                ),
            }),
            Self::NoBest { .. } => Some(
                "`mutualnet train … train.evaluate_epochs=1 --resume` evaluates the last one; or choose one yourself, with --step"
                    .to_owned(),
            ),
            Self::MissingPart { .. } => {
                Some("it was written with another recipe, or changed since: start a new run".to_owned())
            }
            Self::Diverged { .. } => {
                Some("lower train.lr, or clip gradients with train.clip; events.jsonl names the layers and images".to_owned())
            }
            Self::Launch { .. } => Some(
                "set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun does, or unset WORLD_SIZE to train in one process"
                    .to_owned(),
            ),
            Self::Rendezvous { .. } => Some(
                "check that all processes are started with the same MASTER_ADDR and MASTER_PORT, and that the port is free and not blocked"
                    .to_owned(),
            ),
            Self::Exchange { .. } => {
                Some("see what that process said last; then start all of them again with --resume".to_owned())
            }
            Self::Unlike { what, .. } if *what == WEIGHTS_OF_ALL => {
                Some("look for broken memory on that machine; then start all again with --resume".to_owned())
            }
            Self::Unlike { .. } => {
                Some("give all processes the same program, recipe and data".to_owned())
            }
            Self::Core(error) => error.hint(),
            Self::Zoo(error) => error.hint(),
            Self::Loader(error) => error.hint(),
            Self::Engine(error) => error.hint().map(str::to_owned),
            Self::Bundle(error) if error.io_kind().is_some_and(is_full) => Some(FULL.to_owned()),
            Self::Write { source, .. } if is_full(source.kind()) => Some(FULL.to_owned()),
            Self::Bundle(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            _ => None,
        }
    }
}

/// What [`Error::Unlike`] calls weights that have drifted apart.
pub(crate) const WEIGHTS_OF_ALL: &str = "the weights";

fn gone_processes(gone: &[usize]) -> String {
    match gone {
        [] => "a process that trains with this one does not answer".to_owned(),
        [_] => format!("{} is gone or does not answer", processes(gone)),
        _ => format!("{} are gone or do not answer", processes(gone)),
    }
}

/// `process 1` or `processes 1, 3`.
fn processes(ranks: &[usize]) -> String {
    let list = ranks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("process{} {list}", if ranks.len() == 1 { "" } else { "es" })
}

/// Changes of a recipe on one line.
fn list(changes: &[Change]) -> String {
    changes.iter().map(Change::to_string).collect::<Vec<_>>().join("; ")
}

/// `recipe a.toml, line 3, column 1: `, or the override and nothing else.
fn of_recipe(path: Option<&Path>, place: Option<&Place>) -> String {
    let file = path.map(|path| format!(" {}", path.display())).unwrap_or_default();
    match place {
        Some(place @ Place::Override(_)) => format!("{place}: "),
        Some(place) => format!("recipe{file}, {place}: "),
        None => format!("recipe{file}: "),
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
