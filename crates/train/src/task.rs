//! What training and evaluation have to know about a task. There is one file for each task below.
//!
//! Separate so that the mutual step, calibration and the sweep read the same for every task.
//! Invariant: a task is chosen in one place, `for_task!`; everything else is generic over its [`Objective`].

use std::collections::BTreeMap;

use mutualnet_bundle::Quality;
use mutualnet_core::{Metric, Network, Task};
use mutualnet_data::Batch;
use mutualnet_detect::Extent;
use mutualnet_engine::{Device, Tensor};
use mutualnet_nn::{Dropout, Net, Norm, Slice};

use crate::Result;
use crate::divergence::Divergence;

mod classify;
pub use classify::{Classify, Labels, SecondLabels};

mod outputs;
pub use outputs::{Outputs, RunList, Staged};

mod detect;
pub use detect::{BoxAnswer, BoxTargets, Detect, DetectionScore};

mod regions;
pub use regions::{RegionAnswer, Regions};

mod segment;
pub use segment::{PixelAnswer, PixelLabels, Segment};

/// A forward pass of one sub-network. An objective runs the lists of the network through it, in any order, and may compute
/// the inputs of one list from the outputs of another; gradients flow through all of them.
#[derive(Debug)]
pub struct Pass<'a> {
    /// The network.
    pub net: &'a Net,
    /// The parameters of the sub-network.
    pub slice: &'a Slice,
    /// What [`List::MAIN`](mutualnet_core::network::List::MAIN) reads, from [`Pyramid::inputs`](crate::step_batch::Pyramid::inputs).
    pub inputs: &'a [&'a Tensor],
    /// The statistics that its batch norms use.
    pub norm: Norm<'a>,
    /// Dropout before the layer that computes the first output.
    pub dropout: Option<Dropout>,
}

impl<'a> Pass<'a> {
    /// Runs the list [`List::MAIN`](mutualnet_core::network::List::MAIN) on the images or clips.
    ///
    /// # Errors
    /// The inputs do not fit the network, or the engine has no memory.
    pub fn run(&mut self) -> Result<Outputs<'a>> {
        let outputs = self.net.run_all(self.slice, self.inputs, self.norm.again(), self.dropout)?;
        Ok(Outputs::of(self.net.network(), self.net.network().main(), outputs))
    }

    /// Runs another list, for example on regions `[n, c, h, w]` that were cut out of the outputs of [`Self::run`].
    ///
    /// # Errors
    /// The network has no such list, the inputs do not fit it, or the engine has no memory.
    pub fn run_list(&mut self, name: &str, inputs: &[&Tensor]) -> Result<Outputs<'a>> {
        let list = self.net.network().list(name).map_err(mutualnet_nn::Error::from)?;
        let outputs = self.net.run_list(self.slice, (list, inputs), self.norm.again(), None)?;
        Ok(Outputs::of(self.net.network(), list, outputs))
    }

    /// Like [`Self::run`], but maps that the network ends by resizing to its input are given as they were before.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_unresized(&mut self) -> Result<Outputs<'a>> {
        let outputs = self.net.run_unresized(self.slice, self.inputs, self.norm.again(), self.dropout)?;
        Ok(Outputs::of(self.net.network(), self.net.network().main(), outputs))
    }
}

