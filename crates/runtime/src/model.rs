//! A bundle made ready to run; shared by all sessions, never changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use mutualnet_bundle::{Bundle, QueryTable};
use mutualnet_core::{Budget, Network, Preprocess, Resolution, Subnet};

use crate::plan::Plan;
use crate::prepare::{Prepared, Source};
use crate::resize::Resize;
use crate::{Error, Isa, Result};

/// Weights packed once, and a plan for every row of the query table.
#[derive(Debug)]
pub struct Model {
    pub(crate) prepared: Arc<Prepared>,
    isa: Isa,
    network: Network,
    table: QueryTable,
    preprocess: Preprocess,
    classes: Vec<String>,
    /// Index of every row's plan.
    rows: BTreeMap<Subnet, usize>,
    /// From the largest resolution to every smaller one.
    resizes: BTreeMap<Resolution, Resize>,
}

impl Model {
    /// Prepares a bundle for the fastest instruction set here, or the one that [`ISA_VARIABLE`](crate::ISA_VARIABLE)
    /// names.
    ///
    /// # Errors
    /// The network reads clips or has a layer that is not executed, a row needs too much memory, or the variable names
    /// an instruction set that is not available.
    pub fn new(bundle: Bundle) -> Result<Self> {
        Self::with_isa(bundle, Isa::choose()?)
    }

    /// As [`Self::new`], for a given instruction set.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_isa(bundle: Bundle, isa: Isa) -> Result<Self> {
        if !isa.is_available() {
            return Err(Error::isa(isa.name()));
        }
        let rows: Vec<_> = bundle.table().rows().iter().map(|row| row.subnet).collect();
        let statistics = |row| {
            let stats = bundle.stats(row)?.iter();
            Some(stats.map(|stats| (&stats.mean[..], &stats.var[..])).collect())
        };
        let source = Source {
            network: bundle.network(),
            rows: &rows,
            weight: &|name| bundle.weights().get(name).map(|tensor| (&tensor.shape[..], &tensor.data[..])),
            statistics: &statistics,
        };
        let prepared = Arc::new(Prepared::new(&source, isa)?);
        let largest = bundle.preprocess().crop;
        let resize = |to: Resolution| Resize::new(square(largest), square(to));
        let smaller = rows.iter().map(|row| row.resolution).filter(|&resolution| resolution != largest);
        Ok(Self {
            prepared,
            isa,
            network: bundle.network().clone(),
            table: bundle.table().clone(),
            preprocess: *bundle.preprocess(),
            classes: bundle.classes().to_vec(),
            resizes: smaller.map(|resolution| (resolution, resize(resolution))).collect(),
            rows: rows.into_iter().enumerate().map(|(row, subnet)| (subnet, row)).collect(),
        })
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The list of layers.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What every row costs and how good it is.
    pub fn table(&self) -> &QueryTable {
        &self.table
    }

    /// How an image becomes an input of the largest resolution, the crop.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Name of every class.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The most accurate row within a budget; a latency is that of `threads` threads, or of the most measured.
    ///
    /// # Errors
    /// No row is within the budget, or no latencies were measured.
    pub fn choose(&self, budget: Budget, threads: Option<usize>) -> Result<Subnet> {
        Ok(self.table.choose(budget, threads)?.subnet)
    }

    /// Numbers of one image of the largest resolution.
    pub fn largest_input_len(&self) -> usize {
        let [height, width] = square(self.preprocess.crop);
        height * width * self.prepared.plans[0].input.channels
    }

    pub(crate) fn plan(&self, row: usize) -> &Plan {
        &self.prepared.plans[row]
    }

    /// Index of a sub-network's plan.
    pub(crate) fn row(&self, subnet: Subnet) -> Result<usize> {
        self.rows
            .get(&subnet)
            .copied()
            .ok_or_else(|| Error::NotARow { subnet, nearest: self.nearest(subnet) })
    }

    /// The widest row; of several that of the largest resolution.
    pub(crate) fn widest(&self) -> usize {
        *self.rows.last_key_value().expect("a table has rows").1
    }

    /// The resize to a row's resolution; `None` when that is the largest.
    pub(crate) fn resize(&self, row: usize) -> Option<&Resize> {
        self.resizes.get(&self.plan(row).subnet.resolution)
    }

    /// The three rows nearest to a sub-network: by resolution and width, relative to what was asked for.
    fn nearest(&self, subnet: Subnet) -> Vec<Subnet> {
        let off = |asked: f64, row: f64| ((row - asked) / asked).abs();
        let distance = |row: &Subnet| {
            off(subnet.width.fraction(), row.width.fraction())
                + off(subnet.resolution.get().into(), row.resolution.get().into())
        };
        let mut rows: Vec<_> = self.rows.keys().copied().collect();
        rows.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        rows.truncate(3);
        rows
    }
}

fn square(side: Resolution) -> [usize; 2] {
    [side.get() as usize; 2]
}
