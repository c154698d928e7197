//! The plan: the recipe met the data, so that everything about the run is known before it begins.

use std::path::Path;

use mutualnet_core::{Macs, Network, Subnet};
use mutualnet_data::Dataset;
use mutualnet_zoo::NetworkConfig;
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;
use crate::run_dir::write_whole;
use crate::{Error, Result};

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
    /// Training images.
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
    /// Expected cost of a step relative to one of plain training of the full network.
    pub relative_cost: f64,
    /// Learnable numbers of the full network.
    pub params: u64,
    /// Rows that the query table will have.
    pub rows: usize,
    /// Hash of what decides the result, of the recipe.
    pub recipe_sha256: String,
    /// Hash of the training split's file names and sizes.
    pub train_sha256: String,
    /// Hash of the test split's file names and sizes.
    pub test_sha256: String,
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

impl Plan {
    /// Indexes the data and works everything out.
    ///
    /// # Errors
    /// The data are missing, do not fit each other, or are fewer than a batch; or the network cannot be built.
    pub fn make(recipe: &Recipe) -> Result<Planned> {
        let data = &recipe.data;
        let train = Dataset::open(&data.path.join(&data.train))?;
        let test = Dataset::open(&data.path.join(&data.test))?;
        let wrong = |reason: String| Error::Data { reason, path: data.path.clone() };
        train.check_same_classes(&test)?;
        let steps_per_epoch = (train.samples().len() / recipe.train.batch) as u64;
        if steps_per_epoch == 0 {
            let n = train.samples().len();
            return Err(wrong(format!(
                "{n} training images are fewer than a batch of {}",
                recipe.train.batch
            )));
        }
        let network = network(recipe, train.classes().len())?;
        let derived = Derived {
            n_train: train.samples().len(),
            n_test: test.samples().len(),
            steps_per_epoch,
            total_steps: steps_per_epoch * u64::from(recipe.train.epochs),
            full_macs: network.macs(Subnet::image(network.widths().full(), recipe.crop()))?,
            smallest_macs: network.macs(smallest(recipe))?,
            relative_cost: relative_cost(recipe, &network)?,
            params: network.params(network.widths().full())?,
            rows: recipe.table_widths()?.len() * recipe.network.resolutions.len(),
            recipe_sha256: recipe.hash(),
            train_sha256: train.hash(),
            test_sha256: test.hash(),
            classes: train.classes().to_vec(),
        };
        let plan = Self { format_version: FORMAT_VERSION, derived, recipe: recipe.clone() };
        Ok(Planned { plan, network, train, test })
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
        write_whole(path, text.as_bytes())
    }
}

/// The recipe's network for a number of classes.
pub(crate) fn network(recipe: &Recipe, classes: usize) -> Result<Network> {
    let section = &recipe.network;
    let config = NetworkConfig { classes, widths: section.widths, output_stride: section.output_stride };
    Ok(mutualnet_zoo::build(&section.name, &config)?)
}

fn smallest(recipe: &Recipe) -> Subnet {
    let resolutions = &recipe.network.resolutions;
    Subnet::image(recipe.network.widths.smallest(), resolutions[resolutions.len() - 1])
}

/// Mean MACs of a step over those of the full network alone, over the sub-networks that training can draw.
fn relative_cost(recipe: &Recipe, network: &Network) -> Result<f64> {
    /// Widths that stand for a continuous range.
    const GRID: usize = 64;
    let range = recipe.network.widths;
    let (low, high) = (range.smallest().fraction(), range.full().fraction());
    let widths = match recipe.train.width_step {
        Some(step) => range.grid(step)?,
        None => (0..GRID)
            .map(|i| mutualnet_core::Width::new(low + (high - low) * (i as f64 + 0.5) / GRID as f64))
            .collect::<Result<_, _>>()?,
    };
    let mean_over_resolutions = |width| {
        let macs = recipe.network.resolutions.iter().map(|&r| network.macs(Subnet::image(width, r)));
        let macs: Vec<_> = macs.collect::<mutualnet_core::Result<_>>()?;
        Ok::<_, Error>(macs.iter().map(|macs| macs.as_f64()).sum::<f64>() / macs.len() as f64)
    };
    let random =
        widths.iter().map(|&width| mean_over_resolutions(width)).sum::<Result<f64>>()? / widths.len() as f64;
    let full = network.macs(Subnet::image(range.full(), recipe.crop()))?.as_f64();
    let students = mean_over_resolutions(range.smallest())? + recipe.train.random_subnets as f64 * random;
    Ok(1.0 + students / full)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's costs of a step [MN-ECCV, worked out from its networks], to a hundredth.
    #[test]
    fn relative_costs_are_those_of_the_paper() {
        for (name, smallest, cost) in [("mobilenet_v1", 0.25, 1.63), ("mobilenet_v2", 0.7, 2.42)] {
            let text = format!(
                "[network]\nname = \"{name}\"\nwidths = [{smallest}, 1.0]\nresolutions = [224, 192, 160, 128]\n\
                 [data]\npath = \"x\"\n[train]\nepochs = 1\nbatch = 2\nlr = 0.1\n"
            );
            let recipe = Recipe::parse(&text, &[]).unwrap();
            let relative = relative_cost(&recipe, &network(&recipe, 1000).unwrap()).unwrap();
            assert!((relative - cost).abs() < 0.01, "{name}: {relative}");
        }
    }
}
