//! A bundle that is ready to run. All sessions share it, and nothing changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mutualnet_bundle::{Bundle, QueryTable, Row};
use mutualnet_core::network::{List, Op};
use mutualnet_core::{Budget, Network, Precision, Preprocess, Resolution, Subnet};

use crate::prepare::{Prepared, Source};
use crate::program::{Feature, Program};
use crate::resize::Resize;
use crate::{Error, Isa, Result};

/// How convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Convolution {
    /// Each in the way that takes less arithmetic: those of 3×3 taps at stride 1 mostly by Winograd's method, which rounds
    /// a little more. It needs no copy of the weights, but a workspace of one to two MiB per thread.
    #[default]
    Fast,
    /// Every sum as it is defined, term by term.
    Direct,
}

/// How a model is executed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelConfig {
    /// Which kernels are used.
    pub isa: Isa,
    /// How these compute convolutions.
    pub convolution: Convolution,
    /// The precisions that sessions can switch between, beginning with the first. Each has a packed copy of the weights,
    /// which for [`Precision::Bf16`] is half as large.
    pub precisions: Vec<Precision>,
}

impl ModelConfig {
    /// The fastest way on this processor, or with the instruction set that [`ISA_VARIABLE`](crate::ISA_VARIABLE) names.
    ///
    /// # Errors
    /// Fails if the variable names one that is unknown or not available.
    pub fn choose() -> Result<Self> {
        let precisions = vec![Precision::default()];
        Ok(Self { isa: Isa::choose()?, convolution: Convolution::default(), precisions })
    }

    /// The same with [`Convolution::Direct`], for comparisons that rounding should not blur.
    #[must_use]
    pub fn direct(self) -> Self {
        Self { convolution: Convolution::Direct, ..self }
    }
}

/// A bundle's weights, packed once, and a program for every row of its query table.
#[derive(Debug)]
pub struct Model {
    pub(crate) prepared: Arc<Prepared>,
    config: ModelConfig,
    network: Network,
    table: QueryTable,
    preprocess: Preprocess,
    classes: Vec<String>,
    /// Index of the program of each row.
    rows: BTreeMap<Subnet, usize>,
    /// The resize from the largest resolution to each smaller one.
    resizes: BTreeMap<Resolution, Resize>,
}

impl Model {
    /// Prepares a bundle as [`ModelConfig::choose`] says, in the precisions of the table's rows.
    ///
    /// # Errors
    /// Fails in the same cases as [`ModelConfig::choose`] and [`Self::with_config`].
    pub fn new(bundle: &Bundle) -> Result<Self> {
        let precisions = bundle.table().precisions();
        Self::with_config(bundle, ModelConfig { precisions, ..ModelConfig::choose()? })
    }

    /// Prepares a bundle.
    ///
    /// # Errors
    /// Fails if the network has a layer that cannot be executed, if a row needs too much memory, or if the instruction set is
    /// not available.
    pub fn with_config(bundle: &Bundle, config: ModelConfig) -> Result<Self> {
        if !config.isa.is_available() {
            return Err(Error::isa(config.isa.name()));
        }
        let rows: Vec<_> = bundle.table().subnets().collect();
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
        let prepared = Arc::new(Prepared::new(&source, &config)?);
        let largest = bundle.preprocess().crop;
        let resize = |to: Resolution| Resize::new(square(largest), square(to));
        let smaller = rows.iter().map(|row| row.input.resolution).filter(|&resolution| resolution != largest);
        Ok(Self {
            prepared,
            config,
            network: bundle.network().clone(),
            table: bundle.table().clone(),
            preprocess: *bundle.preprocess(),
            classes: bundle.classes().to_vec(),
            resizes: smaller.map(|resolution| (resolution, resize(resolution))).collect(),
            rows: rows.into_iter().enumerate().map(|(row, subnet)| (subnet, row)).collect(),
        })
    }

    /// The instruction set that the kernels use.
    pub fn isa(&self) -> Isa {
        self.config.isa
    }

    /// How the model is executed.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The lists of layers.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The cost and the accuracy of every row.
    pub fn table(&self) -> &QueryTable {
        &self.table
    }

