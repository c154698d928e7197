//! The run: steps from the first, or from the last checkpoint, to the last.
//!
//! Invariant: the state after a step depends on the plan alone, not on interruptions, threads or the time of day;
//! a run killed at any instant and resumed ends in the same bits as one that was not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::sample::{StepPlan, SubnetSampler};
use mutualnet_data::{Batch, Batches, Loader, LoaderConfig, Part, Position};
use mutualnet_engine::{Device, Tensor};
use mutualnet_nn::Net;

use crate::checkpoint::Checkpoint;
use crate::events::{Event, EventLog, Reporter};
use crate::mutual_step::{SecondLabels, StepBatch, StepLosses, mutual_step};
use crate::pinned::PinnedMemory;
use crate::plan::{Plan, Planned};
use crate::recipe::Recipe;
use crate::run_dir::RunDir;
use crate::schedule::LearningRate;
use crate::state::State;
use crate::step_rules::{StepDropout, StepRules, Teacher, TeacherKind};
use crate::{Error, Result, digest, feed};

/// Batches made ahead of the step that needs them.
const PREFETCH: usize = 4;

/// How a call of [`train`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The stop flag was seen; a checkpoint of the last step is there.
    Interrupted,
}

/// Trains after a recipe in a new run directory.
///
/// `stop` is looked at after every step: once it is set, the state is written and the call returns.
///
/// # Errors
/// The directory holds a run already, the data do not fit, or training fails.
pub fn train(
    recipe: &Recipe,
    run: &RunDir,
    stop: &AtomicBool,
    console: &mut dyn Reporter,
) -> Result<Outcome> {
    let mut planned = Plan::make(recipe)?;
    let device = set_up(recipe)?;
    let state = State::first(&planned, device)?;
    planned.plan.derived.init_sha256 = recipe.train.init.as_deref().map(digest::of_file).transpose()?;
    run.create()?;
    planned.plan.write(&run.plan())?;
    Training::new(planned, run, device, state, console)?.run(stop)
}

/// Goes on with a run from its newest whole checkpoint, or from the start if it had none.
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
    // Not the stored hash: a newer program may know more keys, which the stored recipe then has at their defaults.
    if planned.plan.derived.recipe_sha256 != stored.recipe.hash() {
        return Err(Error::OtherRecipe { path: run.path().to_owned() });
    }
    if planned.plan.derived.train_sha256 != stored.derived.train_sha256 {
        return Err(Error::OtherData { path: recipe.data.path.clone() });
    }
    if *recipe != stored.recipe {
        // Tabulating takes from it where the data lie now and how many of them may be broken.
        Plan { recipe: recipe.clone(), ..stored }.write(&run.plan())?;
    }
    let device = set_up(recipe)?;
    let (state, damaged) = match Checkpoint::latest(&run.checkpoints()) {
        Ok((checkpoint, damaged)) => (State::restore(&planned, checkpoint, device)?, damaged),
        Err(Error::NoCheckpoint { .. }) => (State::first(&planned, device)?, Vec::new()),
        Err(error) => return Err(error),
    };
    let mut training = Training::new(planned, run, device, state, console)?;
    for error in damaged {
        training.log.log(&Event::DamagedCheckpoint { reason: error.to_string() })?;
    }
    training.run(stop)
}

/// Threads and device, as the recipe says.
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

/// The loader of a split, as the recipe says, for batches that go to a device.
pub(crate) fn loader(
    recipe: &Recipe,
    dataset: mutualnet_data::Dataset,
    batch_size: usize,
    device: Device,
) -> Result<Loader> {
    let config = LoaderConfig {
        batch_size,
        part: Part::default(),
        workers: recipe.data.workers,
        prefetch: PREFETCH,
        seed: recipe.seed,
        broken_limit: recipe.data.broken_limit,
    };
    let loader = Loader::new(Arc::new(dataset), config)?;
    Ok(match device {
        Device::Cpu => loader,
        Device::Cuda(_) => loader.with_memory(Arc::new(PinnedMemory)),
    })
}

