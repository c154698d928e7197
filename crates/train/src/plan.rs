//! The plan: everything about a run that follows from recipe and data, known before it begins.

use std::path::Path;

use mutualnet_bundle::write_atomically;
use mutualnet_core::network::{List, Rank};
use mutualnet_core::text::shown;
use mutualnet_core::{Macs, Network, Subnet, Task, WidthRange};
use mutualnet_data::Dataset;
use mutualnet_detect::coco::{Problem, Subject};
use mutualnet_engine::{Device, EngineError};
use mutualnet_zoo::{Head, NetworkConfig, Purpose, Variant};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Keep;
use crate::events::{Event, EventLog};
use crate::recipe::Recipe;
use crate::schedule::{LearningRate, StudentRamp};
use crate::{Error, Result, init};

mod cost;
pub(crate) use cost::StepCost;

mod narrow;
pub use narrow::too_narrow;

const FORMAT_VERSION: u32 = 1;

/// What will be run; stored as `plan.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of the file format.
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
    /// Training images, after `data.train_share`.
    pub n_train: usize,
    /// Test images.
    pub n_test: usize,
    /// Steps of one epoch. A last, incomplete batch is dropped.
    pub steps_per_epoch: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// MACs of the full network at the largest resolution, as in the table: without the outputs that only training has.
    pub full_macs: Macs,
    /// MACs of the narrowest network at the smallest resolution.
    pub smallest_macs: Macs,
    /// Expected MACs of a step, relative to a step that trains only the widest network at the largest resolution.
    pub relative_cost: f64,
    /// Parameters of the full network, all of which are trained.
    pub params: u64,
    /// Rows that the query table will have.
    pub rows: usize,
    /// Hash of the keys of the recipe that decide the result.
    pub recipe_sha256: String,
    /// Hash of the file names and sizes that are trained on.
    pub train_sha256: String,
    /// Hash of the test split's file names and sizes.
    pub test_sha256: String,
    /// Hash of the file of `train.init`, once the run has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_sha256: Option<String>,
}

/// A plan together with what it was made from.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The network that is trained.
    pub network: Network,
    /// The network that is tabulated and goes into the bundle: without the outputs that only training has.
    pub shipped: Network,
    /// Images to train on.
    pub train: Dataset,
    /// Images to evaluate on.
    pub test: Dataset,
    /// What a run that is about to start takes from `train.init`, in words, and what starts random; `None` if all or none of
    /// its weights are from there.
    pub first_weights: Option<String>,
}

impl Planned {
    /// Logs what users should know about the data and the network before a long run.
    pub(crate) fn tell_notices(&self, log: &mut EventLog<'_>) -> Result<()> {
        for dataset in [&self.train, &self.test] {
            for notice in dataset.notices() {
                let text = format!("{notice}: {}", shown(dataset.dir()));
                log.log(&if notice.is_warning() { Event::Warning { text } } else { Event::Notice { text } })?;
            }
        }
        if let Some(text) = &self.first_weights {
            log.log(&Event::Notice { text: text.clone() })?;
        }
        match too_narrow(&self.network) {
            Some(text) => log.log(&Event::Warning { text }),
            None => Ok(()),
        }
    }
}

