//! How good rows are: their batch-norm statistics from training images, then their metric on the test images.
//!
//! Separate because a run is evaluated while it trains, and tabulated when it has finished.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use mutualnet_bundle::Row;
use mutualnet_core::{Frames, Network, Preprocess, Subnet, Weights};
use mutualnet_data::{Dataset, Loader, Part};
use mutualnet_engine::Device;
use mutualnet_nn::{Net, Parameters, Statistics};

use crate::Result;
use crate::calibrate::Calibration;
use crate::events::{Event, EventLog, Stage};
use crate::feed::{Feed, IfBroken, loader_of};
use crate::plan::Planned;
use crate::ranks::{Apart, Ranks};
use crate::recipe::Recipe;
use crate::step_batch::{Images, StepBatch};
use crate::sweep::Sweep;
use crate::task::Objective;

/// Images per evaluation batch, unless they are large. Memory depends on it, results do not.
const EVALUATION_BATCH: usize = 64;
/// Pixels per evaluation batch of whole images or clips, which may be large: those of so many images of 224 × 224.
const EVALUATION_PIXELS: usize = EVALUATION_BATCH * 224 * 224;
/// The most images and pixels of images that are evaluated together.
pub(crate) const EVALUATION_LIMITS: (usize, usize) = (EVALUATION_BATCH, EVALUATION_PIXELS);

/// Images or clips per evaluation batch.
pub(crate) fn evaluation_batch(recipe: &Recipe) -> usize {
    let Preprocess { crop, clip, .. } = recipe.preprocess();
    let frames = clip.map_or(Frames::ONE, |clip| clip.frames);
    let pixels = frames.get() as usize * (crop.get() as usize).pow(2);
    (EVALUATION_PIXELS / pixels).clamp(1, EVALUATION_BATCH)
}

/// Some rows of a network with certain weights.
pub(crate) struct Evaluation<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) net: Net,
    pub(crate) parameters: Parameters,
    pub(crate) device: Device,
    pub(crate) rows: Vec<Subnet>,
    /// How many cores this process has.
    pub(crate) cores: usize,
    /// Whether the log is told how far it is.
    pub(crate) tells: bool,
    /// Once it is set, the evaluation ends without a result.
    pub(crate) stop: Option<&'a AtomicBool>,
    /// Every process evaluates apart from the others.
    pub(crate) apart: Apart<'a>,
}

impl<'a> Evaluation<'a> {
    /// Of the rows that this process evaluates, of all that are wanted.
    pub(crate) fn new(
        (recipe, network): (&'a Recipe, &Network),
        weights: &Weights,
        rows: &[Subnet],
        (device, ranks): (Device, &'a Ranks),
    ) -> Result<Self> {
        Ok(Self {
            recipe,
            net: Net::new(network.clone()),
            parameters: Parameters::from_weights(network, weights, device)?,
            device,
            rows: own_rows(network, rows, ranks)?,
            cores: ranks.cores(),
            tells: true,
            stop: None,
            apart: Apart::begin(ranks),
        })
    }

    /// Calibrates and evaluates the rows in f32.
    pub(crate) fn run<O: Objective>(
        &self,
        planned: &Planned,
        log: &mut EventLog<'_>,
    ) -> Result<(Vec<Row>, BTreeMap<Subnet, Statistics>)> {
        let statistics = self.calibrate::<O>(&planned.train, log)?;
        Ok((self.evaluate::<O>(&planned.test, &statistics, log)?, statistics))
    }

    /// A loader of whole batches.
    pub(crate) fn loader(&self, dataset: &Dataset, batch: usize, device: Device) -> Result<Loader> {
        loader_of(self.recipe, dataset.clone(), batch, device, (Part::default(), self.cores))
    }

    pub(crate) fn calibrate<O: Objective>(
        &self,
        train: &Dataset,
        log: &mut EventLog<'_>,
    ) -> Result<BTreeMap<Subnet, Statistics>> {
        let section = &self.recipe.tabulate;
        let loader = self.loader(train, self.recipe.calibration_batch(), self.device)?;
        let data = &self.recipe.data;
        let batches =
            loader.calibrate(data.augment, &self.recipe.preprocess(), section.calibration_batches)?;
        let mut feed = Feed::new(loader, batches, IfBroken::Replaced);
        let mut calibration = Calibration::new(&self.net, &self.rows, self.device)?;
        let mut done = 0;
        while !self.is_stopped()
            && let Some(mut batch) = feed.next(log, || self.is_stopped())?
        {
            let images = Images::new(&mut batch, self.device)?;
            calibration.add::<O>(&self.net, &self.parameters, &images)?;
            done += 1;
            self.apart.works()?;
            self.tell(log, Stage::Calibrate, done, section.calibration_batches)?;
        }
        log.flush()?;
        Ok(calibration.finish())
    }

    pub(crate) fn evaluate<O: Objective>(
        &self,
        test: &Dataset,
        statistics: &BTreeMap<Subnet, Statistics>,
        log: &mut EventLog<'_>,
    ) -> Result<Vec<Row>> {
        let loader = self.loader(test, evaluation_batch(self.recipe), self.device)?;
        let batches = loader.evaluate(&self.recipe.preprocess())?;
        let mut feed = Feed::new(loader, batches, IfBroken::LeftOut);
        let mut sweep = Sweep::<O>::new(statistics);
        let of = test.samples().len() * self.recipe.tabulate.precisions.len();
        while !self.is_stopped()
            && let Some(mut batch) = feed.next_joined(EVALUATION_LIMITS, log)?
        {
            let batch = StepBatch::<O>::new(&mut batch, self.device)?;
            sweep.add(&self.net, &self.parameters, &batch)?;
            self.apart.works()?;
            self.tell(log, Stage::Evaluate, sweep.n() as usize, of)?;
        }
        if self.is_stopped() {
            return Ok(Vec::new());
        }
        self.tell(log, Stage::Evaluate, test.samples().len(), of)?;
        log.flush()?;
        sweep.rows(self.net.network())
    }

    /// Whether it was told to stop, so that its numbers are not those of all images.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    pub(crate) fn tell(&self, log: &mut EventLog<'_>, stage: Stage, done: usize, of: usize) -> Result<()> {
        if self.tells { log.log(&Event::Tabulating { stage, done, of }) } else { Ok(()) }
    }
}

/// The rows that a process evaluates: every so many, so that all get cheap and expensive ones.
fn own_rows(network: &Network, rows: &[Subnet], ranks: &Ranks) -> Result<Vec<Subnet>> {
    if ranks.n() == 1 {
        return Ok(rows.to_vec());
    }
    let part = ranks.part();
    Ok(by_macs(network, rows)?.into_iter().skip(part.index).step_by(part.of).collect())
}

/// Rows from the cheapest to the most expensive.
pub(crate) fn by_macs(network: &Network, rows: &[Subnet]) -> Result<Vec<Subnet>> {
    let mut by_macs = rows.iter().map(|&row| Ok((network.macs(row)?, row))).collect::<Result<Vec<_>>>()?;
    by_macs.sort();
    Ok(by_macs.into_iter().map(|(_, row)| row).collect())
}
