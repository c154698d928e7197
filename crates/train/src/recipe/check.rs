//! Turns the recipe as written into the checked one.
//!
//! Invariant: the only place that decides whether the numbers of a recipe make sense.

use std::path::{Path, PathBuf};

use mutualnet_bundle::QueryTable;
use mutualnet_core::network::{ChannelRule, List};
use mutualnet_core::sample::{SubnetSampler, WidthChoice};
use mutualnet_core::{
    ClipSampling, Fit, Frames, InputSize, Precision, Preprocess, Subnet, Task, Views, WidthRange,
};
use mutualnet_data::TrainPipeline;

use super::problem::Problem;
use super::{Recipe, RecipeFile, TabulateWeights};
use crate::Method;
use crate::divergence::Divergence;
use crate::step_rules::TeacherKind;
use crate::task::{Detect, Objective};

/// More threads than any machine has.
const MAX_THREADS: usize = 1024;

impl RecipeFile {
    /// Checks everything that does not depend on data and machine.
    pub(super) fn check(mut self) -> Result<Recipe, Problem> {
        self.data.path = expand_home("data.path", &self.data.path)?;
        self.train.init = match &self.train.init {
            Some(path) => Some(expand_home("train.init", path)?),
            None => None,
        };
        self.check_numbers()?;
        self.train.check()?;
        self.train.student_labels = Some(self.student_labels());
        self.check_teacher()?;
        let preprocess = self.preprocess()?;
        let (trained_widths, inputs) = (self.trained_widths(), self.inputs());
        let sampler = self.sampler(trained_widths, &inputs)?;
        let rows = self.table_rows(trained_widths, &inputs)?;
        Ok(Recipe { file: self, trained_widths, inputs, sampler, rows, preprocess })
    }

    /// The share that students learn from the labels, as given or as the task has it.
    fn student_labels(&self) -> f64 {
        let of_task = match self.task {
            Task::Detect if self.train.method.has_students() => Detect::STUDENT_LABELS,
            _ => 0.0,
        };
        self.train.student_labels.unwrap_or(of_task)
    }

