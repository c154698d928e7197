//! Times the stages of tabulating on some rows of the table.
//!
//! Rows are taken at equal distances from the cheapest to the most expensive, so that their time per MAC is about that
//! of all rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mutualnet_bundle::{Bundle, BundleParts, Provenance, Quality, QueryTable, Row};
use mutualnet_core::{Subnet, Weights};
use mutualnet_engine::Device;
use mutualnet_nn::{Net, Parameters, Statistics};
use mutualnet_runtime::{MeasureConfig, Model, Session, measure as latency};

use super::TabulateTiming;
use crate::calibrate::Calibration;
use crate::evaluation::evaluation_batch;
use crate::events::EventLog;
use crate::feed::{Feed, IfBroken, loader};
use crate::plan::Planned;
use crate::step_batch::{Images, StepBatch};
use crate::sweep::Sweep;
use crate::tabulate::{LATENCY_TIME, LATENCY_WARM_UP, shipped, thread_counts, to_stats};
use crate::task::Objective;
use crate::trainer::Trainer;
use crate::{Error, Result};

/// Rows to time.
const ROWS: usize = 6;
/// MACs that a forward pass of all of them may take, a second or so on two cores.
const PASS_MACS: f64 = 5e10;
/// How a row's latency is timed here, more briefly than for the table.
const BRIEFLY: MeasureConfig = MeasureConfig { warmup: 1, runs: 5, time: Duration::from_millis(200) };

/// How long tabulating takes, and how many seconds it takes to evaluate the cheapest and the most expensive row.
pub(super) fn measure<O: Objective>(
    planned: &Planned,
    trainer: &Trainer<O>,
    log: &mut EventLog<'_>,
) -> Result<(TabulateTiming, f64)> {
    let recipe = &planned.plan.recipe;
    let device = trainer.device();
    let rows = Rows::new(planned, &trainer.state.parameters, device)?;
    let (batch, load) = rows.load::<O>(device, log)?;
    let n = batch.images.pixels.shape()[0] as f64;
    let (statistics, per_mac) = rows.calibrate::<O>(&batch.images, device)?;
    let n_calibrate = (recipe.tabulate.calibration_batches * recipe.calibration_batch())
        .min(planned.plan.derived.n_train / recipe.calibration_batch() * recipe.calibration_batch());
    let n_test = planned.plan.derived.n_test * recipe.preprocess().views.n();
    let calibrate = |macs| rows.stage(n_calibrate, macs * per_mac / n, load / n, device);
    let per_mac = rows.evaluate(&statistics, &batch)?;
    let evaluate = |macs| rows.stage(n_test, macs * per_mac / n, load / n, device);
    let (all, ends) = (rows.all.values().sum(), rows.macs_of_ends());
    let (calibrate_seconds, evaluate_seconds) = (calibrate(all), evaluate(all));
    let latency_seconds = rows.latency(&statistics)?;
    let timing = TabulateTiming {
        seconds: calibrate_seconds + evaluate_seconds + latency_seconds,
        calibrate_seconds,
        evaluate_seconds,
        latency_seconds,
        measured_rows: rows.timed.len(),
    };
    Ok((timing, calibrate(ends) + evaluate(ends)))
}

/// The rows of the table with their MACs, and the network that is tabulated.
struct Rows<'a> {
    planned: &'a Planned,
    net: Net,
    weights: Weights,
    parameters: Parameters,
    all: BTreeMap<Subnet, f64>,
    timed: Vec<Subnet>,
}

impl<'a> Rows<'a> {
    fn new(planned: &'a Planned, trained: &Parameters, device: Device) -> Result<Self> {
        let network = &planned.shipped;
        let weights = shipped(network, trained.to_weights()?);
        let parameters = Parameters::from_weights(network, &weights, device)?;
        let all = planned.plan.recipe.table_rows().iter().copied();
        let all = all.map(|row| Ok::<_, Error>((row, network.macs(row)?.as_f64())));
        let all: BTreeMap<_, _> = all.collect::<Result<_>>()?;
        let mut by_macs: Vec<_> = all.iter().collect();
        by_macs.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let n = ROWS.min(all.len());
        let timed = (0..n).map(|i| *by_macs[(2 * i + 1) * all.len() / (2 * n)].0).collect();
        Ok(Self { planned, net: Net::new(network.clone()), weights, parameters, all, timed })
    }

    fn timed_macs(&self) -> f64 {
        self.timed.iter().map(|row| self.all[row]).sum()
    }

