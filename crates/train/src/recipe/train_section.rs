//! `[train]`: the method, the optimizer, and the switches that go beyond the paper.

use std::path::PathBuf;

use mutualnet_core::Subnet;
use serde::{Deserialize, Serialize};

use super::check::refuse;
use super::problem::Problem;
use crate::Method;
use crate::divergence::Divergence;
use crate::schedule::Schedule;
use crate::step_rules::{Regularize, StudentWeights, TeacherKind};
use crate::update::{Clip, Decay, OptimizerConfig, Rule};

/// What a share of something must be.
const SHARE: &str = "from 0 to below 1";
/// A step with more would take minutes.
const MAX_RANDOM_SUBNETS: usize = 64;

/// `[train]`: how the network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Which sub-networks a step trains, and at which resolutions: [methods](methods.md).
    #[serde(default)]
    pub method: Method,
    /// The sub-network that the method `independent` trains, such as `"0.5-160"`: width and resolution.
    #[serde(default, with = "subnet_text", skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Subnet>,
    /// Passes over the training images, at least 1.
    pub epochs: u32,
    /// Stop after this many steps, for a quick trial. Warm-up and fall of the learning rate are squeezed into these steps,
    /// so that the trial ends as a whole run does. Without it, or if the epochs have fewer steps, all epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Images per step, at least 2.
    pub batch: usize,
    /// Learning rate at the end of the warm-up, above 0. It falls to 0 by the last step.
    pub lr: f64,
    /// The curve along which the learning rate falls.
    #[serde(default)]
    pub schedule: Schedule,
    /// Epochs, whole or not, in which the learning rate rises linearly to `lr`; fewer than `epochs`.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// Factor of the learning rate for layers that only an auxiliary output has, above 0.
    #[serde(default = "TrainSection::default_auxiliary_lr_factor")]
    pub auxiliary_lr_factor: f64,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Momentum of SGD, from 0 to below 1.
    #[serde(default = "TrainSection::default_momentum")]
    pub momentum: f64,
    /// Whether SGD uses Nesterov momentum.
    #[serde(default = "TrainSection::default_nesterov")]
    pub nesterov: bool,
    /// AdamW's decay rates of the running means of gradients and of their squares, each from 0 to below 1.
    #[serde(default = "TrainSection::default_betas")]
    pub betas: [f64; 2],
    /// Weight decay, from 0 to below 1: the L2 penalty of SGD, the decoupled decay of AdamW.
    #[serde(default = "TrainSection::default_weight_decay")]
    pub weight_decay: f64,
    /// Which parameters weight decay applies to.
    #[serde(default)]
    pub decay: Decay,
    /// Gradient clipping, such as `{ kind = "norm", limit = 5.0 }`: the keys of `train.clip` below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// Random sub-networks per step besides the full and the smallest one, at most 64.
    #[serde(default = "TrainSection::default_random_subnets")]
    pub random_subnets: usize,
    /// Draw random widths from a grid with this distance; without it, any width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width_step: Option<f64>,
    /// Share of the random sub-networks that are drawn where students lag most, from 0 to 1; only with the method
    /// `mutual`.
    #[serde(default)]
    pub adaptive_sampling: f64,
    /// Share of the steps in which the full network is trained alone, before the students join; from 0 to below 1.
    #[serde(default)]
    pub students_start: f64,
    /// Share of the steps, after `students_start`, in which the weight of the students' losses rises linearly from 0 to 1.
    #[serde(default)]
    pub students_ramp: f64,
    /// Weight of the full network's loss, above 0; those of the students have a weight of 1.
    #[serde(default = "TrainSection::default_full_weight")]
    pub full_weight: f64,
    /// How much the losses of students weigh against each other.
    #[serde(default)]
    pub student_weights: StudentWeights,
    /// Share of a student's loss that it learns from the labels, as the full network does, from 0 to 1; the rest it learns from
    /// its teacher. Without it 1 to detect, and 0 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student_labels: Option<f64>,
    /// Whose output the students learn from: [switches](methods.md#switches).
    #[serde(default)]
    pub teacher: TeacherKind,
    /// How the distance of a student from its teacher is measured.
    #[serde(default)]
    pub divergence: Divergence,
    /// Share of a label that is spread over all classes, from 0 to below 1.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Dropout before the classifier: share of its inputs that are zeroed, from 0 to below 1.
    #[serde(default)]
    pub dropout: f64,
    /// Which networks of a step dropout applies to.
    #[serde(default)]
    pub regularize: Regularize,
    /// Keep a running average of the weights with this decay, from 0 to below 1, such as 0.999; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Start from these weights: a safetensors file of `mutualnet import`, or a bundle; `~/` is the home directory. A network
    /// that segments may start from those of the classification network that it begins with. Without it, from random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Start with every residual branch at zero: the scale of its last batch norm, or the weights of its last
    /// convolution in a pre-activation network. Not together with `init`.
    #[serde(default)]
    pub zero_init_residual: bool,
    /// Start with a random classifier instead of the one in `init`, for other classes.
    #[serde(default)]
    pub new_head: bool,
    /// Whether the batch norms of several processes use the statistics of the whole batch; otherwise each process uses those
    /// of its part.
    #[serde(default)]
    pub sync_batch_norm: bool,
    /// `cpu`, `cuda` or `cuda:N`.
    #[serde(default = "TrainSection::default_device")]
    pub device: String,
    /// Threads of the tensor engine, up to 1024; 0 is one per core. The last digits of a training depend on their number.
    #[serde(default)]
    pub threads: usize,
    /// Steps between checkpoints; 0 is once per epoch.
    #[serde(default)]
    pub checkpoint_steps: u64,
    /// How many of the newest checkpoints are kept.
    #[serde(default = "TrainSection::default_keep_checkpoints")]
    pub keep_checkpoints: usize,
    /// After how many checkpoints one is kept for good: with 10, every tenth; 0 keeps only the newest.
    #[serde(default)]
    pub keep_every: u64,
    /// Epochs between evaluations of the cheapest and the most expensive row on the test images, the last step included; 0
    /// evaluates only when tabulating. The checkpoint with the best mean of the two is kept: `mutualnet tabulate --best`. Its
    /// table is optimistic, because the test images have chosen it.
    #[serde(default)]
    pub evaluate_epochs: u64,
    /// Steps with a NaN or infinite loss or gradient, which are skipped, before the run stops.
    #[serde(default = "TrainSection::default_non_finite_limit")]
    pub non_finite_limit: u64,
}

/// Optimizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// AdamW.
    Adamw,
}

impl TrainSection {
    /// The optimizer and its settings.
    pub fn optimizer(&self) -> OptimizerConfig {
        let Self { momentum, nesterov, betas, weight_decay, decay, auxiliary_lr_factor, .. } = *self;
        let rule = match self.optimizer {
            OptimizerKind::Sgd => Rule::Sgd { momentum, nesterov },
            OptimizerKind::Adamw => Rule::AdamW { betas },
        };
        OptimizerConfig { rule, weight_decay, decay, auxiliary_lr_factor }
    }

    /// Checks what the section says by itself.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let (positive, share) = (|x: f64| x > 0.0 && x.is_finite(), |x: f64| (0.0..1.0).contains(&x));
        refuse([
            (self.epochs == 0, "train.epochs", "at least 1"),
            (self.max_steps == Some(0), "train.max_steps", "at least 1"),
            (self.batch < 2, "train.batch", "at least 2, because batch norm needs several images"),
            (!positive(self.lr), "train.lr", "above 0 and finite"),
            (
                !(0.0..f64::from(self.epochs)).contains(&self.warmup_epochs),
                "train.warmup_epochs",
                "from 0 to below train.epochs",
            ),
            (!share(self.momentum), "train.momentum", SHARE),
            (!self.betas.iter().all(|&beta| share(beta)), "train.betas", "two numbers from 0 to below 1"),
            (!share(self.weight_decay), "train.weight_decay", SHARE),
            (!positive(self.auxiliary_lr_factor), "train.auxiliary_lr_factor", "above 0"),
            (self.clip.is_some_and(|clip| !positive(clip.limit)), "train.clip.limit", "above 0 and finite"),
            (self.random_subnets > MAX_RANDOM_SUBNETS, "train.random_subnets", "at most 64"),
            (!share(self.students_start), "train.students_start", SHARE),
            (
                !(0.0..=1.0 - self.students_start).contains(&self.students_ramp),
                "train.students_ramp",
                "from 0 to 1 - train.students_start",
            ),
            (!positive(self.full_weight), "train.full_weight", "above 0 and finite"),
            (
                self.student_labels.is_some_and(|share| !(0.0..=1.0).contains(&share)),
                "train.student_labels",
                "from 0 to 1",
            ),
            (!share(self.label_smoothing), "train.label_smoothing", SHARE),
            (!share(self.dropout), "train.dropout", SHARE),
            (self.ema.is_some_and(|ema| !share(ema)), "train.ema", SHARE),
            (!(0.0..=1.0).contains(&self.adaptive_sampling), "train.adaptive_sampling", "from 0 to 1"),
        ])?;
        self.check_together()
    }

    /// Checks which keys go together.
    fn check_together(&self) -> Result<(), Problem> {
        let method = self.method.name();
        let students = self.method.has_students();
        let no_students = format!("the method `{method}` has no students, so nothing is taught");
        let rules = [
            (
                self.optimizer == OptimizerKind::Sgd && self.nesterov && self.momentum == 0.0,
                Problem::is("train.nesterov", "needs a momentum above 0")
                    .with_hint("set train.nesterov=false"),
            ),
            (
                self.adaptive_sampling > 0.0 && self.method != Method::Mutual,
                Problem::is("train.adaptive_sampling", "only the method `mutual` has it"),
            ),
            (
                !students && self.teacher != TeacherKind::Full,
                Problem::is("train.teacher", no_students.as_str()),
            ),
            (
                !students && self.divergence != Divergence::Kl,
                Problem::is("train.divergence", no_students.as_str()),
            ),
            (
                !students && (self.students_start > 0.0 || self.students_ramp > 0.0),
                Problem::is("train.students_start", no_students.as_str()),
            ),
            (
                !students && self.student_weights != StudentWeights::Equal,
                Problem::is("train.student_weights", no_students.as_str()),
            ),
            (
                !students && self.student_labels.is_some_and(|share| share > 0.0),
                Problem::is("train.student_labels", no_students.as_str()),
            ),
            (
                !students && self.full_weight != 1.0,
                Problem::is("train.full_weight", no_students.as_str())
                    .with_hint("without students, train.lr has the same effect"),
            ),
            (
                self.teacher == TeacherKind::Ema && self.ema.is_none(),
                Problem::is("train.teacher", "`ema` needs train.ema").with_hint("set train.ema=0.997"),
            ),
            (
                self.method == Method::Independent && self.subnet.is_none(),
                Problem::is("train.method", "`independent` needs train.subnet")
                    .with_hint("name the sub-network to train, such as train.subnet=0.5-160"),
            ),
            (
                self.method != Method::Independent && self.subnet.is_some(),
                Problem::is("train.subnet", "only the method `independent` trains one sub-network")
                    .with_hint("set train.method=independent, or remove train.subnet"),
            ),
            (self.new_head && self.init.is_none(), Problem::is("train.new_head", "needs train.init")),
            (
                self.zero_init_residual && self.init.is_some(),
                Problem::is("train.zero_init_residual", "has no effect on the weights of train.init")
                    .with_hint("remove one of the two"),
            ),
        ];
        rules.into_iter().find(|(is_wrong, _)| *is_wrong).map_or(Ok(()), |(_, problem)| Err(problem))
    }

    fn default_momentum() -> f64 {
        0.9
    }

    fn default_nesterov() -> bool {
        true
    }

    fn default_betas() -> [f64; 2] {
        [0.9, 0.999]
    }

    fn default_auxiliary_lr_factor() -> f64 {
        1.0
    }

    fn default_weight_decay() -> f64 {
        1e-4
    }

    fn default_random_subnets() -> usize {
        2
    }

    fn default_full_weight() -> f64 {
        1.0
    }

    fn default_device() -> String {
        "cpu".to_owned()
    }

    fn default_keep_checkpoints() -> usize {
        2
    }

    fn default_non_finite_limit() -> u64 {
        20
    }
}

/// A sub-network as `"0.5-160"`.
mod subnet_text {
    use mutualnet_core::Subnet;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(subnet: &Option<Subnet>, to: S) -> Result<S::Ok, S::Error> {
        match subnet {
            Some(subnet) => to.collect_str(subnet),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Subnet>, D::Error> {
        String::deserialize(from)?.parse().map(Some).map_err(de::Error::custom)
    }
}
