//! A run: all steps, from the first or from the newest checkpoint to the last.
//!
//! Invariant: the state after a step depends on the plan and on the number of threads alone, not on interruptions, workers or
//! the time of day; a run killed at any instant and resumed ends in the same bits as one that was not.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mutualnet_core::Subnet;
use mutualnet_data::{Batch, Dataset, Position};
use mutualnet_engine::Device;
use mutualnet_nn::Net;

use crate::checkpoint::Checkpoint;
use crate::error::WEIGHTS_OF_ALL;
use crate::evaluation::{Evaluation, by_macs};
use crate::events::{EvaluatedRow, Event, EventLog, Reporter};
use crate::feed::{Feed, IfBroken, loader_of};
use crate::learning::LearningWatch;
use crate::plan::{Plan, Planned};
use crate::ranks::Ranks;
use crate::recipe::Recipe;
use crate::run_dir::{RunDir, RunLock};
use crate::saver::Saver;
use crate::state::State;
use crate::tabulate::{Evaluated, shipped};
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
    let start = Start::new(recipe, run, set_up(recipe, &Ranks::alone())?)?;
    start.go(run, Rc::default(), stop, console)
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
    let start = Start::continued(recipe, run, set_up(recipe, &Ranks::alone())?)?;
    start.go(run, Rc::default(), stop, console)
}

/// As [`train`], or as [`resume`] if `resumes` and there is a run, together with other processes that make the same call.
///
/// Each makes its part of every batch, and batch norms use the statistics of that part. The first process alone reads and
/// writes the run directory; the others get the state from it. If one is told to stop, all do.
///
/// # Errors
/// As those two; or a process is gone ([`Error::Exchange`]), in which case the first one saves the state; or programs, recipes
/// or data differ ([`Error::Unlike`]).
pub fn train_together(
    recipe: &Recipe,
    (run, resumes): (&RunDir, bool),
    ranks: Ranks,
    stop: &AtomicBool,
    console: &mut dyn Reporter,
) -> Result<Outcome> {
    ranks.check_batch(recipe)?;
    let device = set_up(recipe, &ranks)?;
    let ranks = Rc::new(ranks);
    let start = Start::agreed(recipe, (run, resumes), device, &ranks).map_err(|error| ranks.blame(error))?;
    start.go(run, ranks, stop, console)
}

/// Where a run begins or goes on.
struct Start {
    planned: Planned,
    state: State,
    device: Device,
    /// Checkpoints that were passed over.
    damaged: Vec<Error>,
    /// Keeps the directory; only the process that writes it has one.
    lock: Option<RunLock>,
}

impl Start {
    /// A new run, whose directory is made.
    fn new(recipe: &Recipe, run: &RunDir, device: Device) -> Result<Self> {
        run.check_new()?;
        let mut planned = Plan::start(recipe)?;
        let state = State::first(&planned, device)?;
        planned.plan.derived.init_sha256 = recipe.train.init.as_deref().map(digest::of_file).transpose()?;
        let lock = Some(run.create()?);
        planned.plan.write(&run.plan())?;
        Ok(Self { planned, state, device, damaged: Vec::new(), lock })
    }

