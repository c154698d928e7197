//! The recipe: what the user wrote, checked.
//!
//! Every key is documented here and on the page of formats; unknown keys are errors that name the nearest key.
//! Invariant: a [`Recipe`] that exists can be planned; what depends on the data is found out by the plan.

use std::path::{Path, PathBuf};

use mutualnet_bundle::QueryTable;
use mutualnet_core::sample::{SubnetSampler, WidthChoice};
use mutualnet_core::{Preprocess, Resolution, Subnet, WidthRange};
use mutualnet_data::{TestPipeline, TrainPipeline, TrainTransform};
use mutualnet_zoo::OutputStride;
use serde::{Deserialize, Serialize};

use crate::{Error, Method, Result};

mod changes;
pub use changes::Change;
mod overrides;
mod train_section;
pub use train_section::{OptimizerKind, TrainSection};

/// A whole recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Every random draw of the run follows from this number.
    #[serde(default)]
    pub seed: u64,
    /// What is trained.
    pub network: NetworkSection,
    /// What it is trained on.
    pub data: DataSection,
    /// How it is trained.
    pub train: TrainSection,
    /// How it is calibrated, evaluated and timed.
    #[serde(default)]
    pub tabulate: TabulateSection,
}

/// `[network]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// A name of the zoo, e.g. `mobilenet_v2`.
    pub name: String,
    /// Narrowest and widest sub-network, e.g. `[0.25, 1.0]`.
    pub widths: WidthRange,
    /// Sides of the square inputs in pixels, largest first.
    pub resolutions: Vec<Resolution>,
    /// 16 or 8 for small images; none is as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<OutputStride>,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// A data set in one of the layouts on the page of formats, relative to the working directory.
    pub path: PathBuf,
    /// Split to train on.
    #[serde(default = "DataSection::default_train")]
    pub train: String,
    /// Split to evaluate on.
    #[serde(default = "DataSection::default_test")]
    pub test: String,
    /// Share of the training images of each class that is used, evenly spaced, the same for every seed.
    #[serde(default = "DataSection::default_train_share")]
    pub train_share: f64,
    /// Mean of the color channels, on the scale 0–1.
    #[serde(default = "DataSection::imagenet_mean")]
    pub mean: [f32; 3],
    /// Standard deviation of the color channels, on the scale 0–1.
    #[serde(default = "DataSection::imagenet_std")]
    pub std: [f32; 3],
    /// Length of the shorter side before the center crop at test time; without it the largest resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resolution>,
    /// Augmentation of training images.
    #[serde(default)]
    pub augment: TrainTransform,
    /// Decoding threads; 0 stands for one per core.
    #[serde(default)]
    pub workers: usize,
    /// Share of undecodable files above which the run stops.
    #[serde(default = "DataSection::default_broken_limit")]
    pub broken_limit: f64,
}

impl DataSection {
    fn default_train() -> String {
        "train".to_owned()
    }

    fn default_test() -> String {
        "test".to_owned()
    }

    fn default_train_share() -> f64 {
        1.0
    }

    fn imagenet_mean() -> [f32; 3] {
        [0.485, 0.456, 0.406]
    }

    fn imagenet_std() -> [f32; 3] {
        [0.229, 0.224, 0.225]
    }

    fn default_broken_limit() -> f64 {
        0.01
    }
}

/// `[tabulate]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TabulateSection {
    /// Which weights are tabulated: `last`, `ema`.
    pub weights: TabulateWeights,
    /// Distance between the widths of the table; both ends of the range are always in it.
    pub width_step: f64,
    /// Batches of training images that each row's batch-norm statistics are averaged over.
    pub calibration_batches: usize,
    /// Images per calibration batch; 0 stands for the training batch.
    pub calibration_batch: usize,
    /// Single-image runs per row and thread count that latency is taken from.
    pub latency_runs: usize,
}

/// Which weights of a finished run go into the table and the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TabulateWeights {
    /// Those after the last step.
    #[default]
    Last,
    /// Their running average; needs `train.ema`.
    Ema,
}

impl Default for TabulateSection {
    fn default() -> Self {
        Self {
            weights: TabulateWeights::Last,
            width_step: 0.05,
            calibration_batches: 16,
            calibration_batch: 0,
            latency_runs: 60,
        }
    }
}