    /// A calibration batch, or a part of one, and how long it took to load.
    fn load<O: Objective>(&self, device: Device, log: &mut EventLog<'_>) -> Result<(StepBatch<O>, f64)> {
        let recipe = &self.planned.plan.recipe;
        let n = ((PASS_MACS / self.timed_macs()) as usize)
            .clamp(2, recipe.calibration_batch().max(evaluation_batch(recipe)));
        let n = n.min(self.planned.plan.derived.n_train);
        let loader = loader(recipe, self.planned.train.clone(), n, device)?;
        let begun = Instant::now();
        let batches = loader.calibrate(recipe.data.augment, &recipe.preprocess(), 1)?;
        let batch = Feed::new(loader, batches, IfBroken::Replaced).next(log, || false)?;
        let seconds = begun.elapsed().as_secs_f64();
        let mut batch = batch.expect("there are as many images as a batch has");
        Ok((StepBatch::new(&mut batch, device)?, seconds))
    }

    /// Calibrates the timed rows on one batch; returns the seconds per MAC too.
    fn calibrate<O: Objective>(
        &self,
        images: &Images,
        device: Device,
    ) -> Result<(BTreeMap<Subnet, Statistics>, f64)> {
        let mut calibration = Calibration::new(&self.net, &self.timed, device)?;
        let begun = Instant::now();
        calibration.add::<O>(&self.net, &self.parameters, images)?;
        mutualnet_engine::synchronize(device)?;
        Ok((calibration.finish(), begun.elapsed().as_secs_f64() / self.timed_macs()))
    }

    /// Evaluates the timed rows on one batch; returns the seconds per MAC.
    fn evaluate<O: Objective>(
        &self,
        statistics: &BTreeMap<Subnet, Statistics>,
        batch: &StepBatch<O>,
    ) -> Result<f64> {
        let mut sweep = Sweep::new(statistics);
        let begun = Instant::now();
        sweep.add(&self.net, &self.parameters, batch)?;
        Ok(begun.elapsed().as_secs_f64() / self.timed_macs())
    }

    /// MACs of the rows that are evaluated during training.
    fn macs_of_ends(&self) -> f64 {
        let least = self.all.values().copied().fold(f64::INFINITY, f64::min);
        let most = self.all.values().copied().fold(0.0, f64::max);
        if self.all.len() > 1 { least + most } else { most }
    }

    /// Seconds of passes over `n` images. On a CPU the loader and the network share the cores.
    fn stage(&self, n: usize, pass: f64, load: f64, device: Device) -> f64 {
        let per_image = match device {
            Device::Cpu => pass + load,
            Device::Cuda(_) => pass.max(load),
        };
        n as f64 * per_image
    }

    /// Seconds that timing every row takes, on each number of threads.
    fn latency(&self, statistics: &BTreeMap<Subnet, Statistics>) -> Result<f64> {
        let begun = Instant::now();
        let model = Arc::new(Model::new(&self.bundle(statistics)?)?);
        let mut seconds = begun.elapsed().as_secs_f64();
        let runs = self.planned.plan.recipe.tabulate.latency_runs as f64;
        for threads in thread_counts() {
            let begun = Instant::now();
            let mut session = Session::new(Arc::clone(&model), threads)?;
            seconds += begun.elapsed().as_secs_f64();
            let mut timed = 0.0;
            for &row in &self.timed {
                timed += latency(&mut session, row, BRIEFLY)?.p50_ms * 1e-3;
            }
            let per_mac = timed / self.timed_macs();
            seconds += self.all.values().map(|macs| row_seconds(per_mac * macs, runs)).sum::<f64>();
        }
        Ok(seconds)
    }

    /// A bundle of the timed rows, which is never written.
    fn bundle(&self, statistics: &BTreeMap<Subnet, Statistics>) -> Result<Bundle> {
        let plan = &self.planned.plan;
        let rows = self.timed.iter().map(|&subnet| {
            let macs = self.net.network().macs(subnet)?;
            Ok(Row::new(subnet, macs, Quality::of_counts(0, 1)?, Vec::new()))
        });
        Ok(Bundle::new(BundleParts {
            task: plan.recipe.task,
            network: self.net.network().clone(),
            classes: plan.derived.classes.clone(),
            preprocess: plan.recipe.preprocess(),
            table: QueryTable::new(rows.collect::<Result<_>>()?)?.measuring(plan.recipe.task.metric()),
            weights: self.weights.clone(),
            stats: to_stats(statistics)?,
            provenance: Provenance {
                recipe_sha256: plan.derived.recipe_sha256.clone(),
                data_sha256: plan.derived.train_sha256.clone(),
                seed: plan.recipe.seed,
                commit: String::new(),
                created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
                host: None,
            },
        })?)
    }
}

/// Seconds that a row of this latency is timed for the table.
fn row_seconds(latency: f64, runs: f64) -> f64 {
    LATENCY_WARM_UP as f64 * latency + (runs * latency).min(LATENCY_TIME.as_secs_f64() + latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_timed_for_its_runs_or_its_time() {
        assert!((row_seconds(0.001, 60.0) - 0.065).abs() < 1e-9);
        assert!((row_seconds(0.1, 60.0) - 2.6).abs() < 1e-9);
    }
}
