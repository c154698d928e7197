//! A run: all steps, from the first or from the newest checkpoint to the last.
//!
//! Invariant: the state after a step depends on the plan alone, not on interruptions, threads or the time of day;
//! a run killed at any instant and resumed ends in the same bits as one that was not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mutualnet_data::{Batch, Dataset, Position};
use mutualnet_engine::Device;
use mutualnet_nn::Net;

use crate::checkpoint::Checkpoint;
use crate::events::{Event, EventLog, Reporter};
use crate::feed::{Feed, IfBroken, loader};
use crate::learning::LearningWatch;
use crate::plan::{Plan, Planned};
use crate::recipe::Recipe;
use crate::run_dir::RunDir;
use crate::state::State;
use crate::task::{Objective, for_task};
use crate::trainer::{Stepped, Trainer};
use crate::{Error, Result, digest};

/// How a call of [`train`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// `stop` was set; a checkpoint of the last step was saved.
    Interrupted {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
}

/// Trains from a recipe in a new run directory.
///
/// `stop` is checked after every step: once it is set, the state is saved and the call returns.
///
/// # Errors
/// The directory already holds a run, the data do not fit, or training fails.
pub fn train(
    recipe: &Recipe,
    run: &RunDir,
    stop: &AtomicBool,
    console: &mut dyn Reporter,
) -> Result<Outcome> {
    run.check_new()?;
    let mut planned = Plan::start(recipe)?;
    let device = set_up(recipe)?;
    let state = State::first(&planned, device)?;
    planned.plan.derived.init_sha256 = recipe.train.init.as_deref().map(digest::of_file).transpose()?;
    run.create()?;
    planned.plan.write(&run.plan())?;
    for_task!(recipe.task, planned.network, O => {
        Training::<O>::new(planned, run, device, state, console)?.run(stop, Vec::new())
    })
}

/// Continues a run from its newest intact checkpoint, or from the start if it has none.
///
/// # Errors
/// There is no run, the recipe or the data are not those it was started with, or training fails.
pub fn resume(
    recipe: &Recipe,
    run: &RunDir,
    stop: &AtomicBool,
    console: &mut dyn Reporter,
) -> Result<Outcome> {
    let stored = Plan::read(&run.plan())?;
    let planned = Plan::make(recipe)?;
    // Compared key by key, not by the stored hash: a newer program may know more keys, which the stored recipe then has
    // at their defaults.
    let changes = recipe.changes_since(&stored.recipe);
    if !changes.is_empty() {
        return Err(Error::OtherRecipe { changes, path: run.path().to_owned() });
    }
    if planned.plan.derived.train_sha256 != stored.derived.train_sha256 {
        return Err(Error::OtherData { path: recipe.data.path.clone() });
    }
    if *recipe != stored.recipe {
        // Tabulating reads from it where the data are now and how many files may be broken.
        Plan { recipe: recipe.clone(), ..stored }.write(&run.plan())?;
    }
    let device = set_up(recipe)?;
    let (state, damaged) = match Checkpoint::latest(&run.checkpoints()) {
        Ok((checkpoint, damaged)) => (State::restore(&planned, checkpoint, device)?, damaged),
        Err(Error::NoCheckpoint { .. }) => (State::first(&planned, device)?, Vec::new()),
        Err(error) => return Err(error),
    };
    for_task!(recipe.task, planned.network, O => {
        Training::<O>::new(planned, run, device, state, console)?.run(stop, damaged)
    })
}

/// Sets the number of threads and returns the device, as the recipe says.
pub(crate) fn set_up(recipe: &Recipe) -> Result<Device> {
    let device = Device::parse(&recipe.train.device)?;
    let threads = match recipe.train.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        threads => threads,
    };
    mutualnet_engine::set_threads(threads)?;
    mutualnet_engine::flush_denormals()?;
    Ok(device)
}

/// A run in progress.
struct Training<'a, O> {
    plan: Plan,
    run: &'a RunDir,
    trainer: Trainer<O>,
    feed: Feed,
    watch: LearningWatch,
    log: EventLog<'a>,
}