    /// Checks what students learn from, and the features that they drop.
    fn check_teacher(&self) -> Result<(), Problem> {
        let (train, detects) = (&self.train, self.task == Task::Detect);
        let untaught = train.student_labels == Some(1.0);
        let from_labels = match detects {
            true => {
                "students of a detector learn from the objects alone, unless train.student_labels is below 1"
            }
            false => "with train.student_labels=1 students learn from no teacher",
        };
        let resolutions = "a detector looks at other boxes at every resolution, so its answers have no mean";
        let wrong = [
            (untaught && train.divergence != Divergence::Kl, "train.divergence", from_labels),
            (untaught && train.teacher != TeacherKind::Full, "train.teacher", from_labels),
            (detects && train.teacher == TeacherKind::Ensemble, "train.teacher", resolutions),
            (detects && train.dropout > 0.0, "train.dropout", "a detector has no dropout"),
        ];
        match wrong.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, key, reason)) => Err(Problem::is(key, reason).with_hint(format!("remove {key}"))),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), Problem> {
        let Self { network, data, tabulate, train, .. } = self;
        let two_stage = network.two_stage.unwrap_or_default();
        let is_no_size = |n: u32| !(1..=4096).contains(&n);
        let fits = |subnet: Subnet| {
            let InputSize { resolution, frames } = subnet.input;
            let is_seen = network.resolutions.contains(&resolution) && self.frames().contains(&frames);
            network.widths.contains(subnet.width) && is_seen
        };
        refuse([
            (network.resolutions.is_empty(), "network.resolutions", "a list of at least one"),
            (
                !network.resolutions.is_sorted_by(|a, b| a > b),
                "network.resolutions",
                "largest first, each of them once",
            ),
            (
                train.subnet.is_some_and(|subnet| !fits(subnet)),
                "train.subnet",
                "a width within network.widths, one of network.resolutions, and one of network.frames if there are any",
            ),
            (
                !network.frames.is_sorted_by(|a, b| a > b),
                "network.frames",
                "largest first, each of them once",
            ),
            (
                !network.frames.is_empty() && self.task != Task::Classify,
                "network.frames",
                "left out: networks that segment or detect read images",
            ),
            (
                network
                    .fast_frames
                    .is_some_and(|fast| network.frames.first().is_none_or(|&most| most > fast)),
                "network.fast_frames",
                "at least the first of network.frames, which must be set",
            ),
            (
                !(1..=ClipSampling::MAX_STRIDE).contains(&data.frame_stride),
                "data.frame_stride",
                "from 1 to 256",
            ),
            (
                network.frames.is_empty() && data.frame_stride != 1,
                "data.frame_stride",
                "1: only clips have a stride, and network.frames is not set",
            ),
            (
                !(1..=ChannelRule::MAX_DIVISOR).contains(&network.channel_divisor),
                "network.channel_divisor",
                "from 1 to 64",
            ),
            (
                network.slim_head && self.task == Task::Classify,
                "network.slim_head",
                "false: only networks that segment or detect have a head that can be slimmed",
            ),
            (
                two_stage.regions == 0 || two_stage.regions > List::MAX_REGIONS,
                "network.two_stage.regions",
                "from 1 to 10000",
            ),
            (is_no_size(two_stage.pyramid_channels), "network.two_stage.pyramid_channels", "from 1 to 4096"),
            (is_no_size(two_stage.box_features), "network.two_stage.box_features", "from 1 to 4096"),
            (is_no_size(two_stage.mask_channels), "network.two_stage.mask_channels", "from 1 to 4096"),
            (two_stage.mask_layers > 64, "network.two_stage.mask_layers", "at most 64"),
            (
                data.longest_side.is_some() && self.task == Task::Classify,
                "data.longest_side",
                "for networks that segment or detect: the others see a square of the image",
            ),
            (data.path.as_os_str().is_empty(), "data.path", "a path"),
            (
                !(data.train_share > 0.0 && data.train_share <= 1.0),
                "data.train_share",
                "above 0 and at most 1",
            ),
            (!(0.0..=1.0).contains(&data.broken_limit), "data.broken_limit", "from 0 to 1"),
            (data.workers > MAX_THREADS, "data.workers", "at most 1024; 0 is one per core"),
            (train.threads > MAX_THREADS, "train.threads", "at most 1024; 0 is one per core"),
            (train.keep_checkpoints == 0, "train.keep_checkpoints", "1 or more"),
            (tabulate.calibration_batches == 0, "tabulate.calibration_batches", "at least 1"),
            (tabulate.calibration_batch == 1, "tabulate.calibration_batch", "0, or at least 2"),
            (
                tabulate.precisions.first() != Some(&Precision::F32)
                    || !tabulate.precisions.is_sorted_by(|a, b| a < b),
                "tabulate.precisions",
                "[\"f32\"] or [\"f32\", \"bf16\"]",
            ),
            (tabulate.latency_runs == 0, "tabulate.latency_runs", "at least 1"),
        ])?;
        if tabulate.weights == TabulateWeights::Ema && train.ema.is_none() {
            return Err(
                Problem::is("tabulate.weights", "`ema` needs train.ema").with_hint("set train.ema=0.999")
            );
        }
        Ok(())
    }

    fn preprocess(&self) -> Result<Preprocess, Problem> {
        let (data, crop) = (&self.data, self.network.resolutions[0]);
        let preprocess = Preprocess {
            fit: if data.longest_side.is_some() { Fit::Whole } else { self.task.sees() },
            resize: data.resize,
            longest_side: data.longest_side,
            clip: self.clip_sampling(),
            views: Views { clips: self.tabulate.views, crops: self.tabulate.crops },
            ..Preprocess::center_crop(crop, data.mean, data.std)
        };
        if let Err(error) = preprocess.check() {
            return Err(match error {
                mutualnet_core::Error::Preprocess { key, reason, hint } => {
                    let hint =
                        hint.map(|hint| hint.replace("mean=", "data.mean=").replace("std=", "data.std="));
                    let section = if matches!(key, "views" | "crops") { "tabulate" } else { "data" };
                    Problem { hint, ..Problem::is(&format!("{section}.{key}"), reason) }
                }
                other => Problem::is("data", other.to_string()),
            });
        }
        TrainPipeline::new_for(self.task, data.augment, &preprocess).map_err(|error| match error {
            mutualnet_data::Error::Setting { setting, reason } => {
                Problem::is(&format!("data.augment.{setting}"), reason)
            }
            other => Problem::is("data.augment", other.to_string()),
        })?;
        Ok(preprocess)
    }

    fn trained_widths(&self) -> WidthRange {
        let only = |width| WidthRange::new(width, width).expect("a width is not above itself");
        match (self.train.method, self.train.subnet) {
            (Method::Independent, Some(subnet)) => only(subnet.width),
            (method, _) if method.has_students() => self.network.widths,
            _ => only(self.network.widths.full()),
        }
    }

    fn inputs(&self) -> Vec<InputSize> {
        if let Some(subnet) = self.train.subnet {
            return vec![subnet.input];
        }
        let frames = self.frames();
        let of = |&resolution| frames.iter().map(move |&frames| InputSize { resolution, frames });
        self.network.resolutions.iter().flat_map(of).collect()
    }

    /// The numbers of frames of an input; that of an image is one.
    fn frames(&self) -> &[Frames] {
        match self.network.frames.as_slice() {
            [] => &[Frames::ONE],
            frames => frames,
        }
    }

    fn clip_sampling(&self) -> Option<ClipSampling> {
        let &most = self.network.frames.first()?;
        let frames = self.network.fast_frames.unwrap_or(most);
        Some(ClipSampling { frames, stride: self.data.frame_stride })
    }

    fn sampler(&self, range: WidthRange, inputs: &[InputSize]) -> Result<SubnetSampler, Problem> {
        let method = self.train.method;
        let widths = match self.train.width_step {
            Some(step) => WidthChoice::Grid(grid("train.width_step", range, step)?),
            None => WidthChoice::Continuous(range),
        };
        Ok(SubnetSampler {
            widths,
            inputs: inputs.to_vec(),
            input_choice: method.input_choice(),
            n_random: method.has_students().then_some(self.train.random_subnets),
        })
    }

    fn table_rows(&self, range: WidthRange, inputs: &[InputSize]) -> Result<Vec<Subnet>, Problem> {
        let (key, most) = ("tabulate.width_step", QueryTable::MAX_ROWS);
        let widths = grid(key, range, self.tabulate.width_step)?;
        let n = widths.len() * inputs.len() * self.tabulate.precisions.len();
        if n > most {
            return Err(Problem::is(key, format!("a table of {n} rows is above the limit of {most}")));
        }
        let rows =
            widths.into_iter().flat_map(|width| inputs.iter().map(move |&input| Subnet { width, input }));
        Ok(rows.collect())
    }
}

