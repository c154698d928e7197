//! The recipe: what the user wrote, checked.
//!
//! Every key is documented here and nowhere else; unknown keys are errors that name the nearest key.
//! Invariant: a [`Recipe`] that exists can be planned; what depends on the data is found out by the plan.

use std::path::{Path, PathBuf};

use mutualnet_core::sample::{SandwichSampler, WidthChoice};
use mutualnet_core::{Preprocess, Resolution, Width, WidthRange};
use mutualnet_data::TrainTransform;
use mutualnet_zoo::OutputStride;
use serde::{Deserialize, Serialize};

use crate::update::{Decay, SgdConfig};
use crate::{Error, Result};

mod overrides;

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
    /// 32 as published, 16 or 8 for small images.
    #[serde(default)]
    pub output_stride: OutputStride,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Image folder, relative to the working directory.
    pub path: PathBuf,
    /// Sub-folder to train on.
    #[serde(default = "DataSection::default_train")]
    pub train: String,
    /// Sub-folder to evaluate on.
    #[serde(default = "DataSection::default_test")]
    pub test: String,
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

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step.
    pub batch: usize,
    /// Learning rate of the first step; falls to 0 along a cosine.
    pub lr: f64,
    /// Momentum of SGD.
    #[serde(default = "TrainSection::default_momentum")]
    pub momentum: f64,
    /// Nesterov's form of momentum.
    #[serde(default = "TrainSection::default_nesterov")]
    pub nesterov: bool,
    /// L2 penalty.
    #[serde(default = "TrainSection::default_weight_decay")]
    pub weight_decay: f64,
    /// Which parameters the penalty applies to.
    #[serde(default)]
    pub decay: Decay,
    /// Random sub-networks per step, besides the full and the smallest.
    #[serde(default = "TrainSection::default_random_subnets")]
    pub random_subnets: usize,
    /// Draw widths from a grid of this step instead of continuously.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width_step: Option<f64>,
    /// `cpu`, `cuda` or `cuda:N`.
    #[serde(default = "TrainSection::default_device")]
    pub device: String,
    /// Threads of the engine; 0 stands for one per core.
    #[serde(default)]
    pub threads: usize,
    /// Steps between checkpoints; 0 stands for once per epoch.
    #[serde(default)]
    pub checkpoint_steps: u64,
    /// Steps with a loss that is no number after which the run stops.
    #[serde(default = "TrainSection::default_non_finite_limit")]
    pub non_finite_limit: u64,
}

impl TrainSection {
    /// The optimizer's part.
    pub fn sgd(&self) -> SgdConfig {
        let Self { momentum, nesterov, weight_decay, decay, .. } = *self;
        SgdConfig { momentum, nesterov, weight_decay, decay }
    }

    fn default_momentum() -> f64 {
        0.9
    }

    fn default_nesterov() -> bool {
        true
    }

    fn default_weight_decay() -> f64 {
        1e-4
    }

    fn default_random_subnets() -> usize {
        2
    }

    fn default_device() -> String {
        "cpu".to_owned()
    }

    fn default_non_finite_limit() -> u64 {
        20
    }
}

/// `[tabulate]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TabulateSection {
    /// Distance between the widths of the table; both ends of the range are always in it.
    pub width_step: f64,
    /// Batches of training images that each row's batch-norm statistics are averaged over.
    pub calibration_batches: usize,
    /// Images per calibration batch; 0 stands for the training batch.
    pub calibration_batch: usize,
    /// Single-image runs per row and thread count that latency is taken from.
    pub latency_runs: usize,
}

impl Default for TabulateSection {
    fn default() -> Self {
        Self { width_step: 0.05, calibration_batches: 16, calibration_batch: 0, latency_runs: 60 }
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

    /// Hash of all that decides the result; where the data lie and how many threads there are does not.
    pub fn hash(&self) -> String {
        let mut decisive = self.clone();
        decisive.data.path = PathBuf::new();
        decisive.data.workers = 0;
        decisive.train.threads = 0;
        decisive.train.checkpoint_steps = 0;
        crate::digest::hex(decisive.to_toml().as_bytes())
    }

    fn check(&self) -> Result<()> {
        let resolutions = &self.network.resolutions;
        let train = &self.train;
        let wrong = [
            (resolutions.is_empty(), "network.resolutions: at least one is needed"),
            (!resolutions.is_sorted_by(|a, b| a > b), "network.resolutions: largest first, each once"),
            (train.epochs == 0, "train.epochs: at least 1"),
            (train.batch < 2, "train.batch: at least 2, batch norm needs a batch"),
            (!(train.lr > 0.0 && train.lr.is_finite()), "train.lr: above 0"),
            (!(0.0..1.0).contains(&train.momentum), "train.momentum: from 0 to below 1"),
            (train.nesterov && train.momentum == 0.0, "train.nesterov: needs a momentum"),
            (!(0.0..1.0).contains(&train.weight_decay), "train.weight_decay: from 0 to below 1"),
            (!(0.0..=1.0).contains(&self.data.broken_limit), "data.broken_limit: from 0 to 1"),
            (!self.data.std.iter().all(|&s| s > 0.0), "data.std: above 0"),
            (self.tabulate.calibration_batches == 0, "tabulate.calibration_batches: at least 1"),
            (self.tabulate.calibration_batch == 1, "tabulate.calibration_batch: 0 or at least 2"),
            (self.tabulate.latency_runs == 0, "tabulate.latency_runs: at least 1"),
        ];
        if let Some((_, reason)) = wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            return Err(Error::Recipe { path: None, reason: reason.to_owned(), hint: None });
        }
        self.table_widths()?;
        self.sampler()?;
        Ok(())
    }

    /// Draws the sub-networks of a step.
    ///
    /// # Errors
    /// `train.width_step` is no step.
    pub fn sampler(&self) -> Result<SandwichSampler> {
        let range = self.network.widths;
        let widths = match self.train.width_step {
            Some(step) => WidthChoice::Grid(range.grid(step)?),
            None => WidthChoice::Continuous(range),
        };
        Ok(SandwichSampler {
            widths,
            resolutions: self.network.resolutions.clone(),
            n_random: self.train.random_subnets,
        })
    }

    /// The widths of the query table, ascending.
    ///
    /// # Errors
    /// `tabulate.width_step` is no step.
    pub fn table_widths(&self) -> Result<Vec<Width>> {
        Ok(self.network.widths.grid(self.tabulate.width_step)?)
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