impl Recipe {
    /// Reads and checks a recipe file with `key=value` overrides, e.g. `train.epochs=3`.
    ///
    /// # Errors
    /// The file cannot be read or is no recipe, or an override names no key.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::read(path, source))?;
        Self::parse(&text, overrides).map_err(|error| match error {
            Error::Recipe { reason, hint, .. } => Error::Recipe { path: Some(path.to_owned()), reason, hint },
            other => other,
        })
    }

    /// As [`Self::load`], from text.
    ///
    /// # Errors
    /// The text is no recipe, or an override names no key.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self> {
        let recipe: Self = overrides::parse(text, overrides)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// The recipe as TOML, every key written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe holds nothing that TOML cannot")
    }

    /// Hash of all that decides the result.
    pub fn hash(&self) -> String {
        crate::digest::hex(self.decisive().to_toml().as_bytes())
    }

    /// The recipe with every key of [`Self::MAY_CHANGE`] at the same value, so that only what decides the result is left.
    pub(crate) fn decisive(&self) -> Self {
        let mut decisive = self.clone();
        decisive.data.path = PathBuf::new();
        decisive.data.workers = 0;
        decisive.data.broken_limit = 0.0;
        decisive.train.threads = 0;
        decisive.train.checkpoint_steps = 0;
        decisive.train.non_finite_limit = 0;
        decisive
    }

    /// Keys that a resumed run may change: where the data lie, how many threads there are, when it saves and at how many
    /// faults it stops.
    pub const MAY_CHANGE: [&str; 6] = [
        "data.path",
        "data.workers",
        "data.broken_limit",
        "train.threads",
        "train.checkpoint_steps",
        "train.non_finite_limit",
    ];

    fn check(&self) -> Result<()> {
        let NetworkSection { widths, resolutions, .. } = &self.network;
        let train = &self.train;
        let fits = |subnet: Subnet| widths.contains(subnet.width) && resolutions.contains(&subnet.resolution);
        let wrong = [
            (resolutions.is_empty(), "network.resolutions: at least one is needed"),
            (!resolutions.is_sorted_by(|a, b| a > b), "network.resolutions: largest first, each once"),
            (
                train.subnet.is_some_and(|subnet| !fits(subnet)),
                "train.subnet: not one of network.widths and network.resolutions",
            ),
            (
                !(self.data.train_share > 0.0 && self.data.train_share <= 1.0),
                "data.train_share: above 0 to 1",
            ),
            (!(0.0..=1.0).contains(&self.data.broken_limit), "data.broken_limit: from 0 to 1"),
            (!self.data.std.iter().all(|&s| s > 0.0), "data.std: above 0"),
            (
                self.tabulate.weights == TabulateWeights::Ema && train.ema.is_none(),
                "tabulate.weights: `ema` needs a train.ema, e.g. 0.999",
            ),
            (self.tabulate.calibration_batches == 0, "tabulate.calibration_batches: at least 1"),
            (self.tabulate.calibration_batch == 1, "tabulate.calibration_batch: 0 or at least 2"),
            (self.tabulate.latency_runs == 0, "tabulate.latency_runs: at least 1"),
        ];
        let wrong = wrong.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, reason)| reason);
        if let Some(reason) = wrong.or(train.check().err()) {
            return Err(Error::Recipe { path: None, reason: reason.to_owned(), hint: None });
        }
        let wrong = |reason| Error::Recipe { path: None, reason, hint: None };
        let preprocess = self.preprocess();
        TestPipeline::new(&preprocess).map_err(|error| wrong(format!("data.{error}")))?;
        TrainPipeline::new(self.data.augment, &preprocess)
            .map_err(|error| wrong(format!("data.augment.{error}")))?;
        let rows = self.table_rows()?.len();
        if rows > QueryTable::MAX_ROWS {
            let most = QueryTable::MAX_ROWS;
            return Err(wrong(format!("tabulate.width_step: {rows} rows are more than {most}")));
        }
        self.sampler()?;
        Ok(())
    }

    /// The widths that the method trains, which are those that the network gets.
    pub fn trained_widths(&self) -> WidthRange {
        let only = |width| WidthRange::new(width, width).expect("a width is not above itself");
        match (self.train.method, self.train.subnet) {
            (Method::Independent, Some(subnet)) => only(subnet.width),
            (method, _) if method.has_students() => self.network.widths,
            _ => only(self.network.widths.full()),
        }
    }

    /// The resolutions that the method trains or, for one that trains the full network only, is evaluated at.
    pub fn resolutions(&self) -> Vec<Resolution> {
        match self.train.subnet {
            Some(subnet) => vec![subnet.resolution],
            None => self.network.resolutions.clone(),
        }
    }

    /// Draws the sub-networks of a step.
    ///
    /// # Errors
    /// `train.width_step` is no step.
    pub fn sampler(&self) -> Result<SubnetSampler> {
        let range = self.trained_widths();
        let method = self.train.method;
        let widths = match self.train.width_step {
            Some(step) => WidthChoice::Grid(range.grid(step)?),
            None => WidthChoice::Continuous(range),
        };
        Ok(SubnetSampler {
            widths,
            resolutions: self.resolutions(),
            resolution_choice: method.resolution_choice(),
            n_random: method.has_students().then_some(self.train.random_subnets),
        })
    }

    /// The rows of the query table: every trained width at every resolution, ascending widths.
    ///
    /// # Errors
    /// `tabulate.width_step` is no step.
    pub fn table_rows(&self) -> Result<Vec<Subnet>> {
        let widths = self.trained_widths().grid(self.tabulate.width_step)?;
        let resolutions = self.resolutions();
        Ok(widths.into_iter().flat_map(|w| resolutions.iter().map(move |&r| Subnet::image(w, r))).collect())
    }

    /// Images per calibration batch.
    pub(crate) fn calibration_batch(&self) -> usize {
        match self.tabulate.calibration_batch {
            0 => self.train.batch,
            images => images,
        }
    }

    /// The largest resolution: what images are cropped to.
    pub fn crop(&self) -> Resolution {
        self.network.resolutions[0]
    }

    /// Test-time preprocessing.
    pub fn preprocess(&self) -> Preprocess {
        let DataSection { resize, mean, std, .. } = self.data;
        Preprocess { resize, crop: self.crop(), mean, std }
    }
}

#[cfg(test)]
mod tests;
