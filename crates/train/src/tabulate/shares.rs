//! What the processes that tabulate together send each other: the run, and the rows that each has evaluated.
//!
//! Processes that train together share the rows of evaluations in the same way.
//! Every process evaluates rows of its own on all images, so that each number is that of a single process, bit for bit.

use std::collections::BTreeMap;

use mutualnet_bundle::{BatchNormStats, QueryTable, Row, RowStats, safetensors};
use mutualnet_core::{Metric, Subnet, Tensor, Weights};

use super::to_stats;
use crate::checkpoint::{Checkpoint, EMA, WEIGHTS};
use crate::evaluation::Evaluation;
use crate::events::EventLog;
use crate::plan::{Plan, Planned};
use crate::ranks::{Ranks, join, split};
use crate::recipe::TabulateWeights;
use crate::run_dir::{RunDir, RunLock};
use crate::task::Objective;
use crate::{Error, Result};

/// A finished run.
pub(super) struct Opened {
    pub(super) plan: Plan,
    /// Those that go into the bundle, and perhaps others.
    pub(super) weights: Weights,
    /// Keeps the directory; only the process that writes it has one.
    pub(super) lock: Option<RunLock>,
}

impl Opened {
    /// Locks the directory and reads the checkpoint that is tabulated.
    pub(super) fn read(run: &RunDir) -> Result<Self> {
        let plan = Plan::read(&run.plan())?;
        let lock = Some(run.lock()?);
        let mut checkpoint = match run.step() {
            Some(step) => Checkpoint::at(&run.checkpoints(), step)?,
            None => last(run, plan.derived.total_steps)?,
        };
        let weights = checkpoint.take(match plan.recipe.tabulate.weights {
            TabulateWeights::Last => WEIGHTS,
            TabulateWeights::Ema => EMA,
        })?;
        Ok(Self { plan, weights, lock })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        join([self.plan.to_text().into_bytes(), safetensors::to_bytes(&self.weights)])
    }

    /// What [`Self::to_bytes`] made, with the plan's file for errors.
    pub(super) fn from_bytes(bytes: &[u8], run: &RunDir) -> Result<Self> {
        let parts = split(bytes);
        let plan = Plan::from_text(&String::from_utf8_lossy(parts[0]), &run.plan())?;
        Ok(Self { plan, weights: safetensors::from_bytes(parts[1])?, lock: None })
    }
}

/// The checkpoint of a finished run.
fn last(run: &RunDir, total_steps: u64) -> Result<Checkpoint> {
    let (checkpoint, damaged) = Checkpoint::latest(&run.checkpoints())?;
    if checkpoint.step >= total_steps {
        return Ok(checkpoint);
    }
    let unfinished = Error::Unfinished { step: checkpoint.step, total_steps, path: run.path().to_owned() };
    // If the last checkpoint is there but damaged, that is the error to report.
    Err(damaged.into_iter().next().unwrap_or(unfinished))
}

/// Rows with how good they are, and the statistics of their batch norms.
#[derive(Debug, PartialEq)]
pub(crate) struct Evaluated {
    pub(crate) rows: Vec<Row>,
    pub(crate) stats: BTreeMap<Subnet, RowStats>,
}

impl Evaluated {
    /// The rows of an evaluation by this process; none if it was stopped.
    pub(crate) fn by<O: Objective>(
        evaluation: &Evaluation<'_>,
        planned: &Planned,
        log: &mut EventLog<'_>,
    ) -> Result<Self> {
        if evaluation.rows.is_empty() {
            return Ok(Self { rows: Vec::new(), stats: BTreeMap::new() });
        }
        let (rows, statistics) = evaluation.run::<O>(planned, log)?;
        if evaluation.is_stopped() {
            return Ok(Self { rows: Vec::new(), stats: BTreeMap::new() });
        }
        Ok(Self { rows, stats: to_stats(&statistics)? })
    }

    /// The rows of all processes, in the first one; nothing in the others.
    pub(crate) fn gather(self, ranks: &Ranks, metric: Metric) -> Result<Option<Self>> {
        if ranks.n() == 1 {
            return Ok(Some(self));
        }
        let all = ranks.gather(|| self.to_bytes(metric))?;
        if !ranks.is_first() {
            return Ok(None);
        }
        let mut gathered = Self { rows: Vec::new(), stats: BTreeMap::new() };
        for bytes in &all {
            let Self { rows, stats } = Self::from_bytes(bytes)?;
            gathered.rows.extend(rows);
            gathered.stats.extend(stats);
        }
        Ok(Some(gathered))
    }

    fn to_bytes(&self, metric: Metric) -> Result<Vec<u8>> {
        if self.rows.is_empty() {
            return Ok(join([Vec::new(), Vec::new()]));
        }
        let table = QueryTable::new(self.rows.clone())?.measuring(metric);
        let table = serde_json::to_vec(&table).expect("a table holds nothing that JSON cannot");
        let mut tensors = Weights::new();
        for (subnet, layers) in &self.stats {
            for (layer, BatchNormStats { mean, var }) in layers.iter().enumerate() {
                for (what, data) in [("mean", mean), ("var", var)] {
                    let tensor = Tensor { shape: vec![data.len()], data: data.clone() };
                    tensors.insert(format!("{subnet}/{layer}/{what}"), tensor);
                }
            }
        }
        Ok(join([table, safetensors::to_bytes(&tensors)]))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let parts = split(bytes);
        if parts[0].is_empty() {
            return Ok(Self { rows: Vec::new(), stats: BTreeMap::new() });
        }
        let table: QueryTable = serde_json::from_slice(parts[0]).expect("the table is ours");
        let mut tensors = safetensors::from_bytes(parts[1])?;
        let mut stats = BTreeMap::new();
        for subnet in table.subnets() {
            let mut take = |layer: usize, what: &str| {
                tensors.remove(&format!("{subnet}/{layer}/{what}")).map(|tensor| tensor.data)
            };
            let layers = (0..).map_while(|layer| {
                Some(BatchNormStats { mean: take(layer, "mean")?, var: take(layer, "var")? })
            });
            stats.insert(subnet, layers.collect());
        }
        Ok(Self { rows: table.rows().to_vec(), stats })
    }
}