/// Refuses the first number that is wrong; the rules are whether it is wrong, its key and what it must be.
pub(super) fn refuse<const N: usize>(rules: [(bool, &str, &str); N]) -> Result<(), Problem> {
    match rules.into_iter().find(|(is_wrong, ..)| *is_wrong) {
        Some((_, key, must)) => Err(Problem::must_be(key, must)),
        None => Ok(()),
    }
}

fn grid(key: &str, range: WidthRange, step: f64) -> Result<Vec<mutualnet_core::Width>, Problem> {
    range.grid(step).map_err(|_| Problem::must_be(key, "above 0 and at most 8"))
}

/// `~/data` as a path: shells leave it alone in `data.path=~/data`.
fn expand_home(key: &str, path: &Path) -> Result<PathBuf, Problem> {
    let Ok(rest) = path.strip_prefix("~") else {
        let is_user = path
            .components()
            .next()
            .is_some_and(|first| first.as_os_str().to_string_lossy().starts_with('~') && !path.exists());
        if is_user {
            return Err(Problem::is(key, "only `~/` is understood, not the home of another user"));
        }
        return Ok(path.to_owned());
    };
    match std::env::home_dir() {
        Some(home) => Ok(home.join(rest)),
        None => Err(Problem::is(key, "`~` is the home directory, but HOME is not set")),
    }
}
