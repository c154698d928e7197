//! Evaluating every row of the table on the test split.

use std::collections::BTreeMap;

use mutualnet_bundle::Row;
use mutualnet_core::{Network, Subnet};
use mutualnet_engine::Tensor;
use mutualnet_nn::{Net, Norm, Parameters, Statistics};

use crate::Result;
use crate::calibrate::for_each_row;
use crate::step_batch::StepBatch;
use crate::task::{Objective, Pass, Score, Staged, extent_of};

/// The score of every row so far.
#[derive(Debug)]
pub struct Sweep<'a, O: Objective> {
    rows: BTreeMap<Subnet, (&'a Statistics, O::Score)>,
}

impl<'a, O: Objective> Sweep<'a, O> {
    /// A sweep that has not seen any batch.
    pub fn new(statistics: &'a BTreeMap<Subnet, Statistics>) -> Self {
        let rows = statistics.iter().map(|(&row, statistics)| (row, (statistics, O::Score::default())));
        Self { rows: rows.collect() }
    }

    /// Runs every row on one batch at the largest resolution.
    ///
    /// # Errors
    /// The batch does not fit the network, or the engine has no memory.
    pub fn add(&mut self, net: &Net, parameters: &Parameters, batch: &StepBatch<O>) -> Result<()> {
        let StepBatch { images, targets } = batch;
        for_each_row(net, parameters, images, &mut self.rows, |slice, inputs, (statistics, score)| {
            let mut pass = Pass { net, slice, inputs, norm: Norm::Fixed(statistics), dropout: None };
            let outputs = pass.run()?;
            let seen = extent_of(inputs[0]);
            let run = &mut |list: &str, input: &Tensor| pass.run_list(list, &[input]);
            O::count(score, Staged { outputs, seen, network: net.network(), run }, targets)
        })
    }

    /// Number of images so far.
    pub fn n(&self) -> u64 {
        self.rows.values().next().map_or(0, |(_, score)| score.n())
    }

    /// The rows of the table, without latencies.
    ///
    /// # Errors
    /// There were no images, or a row does not fit the network.
    pub fn rows(&self, network: &Network) -> Result<Vec<Row>> {
        self.rows.iter().map(|(&subnet, (_, score))| scored_row(network, subnet, score)).collect()
    }
}

/// The row of a sub-network with this score, without latencies.
///
/// # Errors
/// There were no images, or the sub-network does not fit the network.
pub(crate) fn scored_row(network: &Network, subnet: Subnet, score: &impl Score) -> Result<Row> {
    let backbone = mutualnet_zoo::backbone(network.name());
    let backbone = backbone.map(|backbone| network.macs_below(backbone.path, subnet)).transpose()?;
    let row = Row::new(subnet, network.macs(subnet)?, score.quality()?, Vec::new());
    Ok(row.with_backbone(backbone).with_others(score.others()))
}