    /// How an image becomes an input at the largest resolution, which is the size of the crop.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The most accurate row within a budget, among those in a precision that the model is prepared for. A latency budget
    /// refers to `threads` threads, or to the largest number of threads that was measured.
    ///
    /// # Errors
    /// Fails if no row is within the budget, if no row has such a precision, or if the budget is a latency and no
    /// latencies were measured.
    pub fn choose(&self, budget: Budget, threads: Option<usize>) -> Result<&Row> {
        Ok(self.table.choose_in(&self.config.precisions, budget, threads)?)
    }

    /// How many numbers one image at the largest resolution has, or one clip of the most frames that a row reads.
    pub fn largest_input_len(&self) -> usize {
        let inputs = self.prepared.programs.iter().map(|program| program.input());
        inputs.map(|input| self.largest_len(input)).max().unwrap_or(0)
    }

    /// How many numbers an input has at the largest resolution.
    pub(crate) fn largest_len(&self, input: Feature) -> usize {
        let [height, width] = square(self.preprocess.crop);
        input.frames * height * width * input.channels
    }

    /// The program of a row for square images or clips of its resolution, in the precision of that index.
    pub(crate) fn program(&self, row: usize, precision: usize) -> &Arc<Program> {
        &self.prepared.programs[precision * self.rows.len() + row]
    }

    /// Index of a precision.
    pub(crate) fn precision(&self, precision: Precision) -> Result<usize> {
        let precisions = &self.config.precisions;
        let idx = precisions.iter().position(|&prepared| prepared == precision);
        idx.ok_or_else(|| Error::Precision { precision, prepared: precisions.clone() })
    }

    /// The program of a list at a row, in the precision of that index.
    pub(crate) fn list_program(&self, list: &str, row: usize, precision: usize) -> Result<&Arc<Program>> {
        let programs = match list {
            List::MAIN => Some(&self.prepared.programs),
            other => self.prepared.others.get(other),
        };
        let programs = programs.ok_or_else(|| Error::List { name: list.to_owned() })?;
        Ok(&programs[precision * self.rows.len() + row])
    }

    /// A program for images or clips of another height and width.
    pub(crate) fn resized(&self, program: &Program, size: [usize; 2]) -> Result<Arc<Program>> {
        let Prepared { network, fused, convolution, .. } = &*self.prepared;
        Ok(Arc::new(program.resized(network, fused, (size, *convolution))?))
    }

    /// Checks that the main list reads one image or clip, of the row's resolution.
    pub(crate) fn check_reads_one_image(&self) -> Result<()> {
        let mut inputs = self.network.inputs(self.network.main()).map(|input| &self.network.node(input).op);
        match (inputs.next(), inputs.next()) {
            (Some(Op::Input { size: None, .. }), None) => Ok(()),
            _ => Err(Error::NotOneImage),
        }
    }

    /// Index of the row of a sub-network.
    pub(crate) fn row(&self, subnet: Subnet) -> Result<usize> {
        self.rows
            .get(&subnet)
            .copied()
            .ok_or_else(|| Error::NotARow { subnet, nearest: self.nearest(subnet) })
    }

    /// Index of the widest row; if there are several, of the one with the largest resolution.
    pub(crate) fn widest(&self) -> usize {
        *self.rows.last_key_value().expect("a table has rows").1
    }

    /// The resize to the resolution of a row; `None` if that is the largest.
    pub(crate) fn resize(&self, row: usize) -> Option<&Resize> {
        self.resizes.get(&self.program(row, 0).subnet.input.resolution)
    }

    /// The three rows nearest to a sub-network, by the relative distances of width, resolution and frames.
    fn nearest(&self, subnet: Subnet) -> Vec<Subnet> {
        let off = |asked: f64, row: f64| ((row - asked) / asked).abs();
        let resolution = |subnet: &Subnet| f64::from(subnet.input.resolution.get());
        let frames = |subnet: &Subnet| f64::from(subnet.input.frames.get());
        let distance = |row: &Subnet| {
            off(subnet.width.fraction(), row.width.fraction())
                + off(resolution(&subnet), resolution(row))
                + off(frames(&subnet), frames(row))
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
