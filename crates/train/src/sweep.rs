//! Evaluating every row of the table on the test split.

use std::collections::BTreeMap;

use mutualnet_core::Subnet;
use mutualnet_engine::Tensor;
use mutualnet_nn::{Net, Norm, Parameters, Statistics};

use crate::Result;
use crate::calibrate::for_each_row;

/// Correct answers of every row so far.
#[derive(Debug)]
pub struct Sweep<'a> {
    rows: BTreeMap<Subnet, (&'a Statistics, u64)>,
    n: u64,
}

impl<'a> Sweep<'a> {
    /// A sweep that has not seen any batch.
    pub fn new(statistics: &'a BTreeMap<Subnet, Statistics>) -> Self {
        Self { rows: statistics.iter().map(|(&row, statistics)| (row, (statistics, 0))).collect(), n: 0 }
    }

    /// Runs every row on one batch, images `[n, 3, r, r]` at the largest resolution, labels `[n]`.
    ///
    /// # Errors
    /// The batch does not fit the network, or the engine has no memory.
    pub fn add(
        &mut self,
        net: &Net,
        parameters: &Parameters,
        images: &Tensor,
        labels: &Tensor,
    ) -> Result<()> {
        self.n += labels.elements() as u64;
        for_each_row(net, parameters, images, &mut self.rows, |slice, images, (statistics, correct)| {
            let logits = net.forward(slice, images, Norm::Fixed(statistics))?;
            *correct += logits.top1_correct(labels)? as u64;
            Ok(())
        })
    }

    /// Number of images so far.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Correct answers of every row.
    pub fn correct(&self) -> impl Iterator<Item = (Subnet, u64)> {
        self.rows.iter().map(|(&row, &(_, correct))| (row, correct))
    }
}
