//! Times training: real steps on real batches.
//!
//! Invariant: every step starts from the state that the last one left, as in a run, and none of it is kept.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mutualnet_data::Position;

use super::memory::peak_bytes;
use super::{HeldUpBy, TrainTiming};
use crate::checkpoint::Keep;
use crate::events::EventLog;
use crate::feed::{Feed, IfBroken, loader};
use crate::plan::{Plan, Planned, StepCost};
use crate::task::Objective;
use crate::trainer::Trainer;
use crate::{Error, Result};

/// Fewest steps that are timed; fewer do not show what the loader can do.
const MIN_STEPS: u64 = 4;
/// Time of the first steps, which are slower than those of a run, relative to the time that counts.
const UNCOUNTED: f64 = 0.25;
/// Share of the time that one step may take, so that this many of them fit in.
const STEP_SHARE: f64 = 0.25;
/// MACs of a first step that takes about a second on two cores; larger batches are tried on fewer images first.
const FIRST_STEP_MACS: f64 = 5e10;
/// Forward passes that a step costs as much as: the backward pass costs about two.
const PASSES: f64 = 3.0;
/// Share of a step above which waiting for images holds training up.
const WAIT_SHARE: f64 = 0.1;

/// Steps of one batch size, and how long they took.
struct Pace {
    batch: usize,
    n_steps: u64,
    seconds: f64,
    /// The part of these seconds that was spent waiting for images.
    wait: f64,
    /// Mean cost of the steps, in MACs per image.
    cost: f64,
    /// Images that the loader made in this time.
    made: u64,
    /// Peak memory by then.
    memory: Option<u64>,
}

impl Pace {
    /// Seconds of a step without the wait for images.
    fn step(&self) -> f64 {
        (self.seconds - self.wait) / self.n_steps as f64
    }
}

/// Times steps; also returns how much memory training takes.
pub(super) fn measure<O: Objective>(
    planned: &Planned,
    trainer: &mut Trainer<O>,
    time: Duration,
    log: &mut EventLog<'_>,
) -> Result<(TrainTiming, Option<u64>)> {
    let recipe = &planned.plan.recipe;
    let cost = StepCost::new(recipe, planned.plan.derived.classes.len())?;
    let expected = cost.expected()?;
    let full = recipe.train.batch;
    let first = ((FIRST_STEP_MACS / (PASSES * expected)) as usize).clamp(2, full);
    let mut steps = Steps { planned, trainer, cost, log };
    let small = steps.run(first, if first == full { time } else { Duration::ZERO })?;
    let pace = if first == full {
        small
    } else {
        let images = STEP_SHARE * time.as_secs_f64() / small.step() * first as f64;
        let pace = steps.run((images as usize).clamp(first, full), time)?;
        let memory = extrapolate(&small, &pace, full);
        Pace { memory, ..pace }
    };
    let checkpoint_seconds = checkpoint(trainer)?;
    let memory = pace.memory.zip(peak_bytes()).map(|(steps, now)| steps.max(now));
    Ok((scale(&planned.plan, &pace, expected, checkpoint_seconds), memory))
}

/// Scales the steps that were timed to the whole training.
fn scale(plan: &Plan, pace: &Pace, expected: f64, checkpoint_seconds: f64) -> TrainTiming {
    let derived = &plan.derived;
    let batch = plan.recipe.train.batch;
    let n_images = (pace.n_steps * pace.batch as u64) as f64;
    let images = batch as f64 / pace.batch as f64;
    let step = pace.step() * images * expected / pace.cost;
    // Batches that were made ahead hide a slow loader at first; what it made in the meantime shows it.
    let loader_images_per_s = pace.made as f64 / pace.seconds;
    let loading = if pace.made as f64 >= n_images { 0.0 } else { batch as f64 / loader_images_per_s };
    let wait = (pace.wait / pace.n_steps as f64 * images).max(loading - step);
    let step_seconds = step + wait;
    let checkpoints = derived.total_steps.div_ceil(plan.checkpoint_steps());
    TrainTiming {
        seconds: derived.total_steps as f64 * step_seconds + checkpoints as f64 * checkpoint_seconds,
        step_seconds,
        wait_seconds: wait,
        checkpoint_seconds,
        checkpoints,
        evaluation_seconds: 0.0,
        evaluations: plan.evaluations(),
        held_up_by: if wait > WAIT_SHARE * step_seconds { HeldUpBy::Loader } else { HeldUpBy::Step },
        loader_images_per_s,
        measured_steps: pace.n_steps,
        measured_batch: pace.batch,
    }
}

/// Peak memory of steps of `full` images, from that of two smaller numbers of them.
fn extrapolate(small: &Pace, large: &Pace, full: usize) -> Option<u64> {
    let (low, high) = (small.memory?, large.memory?);
    if large.batch == full {
        return Some(high);
    }
    let images = large.batch.checked_sub(small.batch).filter(|&images| images > 0)?;
    let per_image = (high - low) as f64 / images as f64;
    Some(high + (per_image * (full - large.batch) as f64) as u64)
}

struct Steps<'a, 'b, O> {
    planned: &'a Planned,
    trainer: &'a mut Trainer<O>,
    cost: StepCost<'a>,
    log: &'a mut EventLog<'b>,
}