    /// A run that has begun.
    fn continued(recipe: &Recipe, run: &RunDir, device: Device) -> Result<Self> {
        let stored = Plan::read(&run.plan())?;
        let lock = Some(run.lock()?);
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
        let (state, damaged) = match Checkpoint::latest(&run.checkpoints()) {
            Ok((checkpoint, damaged)) => (State::restore(&planned, checkpoint, device)?, damaged),
            Err(Error::NoCheckpoint { .. }) => (State::first(&planned, device)?, Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(Self { planned, state, device, damaged, lock })
    }

    /// The same for all processes: the first one begins or goes on, and sends its state to the others.
    fn agreed(
        recipe: &Recipe,
        (run, resumes): (&RunDir, bool),
        device: Device,
        ranks: &Ranks,
    ) -> Result<Self> {
        let start = ranks.share(
            || match resumes && run.plan().exists() {
                true => Self::continued(recipe, run, device),
                false => Self::new(recipe, run, device),
            },
            |start| Ok(start.state.checkpoint()?.to_bytes()),
            |sent| {
                let planned = Plan::make(recipe)?;
                let state = State::restore(&planned, Checkpoint::from_bytes(sent), device)?;
                Ok(Self { planned, state, device, damaged: Vec::new(), lock: None })
            },
        )?;
        let derived = &start.planned.plan.derived;
        ranks.check_alike("the recipe", &derived.recipe_sha256)?;
        ranks.check_alike("the training data", &derived.train_sha256)?;
        Ok(start)
    }

    /// Does all steps that are left.
    fn go(
        self,
        run: &RunDir,
        ranks: Rc<Ranks>,
        stop: &AtomicBool,
        console: &mut dyn Reporter,
    ) -> Result<Outcome> {
        let Self { planned, state, device, damaged, lock: _held } = self;
        for_task!(planned.plan.recipe.task, planned.network, O => {
            Training::<O>::new(planned, run, (device, ranks), state, console)?.run(stop, damaged)
        })
    }
}

/// The device that each of `n` processes trains on.
pub(crate) fn device_of(recipe: &Recipe, n: usize) -> Result<Device> {
    let device = Device::parse(&recipe.train.device)?;
    if n > 1 && device != Device::Cpu {
        return Err(Error::Launch { reason: "several processes train on CPUs only so far".to_owned() });
    }
    Ok(device)
}

/// Sets the number of threads and returns the device, as the recipe says.
pub(crate) fn set_up(recipe: &Recipe, ranks: &Ranks) -> Result<Device> {
    let device = device_of(recipe, ranks.n())?;
    let threads = match recipe.train.threads {
        0 => ranks.cores(),
        threads => threads,
    };
    mutualnet_engine::set_threads(threads)?;
    mutualnet_engine::flush_denormals()?;
    Ok(device)
}

/// A run in progress.
struct Training<'a, O> {
    planned: Planned,
    run: &'a RunDir,
    device: Device,
    ranks: Rc<Ranks>,
    trainer: Trainer<O>,
    feed: Feed,
    watch: LearningWatch,
    saver: Saver,
    /// The step of the last checkpoint.
    saved: Option<u64>,
    /// For the checkpoint that is being written.
    waited: Duration,
    log: EventLog<'a>,
}

impl<'a, O: Objective> Training<'a, O> {
    fn new(
        planned: Planned,
        run: &'a RunDir,
        (device, ranks): (Device, Rc<Ranks>),
        state: State,
        console: &'a mut dyn Reporter,
    ) -> Result<Self> {
        let mut log = match ranks.is_first() {
            true => EventLog::open(&run.events(), console)?,
            false => EventLog::without_record(console),
        };
        planned.tell_notices(&mut log)?;
        let feed = feed(&planned.plan, planned.train.clone(), state.step, (device, &ranks))?;
        let watch = LearningWatch::new(&planned.plan, O::guessing_loss(&planned.network));
        let net = Net::new(planned.network.clone());
        let trainer = Trainer::new(&planned.plan, net, device, Rc::clone(&ranks), state);
        let saver = Saver::new(run.checkpoints());
        let (saved, waited) = (Some(trainer.state.step).filter(|&step| step > 0), Duration::ZERO);
        Ok(Self { planned, run, device, ranks, trainer, feed, watch, saver, saved, waited, log })
    }

    /// Does all steps that are left; `damaged` are checkpoints that were passed over.
    fn run(mut self, stop: &AtomicBool, damaged: Vec<Error>) -> Result<Outcome> {
        let outcome = self.steps(stop, damaged);
        match outcome.map_err(|error| self.ranks.blame(error)) {
            // The step in which the others were lost has changed nothing here.
            Err(error @ Error::Exchange { .. }) => self.save_now().and(Err(error)),
            outcome => outcome,
        }
    }

