//! Batch-norm statistics for every row of the table: each row has its own, none is shared.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mutualnet_core::{Resolution, Subnet, Width};
use mutualnet_engine::{Device, Tensor, no_grad};
use mutualnet_nn::{Net, Norm, Parameters, Slice, Statistics};

use crate::Result;

/// Collects the statistics of many rows over the same batches of training images.
///
/// The average over batches is cumulative, the variance unbiased.
///
/// # Source
/// `[MN-code ComputePostBN.py]`. Deviation: the same images in the same order for every row, and no batch more than
/// asked for; the reference takes one more, shuffled anew for each row.
#[derive(Debug)]
pub struct Calibration {
    rows: BTreeMap<Subnet, Statistics>,
    n_batches: u32,
}

impl Calibration {
    /// Before the first batch.
    ///
    /// # Errors
    /// A row does not fit the network.
    pub fn new(net: &Net, rows: &[Subnet], device: Device) -> Result<Self> {
        let rows = rows.iter().map(|&row| Ok((row, Statistics::new(net.network(), row.width, device)?)));
        Ok(Self { rows: rows.collect::<Result<_>>()?, n_batches: 0 })
    }

    /// Takes one batch in, images `[n, 3, r, r]` at the largest resolution.
    ///
    /// # Errors
    /// The batch does not fit the network, or the engine has no memory.
    pub fn add(&mut self, net: &Net, parameters: &Parameters, images: &Tensor) -> Result<()> {
        self.n_batches += 1;
        let momentum = 1.0 / f64::from(self.n_batches);
        for_each_row(net, parameters, images, self.rows.iter_mut(), |slice, images, statistics| {
            net.forward(slice, images, Norm::Collect { statistics, momentum })?;
            Ok(())
        })
    }

    /// The statistics of every row.
    pub fn finish(self) -> BTreeMap<Subnet, Statistics> {
        self.rows
    }
}

/// Calls `visit` with the slice, the resized images and the value of every row; slices and resolutions are made once.
pub(crate) fn for_each_row<'a, T>(
    net: &Net,
    parameters: &Parameters,
    images: &Tensor,
    rows: impl Iterator<Item = (&'a Subnet, T)>,
    mut visit: impl FnMut(&Slice, &Tensor, T) -> Result<()>,
) -> Result<()> {
    let mut pyramid: BTreeMap<Resolution, Tensor> = BTreeMap::new();
    let mut current: Option<(Width, Slice)> = None;
    no_grad(|| {
        for (subnet, value) in rows {
            let side = subnet.resolution.get() as usize;
            if let Entry::Vacant(entry) = pyramid.entry(subnet.resolution) {
                entry.insert(images.resize_bilinear(side)?);
            }
            let slice = match current.take() {
                Some((width, slice)) if width == subnet.width => slice,
                _ => parameters.slice(net.network(), subnet.width)?,
            };
            visit(&slice, &pyramid[&subnet.resolution], value)?;
            current = Some((subnet.width, slice));
        }
        Ok(())
    })
}