impl<O: Objective> Steps<'_, '_, O> {
    /// Runs steps for some time, after the first ones, which fill memory pools and are not counted.
    fn run(&mut self, batch: usize, time: Duration) -> Result<Pace> {
        let recipe = &self.planned.plan.recipe;
        let loader = loader(recipe, self.planned.train.clone(), batch, self.trainer.device())?;
        let batches =
            loader.train(recipe.data.augment, &recipe.preprocess(), Position::default(), u32::MAX)?;
        let mut feed = Feed::new(loader, batches, IfBroken::Replaced);
        let begun = Instant::now();
        self.step(&mut feed)?;
        while begun.elapsed() < time.mul_f64(UNCOUNTED) {
            self.step(&mut feed)?;
        }
        let (begun, made) = (Instant::now(), feed.n_made());
        let (mut n_steps, mut wait, mut cost) = (0, Duration::ZERO, 0.0);
        while n_steps == 0 || begun.elapsed() < time || (n_steps < MIN_STEPS && begun.elapsed() < 2 * time) {
            let (waited, step_cost) = self.step(&mut feed)?;
            (n_steps, wait, cost) = (n_steps + 1, wait + waited, cost + step_cost);
        }
        Ok(Pace {
            batch,
            n_steps,
            seconds: begun.elapsed().as_secs_f64(),
            wait: wait.as_secs_f64(),
            cost: cost / n_steps as f64,
            made: feed.n_made() - made,
            memory: peak_bytes(),
        })
    }

    /// Runs a step; returns how long it waited for its images, and what it cost.
    fn step(&mut self, feed: &mut Feed) -> Result<(Duration, f64)> {
        let begun = Instant::now();
        let batch = feed.next(self.log, || false)?;
        let waited = begun.elapsed();
        let plan = self.trainer.draw_with_students();
        self.trainer.step(&mut batch.expect("there is no last epoch"), &plan)?;
        Ok((waited, self.cost.of(&plan)?))
    }
}

/// Writes a checkpoint among the system's temporary files and removes it; returns how long writing took.
fn checkpoint<O: Objective>(trainer: &Trainer<O>) -> Result<f64> {
    let dir = std::env::temp_dir().join(format!("mutualnet-plan-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|source| Error::write(&dir, source))?;
    let _removed = Removed(dir.clone());
    let begun = Instant::now();
    trainer.state.checkpoint()?.save(&dir, Keep { newest: 1, for_good: false })?;
    Ok(begun.elapsed().as_secs_f64())
}

/// A directory that is removed when this is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // What is left is a temporary file, which the system removes.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DataFacts;
    use crate::recipe::Recipe;

    fn pace(batch: usize, memory: Option<u64>) -> Pace {
        Pace { batch, n_steps: 1, seconds: 1.0, wait: 0.0, cost: 1.0, made: 0, memory }
    }

    /// 2 epochs of 10 steps of 8 images.
    fn plan() -> Plan {
        let recipe = r#"
            network = { name = "mobilenet_v2", widths = [0.25, 1.0], resolutions = [32, 20] }
            data = { path = "data" }
            train = { epochs = 2, batch = 8, lr = 0.05 }
        "#;
        let classes = vec!["cat".to_owned(), "dog".to_owned()];
        let facts = DataFacts { classes, n_train: 80, ..DataFacts::default() };
        Plan::of(&Recipe::parse(recipe, &[]).unwrap(), facts).unwrap().0
    }

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }

    #[test]
    fn steps_are_scaled_by_images_and_cost() {
        // Five steps of 0.2 s, of which 0.01 s waiting, on half of the images at 4/5 of the mean cost.
        let pace = Pace { n_steps: 5, seconds: 1.0, wait: 0.05, cost: 80.0, made: 20, ..pace(4, None) };
        let timing = scale(&plan(), &pace, 100.0, 0.5);
        assert!(near(timing.wait_seconds, 0.02), "{timing:?}");
        assert!(near(timing.step_seconds, 0.19 * 2.0 * 100.0 / 80.0 + 0.02), "{timing:?}");
        assert!(near(timing.seconds, 20.0 * timing.step_seconds + 2.0 * 0.5), "{timing:?}");
        assert_eq!((timing.checkpoints, timing.held_up_by), (2, HeldUpBy::Step));
    }

    #[test]
    fn a_loader_that_falls_behind_is_seen_through_its_queue() {
        // No step waited, but only half of the images that they used were made meanwhile.
        let pace = Pace { n_steps: 5, seconds: 1.0, cost: 100.0, made: 20, ..pace(8, None) };
        let timing = scale(&plan(), &pace, 100.0, 0.0);
        assert!(near(timing.step_seconds, 8.0 / 20.0) && near(timing.wait_seconds, 0.2), "{timing:?}");
        assert_eq!(timing.held_up_by, HeldUpBy::Loader);
    }

    #[test]
    fn memory_grows_with_the_images_of_a_step() {
        let memory = |small, large, full| extrapolate(&small, &large, full);
        assert_eq!(memory(pace(2, Some(100)), pace(10, Some(180)), 10), Some(180));
        assert_eq!(memory(pace(2, Some(100)), pace(10, Some(180)), 100), Some(180 + 900));
        assert_eq!(memory(pace(2, Some(100)), pace(2, Some(100)), 100), None);
        assert_eq!(memory(pace(2, None), pace(10, Some(180)), 100), None);
    }
}
