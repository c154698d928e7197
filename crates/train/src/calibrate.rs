//! Batch-norm statistics for every row of the table; no two rows share them.

use std::collections::BTreeMap;

use mutualnet_core::{Subnet, Width};
use mutualnet_engine::{Device, Tensor, no_grad};
use mutualnet_nn::{Net, Norm, Parameters, Slice, Statistics};

use crate::Result;
use crate::step_batch::{Images, Pyramid};
use crate::task::{Objective, Pass};

/// Collects the statistics of many rows over the same batches of training images.
///
/// The average over batches is cumulative, the variance unbiased.
///
/// # Source
/// `[MN-code ComputePostBN.py]`. Deviation: every row sees the same images in the same order, and exactly as many
/// batches as asked for; the reference takes one more, and shuffles again for each row.
#[derive(Debug)]
pub struct Calibration {
    rows: BTreeMap<Subnet, Statistics>,
    n_batches: u32,
}

impl Calibration {
    /// A calibration that has not seen any batch.
    ///
    /// # Errors
    /// A row does not fit the network.
    pub fn new(net: &Net, rows: &[Subnet], device: Device) -> Result<Self> {
        let rows = rows.iter().map(|&row| Ok((row, Statistics::new(net.network(), row.width, device)?)));
        Ok(Self { rows: rows.collect::<Result<_>>()?, n_batches: 0 })
    }

    /// Adds one batch.
    ///
    /// # Errors
    /// The batch does not fit the network, or the engine has no memory.
    pub fn add<O: Objective>(&mut self, net: &Net, parameters: &Parameters, images: &Images) -> Result<()> {
        self.n_batches += 1;
        let momentum = 1.0 / f64::from(self.n_batches);
        for_each_row(net, parameters, images, &mut self.rows, |slice, inputs, statistics| {
            let norm = Norm::Collect { statistics, momentum };
            O::calibrate(&mut Pass { net, slice, inputs, norm, dropout: None })
        })
    }

    /// The statistics of every row.
    pub fn finish(self) -> BTreeMap<Subnet, Statistics> {
        self.rows
    }
}

/// Calls `visit` with the slice, the inputs and the value of every row; every slice and size is made once.
pub(crate) fn for_each_row<T>(
    net: &Net,
    parameters: &Parameters,
    images: &Images,
    rows: &mut BTreeMap<Subnet, T>,
    mut visit: impl FnMut(&Slice, &[&Tensor], &mut T) -> Result<()>,
) -> Result<()> {
    let mut current: Option<(Width, Slice)> = None;
    no_grad(|| {
        let pyramid = Pyramid::new(images, rows.keys().map(|row| row.input))?;
        for (row, value) in rows {
            let slice = match current.take() {
                Some((width, slice)) if width == row.width => slice,
                _ => net.slice(parameters, row.width)?,
            };
            visit(&slice, &pyramid.inputs(net.network(), row.input), value)?;
            current = Some((row.width, slice));
        }
        Ok(())
    })
}