impl<'a, O: Objective> Training<'a, O> {
    fn new(
        planned: Planned,
        run: &'a RunDir,
        device: Device,
        state: State,
        console: &'a mut dyn Reporter,
    ) -> Result<Self> {
        let mut log = EventLog::open(&run.events(), console)?;
        planned.tell_notices(&mut log)?;
        let Planned { plan, network, train, .. } = planned;
        let feed = feed(&plan, train, state.step, device)?;
        let watch = LearningWatch::new(&plan, O::guessing_loss(&network));
        let trainer = Trainer::new(&plan, Net::new(network), device, state)?;
        Ok(Self { watch, plan, run, trainer, feed, log })
    }

    /// Does all steps that are left; `damaged` are checkpoints that were passed over.
    fn run(mut self, stop: &AtomicBool, damaged: Vec<Error>) -> Result<Outcome> {
        for error in damaged {
            self.log.log(&Event::DamagedCheckpoint { reason: error.to_string() })?;
        }
        let begun = Instant::now();
        let total_steps = self.plan.derived.total_steps;
        let checkpoint_steps = self.plan.checkpoint_steps();
        self.log.log(&Event::Start {
            total_steps,
            step: self.trainer.state.step,
            steps_per_epoch: self.plan.derived.steps_per_epoch,
            batch: self.plan.recipe.train.batch,
            task: self.plan.recipe.task,
            rank: self.plan.recipe.rank(),
        })?;
        while self.trainer.state.step < total_steps {
            let step_begun = Instant::now();
            let must_stop = || stop.load(Ordering::Relaxed);
            let next = match self.feed.next(&mut self.log, must_stop) {
                Ok(next) => next,
                // Save first: nothing is lost when the data cannot be loaded.
                Err(error) => return self.save().and(Err(error)),
            };
            if must_stop() {
                self.save()?;
                let step = self.trainer.state.step;
                self.log.log(&Event::Interrupted { step })?;
                self.log.flush()?;
                return Ok(Outcome::Interrupted { step, total_steps });
            }
            let mut batch = next.expect("the loader has a batch for every step of the plan");
            self.step(&mut batch, step_begun)?;
            let step = self.trainer.state.step;
            if step.is_multiple_of(checkpoint_steps) || step == total_steps {
                self.save()?;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.log.log(&Event::Trained { seconds, n_broken: self.feed.n_broken() })?;
        self.log.flush()?;
        Ok(Outcome::Finished)
    }

    fn step(&mut self, batch: &mut Batch, begun: Instant) -> Result<()> {
        let step = self.trainer.state.step;
        let plan = self.trainer.draw();
        match self.trainer.step(batch, &plan)? {
            Stepped::Learned { lr, losses } => {
                let symptoms = self.watch.observe(step, &losses);
                self.log.log(&Event::Step {
                    step,
                    epoch: batch.epoch,
                    lr,
                    full_loss: losses.full,
                    full_accuracy: losses.full_accuracy,
                    students: losses.students,
                    images_per_s: batch.n as f64 / begun.elapsed().as_secs_f64(),
                })?;
                for symptom in symptoms {
                    let hint = symptom.hint(&self.plan.recipe);
                    self.log.log(&Event::NotLearning { step, symptom, hint })?;
                }
                Ok(())
            }
            Stepped::NonFinite { subnet, layer } => {
                let samples = batch.indices.clone();
                self.log.log(&Event::NonFinite { step, subnet, layer, samples })?;
                let n = self.trainer.state.n_non_finite;
                if n > self.plan.recipe.train.non_finite_limit {
                    self.log.flush()?;
                    return Err(Error::Diverged { n, step, subnet });
                }
                Ok(())
            }
        }
    }

    fn save(&mut self) -> Result<()> {
        let state = &self.trainer.state;
        state.checkpoint()?.save(&self.run.checkpoints())?;
        self.log.log(&Event::Checkpoint { step: state.step })?;
        self.log.flush()
    }
}

/// The training batches from a step on.
fn feed(plan: &Plan, train: Dataset, step: u64, device: Device) -> Result<Feed> {
    let (recipe, steps_per_epoch) = (&plan.recipe, plan.derived.steps_per_epoch);
    let from = Position { epoch: (step / steps_per_epoch) as u32, step: (step % steps_per_epoch) as usize };
    let loader = loader(recipe, train, recipe.train.batch, device)?;
    let batches = loader.train(recipe.data.augment, &recipe.preprocess(), from, recipe.train.epochs)?;
    Ok(Feed::new(loader, batches, IfBroken::Replaced))
}
