//! How long a recipe takes on this machine, measured by doing a little of everything that it does.
//!
//! Training is timed with the loader, the network and the update of a real run; tabulating on some of its rows.
//! What was measured is then scaled by images and MACs to the whole; `docs/timing.md` has the model.
//! Separate from training because it keeps nothing: no run directory, no log.
//! Invariant: it takes about 20 seconds however long the recipe takes.

use std::rc::Rc;
use std::time::Duration;

use mutualnet_nn::Net;
use serde::Serialize;

use crate::Result;
use crate::events::{EventLog, Reporter};
use crate::plan::Planned;
use crate::ranks::Ranks;
use crate::state::State;
use crate::task::{Objective, for_task};
use crate::trainer::Trainer;
use crate::training::set_up;

mod memory;
mod rows;
mod steps;

mod processes;
pub use processes::{Processes, SharedStep, measure_shared};

/// How long the stages of a recipe take on this machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// From the first step to the last checkpoint.
    pub train: TrainTiming,
    /// From the finished run to the bundle.
    pub tabulate: TabulateTiming,
    /// The most main memory that training or tabulating takes; `None` on systems where that cannot be measured.
    pub peak_memory_bytes: Option<u64>,
}

/// How long training takes, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainTiming {
    /// The whole training.
    pub seconds: f64,
    /// One step of the recipe's batch, including the wait for its images; mean over the sub-networks drawn.
    pub step_seconds: f64,
    /// The part of it that is spent waiting for images.
    pub wait_seconds: f64,
    /// One checkpoint.
    pub checkpoint_seconds: f64,
    /// Checkpoints of the run.
    pub checkpoints: u64,
    /// One evaluation of the cheapest and the most expensive row.
    pub evaluation_seconds: f64,
    /// Evaluations of the run.
    pub evaluations: u64,
    /// What would have to become faster first.
    pub held_up_by: HeldUpBy,
    /// Images per second that the loader made; it makes no more than it is asked for.
    pub loader_images_per_s: f64,
    /// Steps that were timed.
    pub measured_steps: u64,
    /// Images per timed step; fewer than the recipe's batch if its steps take many seconds.
    pub measured_batch: usize,
}

/// What holds training up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldUpBy {
    /// Steps wait for images.
    Loader,
    /// Images wait for steps.
    Step,
}

/// How long tabulating takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TabulateTiming {
    /// All of it.
    pub seconds: f64,
    /// Batch-norm statistics of every row.
    pub calibrate_seconds: f64,
    /// Every row on the test images.
    pub evaluate_seconds: f64,
    /// Latency of every row.
    pub latency_seconds: f64,
    /// How many of the rows were timed.
    pub measured_rows: usize,
}

/// Time for the steps of training, to be given to [`measure`]: about half of what everything takes.
pub const STEP_TIME: Duration = Duration::from_secs(8);

/// Times a few steps of training, for `time`, and a few rows of tabulating.
///
/// `console` is told of broken files and of reads that hang, as in training.
///
/// # Errors
/// Whatever would stop training: the device, the first weights, broken files.
pub fn measure(planned: &Planned, time: Duration, console: &mut dyn Reporter) -> Result<Timing> {
    for_task!(planned.plan.recipe.task, planned.network, O => measure_task::<O>(planned, time, console))
}

fn measure_task<O: Objective>(
    planned: &Planned,
    time: Duration,
    console: &mut dyn Reporter,
) -> Result<Timing> {
    let device = set_up(&planned.plan.recipe, &Ranks::alone())?;
    let mut log = EventLog::without_record(console);
    let state = State::first(planned, device)?;
    let net = Net::new(planned.network.clone());
    let mut trainer = Trainer::<O>::new(&planned.plan, net, device, Rc::default(), state);
    let (mut train, training_memory) = steps::measure(planned, &mut trainer, time, &mut log)?;
    let (mut tabulate, evaluation_seconds) = rows::measure(planned, &trainer, &mut log)?;
    train.evaluation_seconds = evaluation_seconds;
    train.seconds += train.evaluations as f64 * evaluation_seconds;
    // Tabulating reads the last checkpoint first, which takes about as long as writing it.
    tabulate.seconds += train.checkpoint_seconds;
    let peak_memory_bytes = training_memory.zip(memory::peak_bytes()).map(|(a, b)| a.max(b));
    Ok(Timing { train, tabulate, peak_memory_bytes })
}
