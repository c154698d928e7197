//! The plan: the recipe met the data, so that everything about the run is known before it begins.

use std::path::Path;

use mutualnet_bundle::write_atomically;
use mutualnet_core::{Macs, Network, Subnet, WidthRange};
use mutualnet_data::{Dataset, shown};
use mutualnet_zoo::NetworkConfig;
use serde::{Deserialize, Serialize};

use crate::events::{Event, EventLog};
use crate::recipe::Recipe;
use crate::schedule::LearningRate;
use crate::{Error, Result};

mod cost;
pub(crate) use cost::StepCost;

const FORMAT_VERSION: u32 = 1;

/// What will be run; stored as `plan.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this file's form.
    pub format_version: u32,
    /// What follows from recipe and data.
    pub derived: Derived,
    /// The recipe, every key written out.
    pub recipe: Recipe,
}

/// What follows from recipe and data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// Class names in the order of the network's outputs.
    pub classes: Vec<String>,
    /// Training images, of the share that the recipe asks for.
    pub n_train: usize,
    /// Test images.
    pub n_test: usize,
    /// Steps of one epoch; a last incomplete batch is left out.
    pub steps_per_epoch: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Cost of the full network at the largest resolution.
    pub full_macs: Macs,
    /// Cost of the narrowest network at the smallest resolution.
    pub smallest_macs: Macs,
    /// Expected MACs of a step relative to one of plain training of the widest network at the largest resolution.
    pub relative_cost: f64,
    /// Learnable numbers of the full network.
    pub params: u64,
    /// Rows that the query table will have.
    pub rows: usize,
    /// Hash of what decides the result, of the recipe.
    pub recipe_sha256: String,
    /// Hash of the file names and sizes that are trained on.
    pub train_sha256: String,
    /// Hash of the test split's file names and sizes.
    pub test_sha256: String,
    /// Hash of the file that the first weights come from; known once the run is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_sha256: Option<String>,
}

/// A plan together with what it was made from.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The network.
    pub network: Network,
    /// Images to train on.
    pub train: Dataset,
    /// Images to evaluate on.
    pub test: Dataset,
}

impl Planned {
    /// Logs what a person should know of the data.
    pub(crate) fn tell_notices(&self, log: &mut EventLog<'_>) -> Result<()> {
        for dataset in [&self.train, &self.test] {
            for notice in dataset.notices() {
                let text = format!("{notice}: {}", shown(dataset.dir()));
                log.log(&if notice.is_warning() { Event::Warning { text } } else { Event::Notice { text } })?;
            }
        }
        Ok(())
    }
}

/// What a plan needs to know of the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataFacts {
    /// Class names in the order of the network's outputs.
    pub classes: Vec<String>,
    /// Training images.
    pub n_train: usize,
    /// Test images.
    pub n_test: usize,
    /// Hash of the training split.
    pub train_sha256: String,
    /// Hash of the test split.
    pub test_sha256: String,
}

impl Plan {
    /// Indexes the data and works everything out.
    ///
    /// # Errors
    /// The data are missing, do not fit each other, or are fewer than a batch; or the network cannot be built.
    pub fn make(recipe: &Recipe) -> Result<Planned> {
        let data = &recipe.data;
        let train = Dataset::open_named(&data.path, &data.train)?;
        let test = Dataset::open_named(&data.path, &data.test)?;
        train.check_same_classes(&test)?;
        // The whole split counts, whatever share of it is trained on.
        let test = test.noting_overlap(&train);
        let train = train.share(data.train_share)?;
        let facts = DataFacts {
            classes: train.classes().to_vec(),
            n_train: train.samples().len(),
            n_test: test.samples().len(),
            train_sha256: train.hash(),
            test_sha256: test.hash(),
        };
        let (plan, network) = Self::of(recipe, facts)?;
        Ok(Planned { plan, network, train, test })
    }

    /// Works everything out for data of which only `facts` are known.
    ///
    /// # Errors
    /// There are fewer images than a batch, or the network cannot be built.
    pub fn of(recipe: &Recipe, facts: DataFacts) -> Result<(Self, Network)> {
        let DataFacts { classes, n_train, n_test, train_sha256, test_sha256 } = facts;
        let steps_per_epoch = (n_train / recipe.train.batch) as u64;
        if steps_per_epoch == 0 {
            let reason =
                format!("{n_train} training images are fewer than a batch of {}", recipe.train.batch);
            return Err(Error::Data { reason, path: recipe.data.path.clone() });
        }
        if recipe.tabulate.calibration_batch > n_train {
            let images = recipe.tabulate.calibration_batch;
            let reason =
                format!("{n_train} training images are fewer than tabulate.calibration_batch, {images}");
            return Err(Error::Data { reason, path: recipe.data.path.clone() });
        }
        let network = network(recipe, classes.len())?;
        let dearest = network.macs(Subnet::image(network.widths().full(), recipe.resolutions()[0]))?;
        let derived = Derived {
            n_train,
            n_test,
            steps_per_epoch,
            total_steps: steps_per_epoch * u64::from(recipe.train.epochs),
            full_macs: dearest,
            smallest_macs: network.macs(smallest(recipe))?,
            relative_cost: cost::relative(recipe, classes.len())?,
            params: network.params(network.widths().full())?,
            rows: recipe.table_rows()?.len(),
            recipe_sha256: recipe.hash(),
            train_sha256,
            test_sha256,
            init_sha256: None,
            classes,
        };
        Ok((Self { format_version: FORMAT_VERSION, derived, recipe: recipe.clone() }, network))
    }

    /// Steps between two checkpoints; the last step has one too.
    pub fn checkpoint_steps(&self) -> u64 {
        match self.recipe.train.checkpoint_steps {
            0 => self.derived.steps_per_epoch,
            steps => steps,
        }
    }

    /// How the learning rate goes.
    pub fn learning_rate(&self) -> LearningRate {
        let train = &self.recipe.train;
        LearningRate {
            peak: train.lr,
            schedule: train.schedule,
            warmup_steps: (train.warmup_epochs * self.derived.steps_per_epoch as f64).round() as u64,
            total_steps: self.derived.total_steps,
        }
    }

    /// Reads a stored plan.
    ///
    /// # Errors
    /// There is none, or it is of another version.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::NoRun { what: "the plan of a run", path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(|source| Error::read(path, source))?;
        let wrong = |reason| Error::Format { what: "plan", reason, path: path.to_owned() };
        let plan: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if plan.format_version != FORMAT_VERSION {
            return Err(wrong(format!(
                "format version {} (this program reads {FORMAT_VERSION})",
                plan.format_version
            )));
        }
        Ok(plan)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).expect("a plan holds nothing that TOML cannot");
        Ok(write_atomically(path, text.as_bytes())?)
    }
}

/// The network that the recipe trains, for a number of classes.
pub(crate) fn network(recipe: &Recipe, classes: usize) -> Result<Network> {
    build(recipe, recipe.trained_widths(), classes)
}

/// The recipe's network at other widths.
fn build(recipe: &Recipe, widths: WidthRange, classes: usize) -> Result<Network> {
    let section = &recipe.network;
    let config = NetworkConfig { classes, widths, output_stride: section.output_stride };
    Ok(mutualnet_zoo::build(&section.name, &config)?)
}

fn smallest(recipe: &Recipe) -> Subnet {
    let resolutions = recipe.resolutions();
    Subnet::image(recipe.trained_widths().smallest(), resolutions[resolutions.len() - 1])
}

#[cfg(test)]
mod tests;
