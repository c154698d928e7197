//! The recipe: what the user wrote, checked.
//!
//! [`RecipeFile`] is the recipe as written; checking it makes a [`Recipe`].
//! Invariant: a [`Recipe`] that exists can be planned; only what depends on the data and the machine is left to the
//! plan.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use mutualnet_core::network::Rank;
use mutualnet_core::sample::SubnetSampler;
use mutualnet_core::{InputSize, Preprocess, Resolution, Subnet, WidthRange};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod changes;
pub use changes::Change;
mod file;
mod train_section;
pub use file::{DataSection, NetworkSection, RecipeFile, TabulateSection, TabulateWeights};
pub use train_section::{OptimizerKind, TrainSection};

mod check;

mod document;
mod names;
mod overrides;
mod problem;
mod read;
mod source;
pub use overrides::dashed;
pub use problem::Place;
pub(crate) use problem::Problem;

/// A checked recipe: it reads as the [`RecipeFile`] it was made from, and knows what follows from that alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "RecipeFile", into = "RecipeFile")]
pub struct Recipe {
    file: RecipeFile,
    trained_widths: WidthRange,
    inputs: Vec<InputSize>,
    sampler: SubnetSampler,
    rows: Vec<Subnet>,
    preprocess: Preprocess,
}

impl Deref for Recipe {
    type Target = RecipeFile;

    fn deref(&self) -> &RecipeFile {
        &self.file
    }
}

impl PartialEq for Recipe {
    fn eq(&self, other: &Self) -> bool {
        // The rest follows from the file.
        self.file == other.file
    }
}

impl From<Recipe> for RecipeFile {
    fn from(recipe: Recipe) -> Self {
        recipe.file
    }
}

impl TryFrom<RecipeFile> for Recipe {
    type Error = Error;

    fn try_from(file: RecipeFile) -> Result<Self> {
        file.check().map_err(|problem| Error::recipe(None, problem))
    }
}

impl Recipe {
    /// Reads and checks a recipe file with `key=value` overrides, such as `train.epochs=3`.
    ///
    /// # Errors
    /// The file cannot be read or is not a recipe, or an override is wrong.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = source::read(path)?;
        Self::checked(&text, overrides).map_err(|problem| Error::recipe(Some(path), problem))
    }

    /// As [`Self::load`], from text.
    ///
    /// # Errors
    /// The text is not a recipe, or an override is wrong.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self> {
        Self::checked(text, overrides).map_err(|problem| Error::recipe(None, problem))
    }

    fn checked(text: &str, overrides: &[String]) -> Result<Self, problem::Problem> {
        // Editors on Windows begin files with a byte-order mark.
        let mut document = document::Node::parse(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        source::refuse_plan(&document)?;
        overrides::lay(&mut document, overrides)?;
        let file: RecipeFile = read::read(&document)?;
        file.check().map_err(|problem| problem.found_in(&document))
    }

    /// The recipe as TOML, every key written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.file).expect("a recipe holds nothing that TOML cannot")
    }

    /// Hash of all that decides the result.
    pub fn hash(&self) -> String {
        crate::digest::hex(self.decisive().to_toml().as_bytes())
    }

    /// The recipe with every key of [`Self::MAY_CHANGE`] at the same value, so that only what decides the result is left.
    pub(crate) fn decisive(&self) -> Self {
        let mut recipe = self.clone();
        let decisive = &mut recipe.file;
        decisive.data.path = PathBuf::new();
        decisive.data.workers = 0;
        decisive.data.broken_limit = 0.0;
        decisive.train.threads = 0;
        decisive.train.checkpoint_steps = 0;
        decisive.train.keep_checkpoints = 1;
        decisive.train.keep_every = 0;
        decisive.train.evaluate_epochs = 0;
        decisive.train.non_finite_limit = 0;
        recipe
    }

    /// Keys that a resumed run may change: where the data lie, how many threads there are, when it saves and
    /// evaluates, what it keeps and at how many faults it stops.
    pub const MAY_CHANGE: [&str; 9] = [
        "data.path",
        "data.workers",
        "data.broken_limit",
        "train.threads",
        "train.checkpoint_steps",
        "train.keep_checkpoints",
        "train.keep_every",
        "train.evaluate_epochs",
        "train.non_finite_limit",
    ];

    /// The widths that the method trains; the network is built for these.
    pub fn trained_widths(&self) -> WidthRange {
        self.trained_widths
    }

    /// The sizes of inputs that the method trains at, the largest first; for one that trains the full network only, those
    /// it is evaluated at.
    pub fn inputs(&self) -> &[InputSize] {
        &self.inputs
    }

    /// Draws the sub-networks of a step.
    pub fn sampler(&self) -> &SubnetSampler {
        &self.sampler
    }

    /// The rows of the query table: every trained width at every size of input, ascending widths.
    pub fn table_rows(&self) -> &[Subnet] {
        &self.rows
    }

    /// Images per calibration batch.
    pub(crate) fn calibration_batch(&self) -> usize {
        match self.tabulate.calibration_batch {
            0 => self.train.batch,
            images => images,
        }
    }

    /// Whether the network reads images or clips.
    pub fn rank(&self) -> Rank {
        if self.network.frames.is_empty() { Rank::Image } else { Rank::Clip }
    }

    /// The largest input: what the full network sees.
    pub fn largest_input(&self) -> InputSize {
        let frames = self.network.frames.first().copied().unwrap_or_default();
        InputSize { resolution: self.crop(), frames }
    }

    /// The largest resolution: what images are cropped to.
    pub fn crop(&self) -> Resolution {
        self.preprocess.crop
    }

    /// Test-time preprocessing.
    pub fn preprocess(&self) -> Preprocess {
        self.preprocess
    }
}

#[cfg(test)]
mod tests;