/// A task as training sees it.
pub trait Objective: std::fmt::Debug + Sized + 'static {
    /// The task.
    const TASK: Task;
    /// The labels of a batch, on the device.
    type Targets: std::fmt::Debug;
    /// What a network answers for a batch in training; whatever a loss needs.
    type Answer: std::fmt::Debug;
    /// What is counted to find the quality of a row.
    type Score: Score;
    /// Share of a student's loss that it learns from the labels, unless a recipe says otherwise.
    const STUDENT_LABELS: f64 = 0.0;

    /// The loss of the full network if it gives every class the same score.
    fn guessing_loss(network: &Network) -> f64 {
        (network.classes() as f64).ln()
    }

    /// Moves the labels of a batch to the device.
    ///
    /// # Errors
    /// The engine has no memory.
    ///
    /// # Panics
    /// The batch is labelled for another task.
    fn targets(batch: &Batch, device: Device) -> Result<Self::Targets>;

    /// Runs a pass of training. A student that learns from a teacher's answer gets it, and gives one that can be compared with
    /// it, whatever the resolution.
    ///
    /// # Errors
    /// As [`Pass::run`].
    fn answer(
        pass: Pass<'_>,
        targets: &Self::Targets,
        teacher: Option<&Self::Answer>,
    ) -> Result<Self::Answer>;

    /// Runs everything that has batch norms, for calibration; a task with more lists than [`List::MAIN`](mutualnet_core::network::List::MAIN) runs those too.
    ///
    /// # Errors
    /// As [`Pass::run`].
    fn calibrate(pass: &mut Pass<'_>) -> Result<()> {
        pass.run()?;
        Ok(())
    }

    /// The loss of a network that learns from the labels, as the full one does; the share `smoothing` of every label is spread
    /// over all classes.
    ///
    /// # Errors
    /// The engine has no memory.
    fn supervised_loss(answer: &Self::Answer, targets: &Self::Targets, smoothing: f64) -> Result<Tensor>;

    /// The loss of a student that learns from its teacher's answer.
    ///
    /// # Errors
    /// The engine has no memory.
    ///
    /// # Panics
    /// May panic if the student did not get this answer in [`Self::answer`].
    fn student_loss(
        student: &Self::Answer,
        teacher: &Self::Answer,
        targets: &Self::Targets,
        divergence: Divergence,
    ) -> Result<Tensor>;

    /// The same answer without its history, so that no gradient flows back through it.
    ///
    /// # Errors
    /// The engine reports an error.
    fn detached(answer: &Self::Answer) -> Result<Self::Answer>;

    /// The mean of several answers for the same targets.
    ///
    /// # Errors
    /// The engine has no memory.
    fn mean(answers: &[Self::Answer], targets: &Self::Targets) -> Result<Self::Answer>;

    /// The share of what has a class, images or pixels, that an answer classifies correctly.
    ///
    /// # Errors
    /// The engine reports an error.
    fn accuracy(answer: &Self::Answer, targets: &Self::Targets) -> Result<f64>;

    /// The share of it that gets the most frequent answer, as a tensor without dimensions.
    ///
    /// # Errors
    /// The engine reports an error.
    fn most_frequent_answer(answer: &Self::Answer, targets: &Self::Targets) -> Result<Tensor>;

    /// The divergence of the best constant answer from this one, as a tensor without dimensions.
    ///
    /// # Errors
    /// The engine reports an error.
    fn information(answer: &Self::Answer, targets: &Self::Targets) -> Result<Tensor>;

    /// Adds what a network answers for a batch to a score. A task with more lists than
    /// [`List::MAIN`](mutualnet_core::network::List::MAIN) runs those too.
    ///
    /// # Errors
    /// The engine reports an error, or running a list does.
    fn count(score: &mut Self::Score, network: Staged<'_>, targets: &Self::Targets) -> Result<()>;
}

/// Height and width of images `[n, c, h, w]` or clips `[n, c, t, h, w]`.
pub(crate) fn extent_of(images: &Tensor) -> Extent {
    let shape = images.shape();
    let [height, width] = [2, 1].map(|from_end| shape[shape.len() - from_end] as u32);
    Extent { height, width }
}

/// What is counted over the batches of a split.
pub trait Score: std::fmt::Debug + Default {
    /// Number of samples so far.
    fn n(&self) -> u64;

    /// The task's metric over all samples.
    ///
    /// # Errors
    /// There are no samples.
    fn quality(&self) -> Result<Quality>;

    /// What else it says about all samples, from 0 to 1.
    fn others(&self) -> BTreeMap<Metric, f64> {
        BTreeMap::new()
    }
}

/// Evaluates an expression with the type `$objective` standing for the [`Objective`] of a task with a network.
macro_rules! for_task {
    ($task:expr, $network:expr, $objective:ident => $run:expr) => {
        match $task {
            mutualnet_core::Task::Classify => {
                type $objective = $crate::task::Classify;
                $run
            }
            mutualnet_core::Task::Segment => {
                type $objective = $crate::task::Segment;
                $run
            }
            mutualnet_core::Task::Detect if $network.list(mutualnet_core::network::List::BOX).is_ok() => {
                type $objective = $crate::task::Regions;
                $run
            }
            mutualnet_core::Task::Detect => {
                type $objective = $crate::task::Detect;
                $run
            }
            other => unreachable!("no such task: {other}"),
        }
    };
}
pub(crate) use for_task;