    fn steps(&mut self, stop: &AtomicBool, damaged: Vec<Error>) -> Result<Outcome> {
        for error in damaged {
            self.log.log(&Event::DamagedCheckpoint { reason: error.to_string() })?;
        }
        let begun = Instant::now();
        let total_steps = self.planned.plan.derived.total_steps;
        let checkpoint_steps = self.planned.plan.checkpoint_steps();
        self.log.log(&Event::Start {
            total_steps,
            step: self.trainer.state.step,
            steps_per_epoch: self.planned.plan.derived.steps_per_epoch,
            batch: self.planned.plan.recipe.train.batch,
            task: self.planned.plan.recipe.task,
            rank: self.planned.plan.recipe.rank(),
        })?;
        if self.owes_evaluation()? {
            self.evaluate(stop)?;
        }
        while self.trainer.state.step < total_steps {
            let step_begun = Instant::now();
            let is_told = || stop.load(Ordering::Relaxed);
            // Several processes stop between the same two steps.
            let must_stop = || self.ranks.n() == 1 && is_told();
            let next = match self.feed.next(&mut self.log, must_stop) {
                Ok(next) => next,
                // Save first: nothing is lost when the data cannot be loaded.
                Err(error) => return self.save_now().and(Err(error)),
            };
            if self.ranks.any(is_told())? {
                self.save_now()?;
                let step = self.trainer.state.step;
                self.log.log(&Event::Interrupted { step })?;
                self.log.flush()?;
                return Ok(Outcome::Interrupted { step, total_steps });
            }
            let mut batch = next.expect("the loader has a batch for every step of the plan");
            self.step(&mut batch, step_begun)?;
            let step = self.trainer.state.step;
            let evaluates = self.planned.plan.evaluates_after(step);
            if step == total_steps {
                self.save_now()?;
                self.compare()?;
            } else if evaluates || step.is_multiple_of(checkpoint_steps) {
                self.save()?;
                self.compare()?;
            }
            if evaluates {
                self.evaluate(stop)?;
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
                    images_per_s: (self.ranks.n() * batch.n) as f64 / begun.elapsed().as_secs_f64(),
                })?;
                for symptom in symptoms {
                    let hint = symptom.hint(&self.planned.plan.recipe);
                    self.log.log(&Event::NotLearning { step, symptom, hint })?;
                }
                Ok(())
            }
            Stepped::NonFinite { subnet, layer } => {
                let samples = batch.indices.clone();
                self.log.log(&Event::NonFinite { step, subnet, layer, samples })?;
                let n = self.trainer.state.n_non_finite;
                if n > self.planned.plan.recipe.train.non_finite_limit {
                    self.log.flush()?;
                    return Err(Error::Diverged { n, step, subnet });
                }
                Ok(())
            }
        }
    }

    /// Whether the checkpoint that the run goes on from was to be evaluated and was not, because the run was interrupted.
    fn owes_evaluation(&self) -> Result<bool> {
        let step = self.trainer.state.step;
        let is_due = step > 0 && self.planned.plan.evaluates_after(step);
        let is_first = self.ranks.is_first();
        self.ranks.any(is_due && is_first && Checkpoint::value(&self.run.checkpoints(), step).is_none())
    }

    /// Evaluates the cheapest and the most expensive row after the step whose checkpoint was saved last, unless it is told to
    /// stop meanwhile.
    fn evaluate(&mut self, stop: &AtomicBool) -> Result<()> {
        let Planned { plan, shipped: network, .. } = &self.planned;
        let (recipe, step) = (&plan.recipe, self.trainer.state.step);
        self.log.log(&Event::Evaluating { step })?;
        let by_macs = by_macs(network, recipe.table_rows())?;
        let mut ends = vec![by_macs[0], by_macs[by_macs.len() - 1]];
        ends.dedup();
        let weights = shipped(network, self.trainer.state.tabulated(recipe.tabulate.weights)?);
        let place = (self.device, &*self.ranks);
        let evaluation = Evaluation::new((recipe, network), &weights, &ends, place)?;
        let evaluation = Evaluation { tells: false, stop: Some(stop), ..evaluation };
        let metric = recipe.task.metric();
        let own = Evaluated::by::<O>(&evaluation, &self.planned, &mut self.log)?;
        evaluation.apart.wait()?;
        let Some(all) = own.gather(&self.ranks, metric)? else { return Ok(()) };
        let row = |subnet: &Subnet| all.rows.iter().find(|row| row.subnet == *subnet);
        let values: Option<Vec<_>> = ends.iter().map(|end| Some(row(end)?.quality.value)).collect();
        // A process that was told to stop has no row.
        let Some(values) = values else { return Ok(()) };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let rows =
            ends.into_iter().zip(values).map(|(subnet, value)| EvaluatedRow { subnet, value }).collect();
        let written = self.saver.finish()?;
        self.tell_written(written)?;
        let is_best = Checkpoint::best(&self.run.checkpoints())?.is_none_or(|(_, best)| mean > best);
        Checkpoint::set_value(&self.run.checkpoints(), step, mean)?;
        self.log.log(&Event::Evaluated { step, metric, rows, is_best })?;
        self.log.flush()
    }

    /// Whether all processes have the same weights.
    fn compare(&self) -> Result<()> {
        if self.ranks.n() == 1 {
            return Ok(());
        }
        let own = digest::hex(&self.trainer.state.checkpoint()?.to_bytes());
        self.ranks.check_alike(WEIGHTS_OF_ALL, &own)
    }

    /// Starts to write a checkpoint, unless there is one of this step.
    fn save(&mut self) -> Result<()> {
        let step = self.trainer.state.step;
        if self.ranks.is_first() && self.saved != Some(step) {
            let begun = Instant::now();
            let keep = self.planned.plan.keep(step);
            let written = self.saver.start(self.trainer.state.checkpoint()?, keep)?;
            self.tell_written(written)?;
            self.waited = begun.elapsed();
            self.saved = Some(step);
        }
        Ok(())
    }

    /// Writes a checkpoint and waits for it.
    fn save_now(&mut self) -> Result<()> {
        self.save()?;
        let begun = Instant::now();
        let written = self.saver.finish()?;
        self.waited += begun.elapsed();
        self.tell_written(written)
    }

    fn tell_written(&mut self, step: Option<u64>) -> Result<()> {
        if let Some(step) = step {
            self.log.log(&Event::Checkpoint { step, waited_s: self.waited.as_secs_f64() })?;
        }
        self.log.flush()
    }
}

/// The training batches from a step on.
fn feed(plan: &Plan, train: Dataset, step: u64, (device, ranks): (Device, &Ranks)) -> Result<Feed> {
    let (recipe, steps_per_epoch) = (&plan.recipe, plan.derived.steps_per_epoch);
    let from = Position { epoch: (step / steps_per_epoch) as u32, step: (step % steps_per_epoch) as usize };
    let loader = loader_of(recipe, train, recipe.train.batch, device, (ranks.part(), ranks.cores()))?;
    let batches = loader.train(recipe.data.augment, &recipe.preprocess(), from, recipe.train.epochs)?;
    Ok(Feed::new(loader, batches, IfBroken::Replaced))
}