/// What a plan needs to know about the data.
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
    /// Indexes the data and makes the plan.
    ///
    /// # Errors
    /// The data are missing, the splits do not fit each other, there is less than a batch, or the network cannot be built.
    pub fn make(recipe: &Recipe) -> Result<Planned> {
        check_rank(recipe)?;
        let data = &recipe.data;
        let open = |split: &str| Dataset::open_for(recipe.task, recipe.rank(), &data.path, split);
        let (train, test) = (open(&data.train)?, open(&data.test)?);
        train.check_same_classes(&test)?;
        // The whole split counts, whatever share of it is trained on.
        let test = test.noting_overlap(&train);
        let train = train.share(data.train_share)?;
        let train = match recipe.preprocess().clip {
            Some(sampling) => train.noting_short(sampling),
            None => train,
        };
        let facts = DataFacts {
            classes: train.classes().to_vec(),
            n_train: train.samples().len(),
            n_test: test.samples().len(),
            train_sha256: train.hash(),
            test_sha256: test.hash(),
        };
        let (plan, network) = Self::of(recipe, facts)?;
        for (split, missing) in [(&train, "nothing to learn"), (&test, "nothing to measure")] {
            let Some(truth) = split.truth().filter(|truth| truth.annotations().is_empty()) else { continue };
            let of_annotations = |problem: &&Problem| {
                matches!(problem.subject, Subject::Annotation(_) | Subject::AnnotationNumber(_))
            };
            let reason = match truth.problems().iter().find(of_annotations) {
                Some(first) => {
                    format!("no annotation can be used, so there is {missing}; the first: {first}")
                }
                None => format!("no image has an annotation, so there is {missing}"),
            };
            return Err(Error::Data { reason, path: split.dir().to_owned() });
        }
        let train = if network.list(List::MASK).is_ok() { with_masks(&network, train)? } else { train };
        let shipped = network_for(Purpose::Inference, recipe, plan.derived.classes.len())?;
        Ok(Planned { plan, network, shipped, train, test, first_weights: None })
    }

    /// As [`Self::make`], for a run that is about to start: refuses whatever would stop it before its first step.
    ///
    /// # Errors
    /// As [`Self::make`]; or the device is not available, or the first weights are missing or do not fit.
    pub fn start(recipe: &Recipe) -> Result<Planned> {
        Device::parse(&recipe.train.device)?;
        let planned = Self::make(recipe)?;
        let first_weights = first_weights(recipe, &planned.network)?;
        Ok(Planned { first_weights, ..planned })
    }

    /// As [`Self::start`], for data of which only `facts` are known, on another machine perhaps: the device may be missing here.
    ///
    /// # Errors
    /// As [`Self::of`]; or there is no device of that name, or the first weights are missing or do not fit.
    pub fn start_of(recipe: &Recipe, facts: DataFacts) -> Result<(Self, Network)> {
        match Device::parse(&recipe.train.device) {
            Ok(_) | Err(EngineError::NoSuchDevice { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (plan, network) = Self::of(recipe, facts)?;
        first_weights(recipe, &network)?;
        Ok((plan, network))
    }

    /// Makes a plan for data of which only `facts` are known.
    ///
    /// # Errors
    /// There are fewer images than a batch, or the network cannot be built.
    pub fn of(recipe: &Recipe, facts: DataFacts) -> Result<(Self, Network)> {
        check_rank(recipe)?;
        let DataFacts { classes, n_train, n_test, train_sha256, test_sha256 } = facts;
        let samples = recipe.rank().samples();
        let steps_per_epoch = (n_train / recipe.train.batch) as u64;
        if steps_per_epoch == 0 {
            let reason =
                format!("{n_train} training {samples} are fewer than a batch of {}", recipe.train.batch);
            return Err(Error::Data { reason, path: recipe.data.path.clone() });
        }
        if recipe.tabulate.calibration_batch > n_train {
            let images = recipe.tabulate.calibration_batch;
            let reason =
                format!("{n_train} training {samples} are fewer than tabulate.calibration_batch, {images}");
            return Err(Error::Data { reason, path: recipe.data.path.clone() });
        }
        let all_steps = steps_per_epoch * u64::from(recipe.train.epochs);
        let network = network(recipe, classes.len())?;
        recipe.task.check(&network)?;
        let shipped = network_for(Purpose::Inference, recipe, classes.len())?;
        let full_macs = shipped.macs(Subnet { width: network.widths().full(), input: recipe.inputs()[0] })?;
        let derived = Derived {
            n_train,
            n_test,
            steps_per_epoch,
            total_steps: recipe.train.max_steps.unwrap_or(u64::MAX).min(all_steps),
            full_macs,
            smallest_macs: shipped.macs(smallest(recipe))?,
            relative_cost: cost::relative(recipe, classes.len())?,
            params: network.params(network.widths().full())?,
            rows: recipe.table_rows().len(),
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

    /// Whether rows are evaluated after `step` steps.
    pub(crate) fn evaluates_after(&self, step: u64) -> bool {
        let every = self.recipe.train.evaluate_epochs.saturating_mul(self.derived.steps_per_epoch);
        every > 0 && (step.is_multiple_of(every) || step == self.derived.total_steps)
    }

    /// How many times rows are evaluated.
    pub fn evaluations(&self) -> u64 {
        match self.recipe.train.evaluate_epochs.saturating_mul(self.derived.steps_per_epoch) {
            0 => 0,
            every => self.derived.total_steps.div_ceil(every),
        }
    }

    /// Which checkpoints stay when that of `step` is written.
    pub(crate) fn keep(&self, step: u64) -> Keep {
        let train = &self.recipe.train;
        let for_good = train.keep_every > 0
            && step.is_multiple_of(train.keep_every.saturating_mul(self.checkpoint_steps()));
        Keep { newest: train.keep_checkpoints, for_good }
    }

    /// The learning rate over the run. A run that `train.max_steps` cuts short goes through its whole schedule in these
    /// steps, warm-up included.
    pub fn learning_rate(&self) -> LearningRate {
        let (train, derived) = (&self.recipe.train, &self.derived);
        let share = derived.total_steps as f64 / self.all_steps() as f64;
        LearningRate {
            peak: train.lr,
            schedule: train.schedule,
            warmup_steps: (train.warmup_epochs * derived.steps_per_epoch as f64 * share).round() as u64,
            total_steps: derived.total_steps,
        }
    }

    /// When the students join.
    pub fn student_ramp(&self) -> StudentRamp {
        let (train, total) = (&self.recipe.train, self.derived.total_steps as f64);
        StudentRamp {
            start_steps: (train.students_start * total).round() as u64,
            ramp_steps: (train.students_ramp * total).round() as u64,
        }
    }

    /// Steps and images or clips of the run, in words.
    pub fn extent(&self) -> String {
        let (train, derived) = (&self.recipe.train, &self.derived);
        let samples = self.recipe.rank().samples();
        let (batch, total, all) = (train.batch, derived.total_steps, self.all_steps());
        if total < all {
            return format!(
                "{total} of {batch} {samples} (train.max_steps; {} epochs have {all})",
                train.epochs
            );
        }
        let (epochs, per_epoch) = (train.epochs, derived.steps_per_epoch);
        format!("{epochs} epochs × {per_epoch} steps of {batch} {samples} = {total}")
    }

    /// Steps of all epochs.
    fn all_steps(&self) -> u64 {
        self.derived.steps_per_epoch * u64::from(self.recipe.train.epochs)
    }

    /// Reads a stored plan.
    ///
    /// # Errors
    /// There is none, or it is of another version.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::NoRun { what: "the plan of a run", path: path.to_owned() });
        }
        Self::from_text(&std::fs::read_to_string(path).map_err(|source| Error::read(path, source))?, path)
    }

    /// The plan in the text of the file at a path.
    pub(crate) fn from_text(text: &str, path: &Path) -> Result<Self> {
        let wrong = |reason| Error::Format { what: "plan", reason, path: path.to_owned() };
        let plan: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if plan.format_version != FORMAT_VERSION {
            return Err(wrong(format!(
                "format version {} (this program reads {FORMAT_VERSION})",
                plan.format_version
            )));
        }
        Ok(plan)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        Ok(write_atomically(path, self.to_text().as_bytes())?)
    }

    pub(crate) fn to_text(&self) -> String {
        toml::to_string(self).expect("a plan holds nothing that TOML cannot")
    }
}

/// Whether the recipe has frames if the network reads clips, and none if it reads images; and so for a Fast pathway.
fn check_rank(recipe: &Recipe) -> Result<()> {
    let network = recipe.network.name.clone();
    // Of a network that is in no family, building it says what is wrong.
    let Some(family) = mutualnet_zoo::family(&network) else { return Ok(()) };
    match (family.rank(), recipe.rank()) {
        (Rank::Clip, Rank::Image) => return Err(Error::NoFrames { network }),
        (Rank::Image, Rank::Clip) => return Err(Error::ReadsImages { network }),
        _ => {}
    }
    match (family.clip(&network).and_then(|clip| clip.fast), recipe.network.fast_frames) {
        (Some([published, ..]), None) => Err(Error::NoFastFrames { network, published }),
        (None, Some(_)) => Err(Error::NoFastPathway { network }),
        _ => Ok(()),
    }
}

/// Reads the weights of `train.init`, and tells what comes from where.
fn first_weights(recipe: &Recipe, network: &Network) -> Result<Option<String>> {
    match &recipe.train.init {
        Some(path) => Ok(init::read(recipe, network, path, Device::Cpu)?.notice),
        None => Ok(None),
    }
}

/// The training data of a network that draws masks, if there are some to learn from.
fn with_masks(network: &Network, train: Dataset) -> Result<Dataset> {
    let objects = train.truth().map(|truth| truth.annotations()).unwrap_or_default();
    if objects.iter().any(|object| object.shape.is_some()) {
        return Ok(train.with_object_masks());
    }
    let reason = format!("{} draws masks, and no training annotation has a segmentation", network.name());
    Err(Error::Data { reason, path: train.dir().to_owned() })
}

/// The network that the recipe trains, for a number of classes.
pub(crate) fn network(recipe: &Recipe, classes: usize) -> Result<Network> {
    network_for(Purpose::Training, recipe, classes)
}

fn network_for(purpose: Purpose, recipe: &Recipe, classes: usize) -> Result<Network> {
    build(purpose, recipe, recipe.trained_widths(), classes)
}

/// The recipe's network at other widths.
fn build(purpose: Purpose, recipe: &Recipe, widths: WidthRange, classes: usize) -> Result<Network> {
    let section = &recipe.network;
    let config = NetworkConfig { classes, widths, output_stride: section.output_stride };
    let head = if section.slim_head { Head::Slim } else { Head::Whole };
    let variant = Variant { purpose, head, two_stage: section.two_stage.unwrap_or_default() };
    let network = mutualnet_zoo::build_for(variant, &section.name, &config)?;
    if network.list(List::BOX).is_err() {
        let of_detectors = recipe.data.longest_side.filter(|_| recipe.task == Task::Detect);
        let needs_regions = [
            ("network.two_stage", section.two_stage.is_some()),
            ("data.longest_side", of_detectors.is_some()),
        ];
        if let Some((key, _)) = needs_regions.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::NoRegions { network: section.name.clone(), key });
        }
    }
    let network = network.with_channel_divisor(section.channel_divisor)?;
    let side = recipe.crop().get();
    Ok(match section.fast_frames {
        Some(frames) => network.with_whole_clip([frames.get(), side, side])?,
        None => network,
    })
}

fn smallest(recipe: &Recipe) -> Subnet {
    let inputs = recipe.inputs();
    Subnet { width: recipe.trained_widths().smallest(), input: inputs[inputs.len() - 1] }
}

#[cfg(test)]
mod tests;