/// A run in progress.
struct Training<'a> {
    plan: Plan,
    run: &'a RunDir,
    net: Net,
    device: Device,
    loader: Loader,
    sampler: SubnetSampler,
    lr: LearningRate,
    state: State,
    log: EventLog<'a>,
    /// Broken files that were reported.
    quarantined: BTreeSet<PathBuf>,
}

impl<'a> Training<'a> {
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
        Ok(Self {
            loader: loader(&plan.recipe, train, plan.recipe.train.batch, device)?,
            sampler: plan.recipe.sampler()?,
            lr: plan.learning_rate(),
            net: Net::new(network),
            log,
            quarantined: BTreeSet::new(),
            plan,
            run,
            device,
            state,
        })
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Outcome> {
        let begun = Instant::now();
        let total_steps = self.plan.derived.total_steps;
        let checkpoint_steps = match self.plan.recipe.train.checkpoint_steps {
            0 => self.plan.derived.steps_per_epoch,
            steps => steps,
        };
        self.log.log(&Event::Start {
            total_steps,
            step: self.state.step,
            steps_per_epoch: self.plan.derived.steps_per_epoch,
            batch: self.plan.recipe.train.batch,
        })?;
        let mut batches = self.batches()?;
        while self.state.step < total_steps {
            let step_begun = Instant::now();
            let must_stop = || stop.load(Ordering::Relaxed);
            let next = match feed::next(&mut batches, &self.loader, &mut self.log, must_stop) {
                Ok(next) => next,
                // Nothing is lost of a run whose data cannot be loaded.
                Err(error) => return self.save().and(Err(error)),
            };
            if must_stop() {
                self.save()?;
                self.log.log(&Event::Interrupted { step: self.state.step })?;
                self.log.flush()?;
                return Ok(Outcome::Interrupted);
            }
            let mut batch = next.expect("the loader has a batch for every step of the plan");
            self.step(&mut batch, step_begun)?;
            if self.state.step.is_multiple_of(checkpoint_steps) || self.state.step == total_steps {
                self.save()?;
            }
        }
        let n_broken = self.quarantined.len();
        self.log.log(&Event::Trained { seconds: begun.elapsed().as_secs_f64(), n_broken })?;
        self.log.flush()?;
        Ok(Outcome::Finished)
    }

    fn batches(&self) -> Result<Batches> {
        let recipe = &self.plan.recipe;
        let steps_per_epoch = self.plan.derived.steps_per_epoch;
        let from = Position {
            epoch: (self.state.step / steps_per_epoch) as u32,
            step: (self.state.step % steps_per_epoch) as usize,
        };
        Ok(self.loader.train(recipe.data.augment, &recipe.preprocess(), from, recipe.train.epochs)?)
    }

    fn step(&mut self, batch: &mut Batch, begun: Instant) -> Result<()> {
        let step = self.state.step;
        let key = Key::new(self.plan.recipe.seed, Purpose::Sample).step(step);
        let plan = self.sampler.sample(key, self.state.regret.as_ref());
        let on_device = self.on_device(batch)?;
        let (mut gradients, losses) =
            mutual_step(&self.net, &self.state.parameters, &on_device, &plan, &self.rules())?;
        if is_finite(&losses, &gradients)? {
            let lr = self.lr.at(step);
            if let Some(clip) = self.plan.recipe.train.clip {
                clip.apply(&mut gradients)?;
            }
            self.state.update(&gradients, lr)?;
            self.observe(&losses);
            let images_per_s = batch.n as f64 / begun.elapsed().as_secs_f64();
            self.log.log(&Event::Step {
                step,
                epoch: batch.epoch,
                lr,
                full_loss: losses.full,
                full_accuracy: losses.full_correct as f64 / batch.n as f64,
                students: losses.students,
                images_per_s,
            })?;
        } else {
            self.non_finite(batch, &on_device, &plan, &losses)?;
        }
        self.state.step += 1;
        self.report_quarantined()
    }

    fn rules(&self) -> StepRules<'_> {
        let train = &self.plan.recipe.train;
        let key = Key::new(self.plan.recipe.seed, Purpose::Dropout).step(self.state.step);
        let dropout = StepDropout { share: train.dropout, regularize: train.regularize, key };
        let teacher = match (train.teacher, &self.state.average) {
            (TeacherKind::Ema, Some(average)) => Teacher::Ema(average.parameters()),
            (TeacherKind::Ensemble, _) => Teacher::Ensemble(&self.plan.recipe.network.resolutions),
            _ => Teacher::Full,
        };
        StepRules {
            teacher,
            divergence: train.divergence,
            label_smoothing: train.label_smoothing,
            dropout: (train.dropout > 0.0).then_some(dropout),
        }
    }

    fn observe(&mut self, losses: &StepLosses) {
        if let Some(regret) = &mut self.state.regret {
            for student in &losses.students {
                regret.observe(student.subnet, student.loss);
            }
        }
    }

    fn on_device(&self, batch: &mut Batch) -> Result<StepBatch> {
        let (n, side) = (batch.n, batch.side as usize);
        let labels = |labels: &[i64]| Tensor::from_slice_i64(labels, &[n])?.to_device(self.device);
        let second = batch.second.as_ref().map(|second| {
            let shares = Tensor::from_slice(&second.shares, &[n])?.to_device(self.device)?;
            Ok::<_, Error>(SecondLabels { labels: labels(&second.labels)?, shares })
        });
        Ok(StepBatch {
            images: Tensor::from_buffer(batch.take_images(), &[n, side, side, 3], self.device)?,
            labels: labels(&batch.labels)?,
            second: second.transpose()?,
        })
    }

    /// Says which sub-network and layer broke; the parameters stay as they were.
    fn non_finite(
        &mut self,
        batch: &Batch,
        on_device: &StepBatch,
        plan: &StepPlan,
        losses: &StepLosses,
    ) -> Result<()> {
        let student = losses.students.iter().find(|student| !student.loss.is_finite());
        let subnet =
            if losses.full.is_finite() { student.map_or(plan.full, |s| s.subnet) } else { plan.full };
        let side = subnet.resolution.get() as usize;
        let slice = self.state.parameters.slice(self.net.network(), subnet.width)?;
        let images = on_device.images.resize_bilinear(side)?;
        let layer =
            mutualnet_engine::no_grad(|| self.net.first_non_finite(&slice, &images))?.map(str::to_owned);
        let (step, samples) = (self.state.step, batch.indices.clone());
        self.log.log(&Event::NonFinite { step, subnet, layer, samples })?;
        self.state.n_non_finite += 1;
        if self.state.n_non_finite > self.plan.recipe.train.non_finite_limit {
            self.log.flush()?;
            return Err(Error::Diverged { n: self.state.n_non_finite, step, subnet });
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.state.checkpoint()?.save(&self.run.checkpoints())?;
        self.log.log(&Event::Checkpoint { step: self.state.step })?;
        self.log.flush()
    }

    fn report_quarantined(&mut self) -> Result<()> {
        for file in self.loader.broken_files() {
            if self.quarantined.insert(file.path.clone()) {
                self.log.log(&Event::Quarantined { path: file.path, reason: file.reason })?;
            }
        }
        Ok(())
    }
}

fn is_finite(losses: &StepLosses, gradients: &[Tensor]) -> Result<bool> {
    if !losses.full.is_finite() || losses.students.iter().any(|student| !student.loss.is_finite()) {
        return Ok(false);
    }
    // One sum per tensor: a single NaN or infinity shows in it, and it costs less than looking at every number.
    for gradient in gradients {
        if !gradient.sum()?.scalar()?.is_finite() {
            return Ok(false);
        }
    }
    Ok(true)
}
