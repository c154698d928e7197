//! `[train]`: the method, the optimizer, and the switches that go beyond the paper.

use std::path::PathBuf;

use mutualnet_core::Subnet;
use serde::{Deserialize, Serialize};

use crate::Method;
use crate::schedule::Schedule;
use crate::step_rules::{Divergence, Regularize, TeacherKind};
use crate::update::{Clip, Decay, OptimizerConfig, Rule};

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Which sub-networks a step trains: `mutual`, `us`, `us-multi-scale`, `multi-scale`, `plain`, `independent`.
    #[serde(default)]
    pub method: Method,
    /// The sub-network that `independent` trains, e.g. `"0.5-160"`.
    #[serde(default, with = "subnet_text", skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Subnet>,
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step.
    pub batch: usize,
    /// Learning rate after warm-up; falls to 0 after `schedule`.
    pub lr: f64,
    /// The curve along which the learning rate falls: `cosine`, `linear`.
    #[serde(default)]
    pub schedule: Schedule,
    /// Epochs (whole or not) in which the learning rate rises linearly to `lr`.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// `sgd`, `adamw`.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Momentum of SGD.
    #[serde(default = "TrainSection::default_momentum")]
    pub momentum: f64,
    /// Nesterov's form of momentum, in SGD.
    #[serde(default = "TrainSection::default_nesterov")]
    pub nesterov: bool,
    /// Shares of AdamW's running means that stay.
    #[serde(default = "TrainSection::default_betas")]
    pub betas: [f64; 2],
    /// L2 penalty of SGD; decoupled decay of AdamW.
    #[serde(default = "TrainSection::default_weight_decay")]
    pub weight_decay: f64,
    /// Which parameters the penalty applies to.
    #[serde(default)]
    pub decay: Decay,
    /// Bound on the gradient of a step, e.g. `{ kind = "norm", limit = 5.0 }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// Random sub-networks per step, besides the full and the smallest.
    #[serde(default = "TrainSection::default_random_subnets")]
    pub random_subnets: usize,
    /// Draw widths from a grid of this step instead of continuously.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width_step: Option<f64>,
    /// Share of the random sub-networks that are drawn where students lag most; only with `mutual`.
    #[serde(default)]
    pub adaptive_sampling: f64,
    /// Whose output students learn from: `full`, `ema`, `ensemble`.
    #[serde(default)]
    pub teacher: TeacherKind,
    /// How far a student is from its teacher: `kl`, `alpha`.
    #[serde(default)]
    pub divergence: Divergence,
    /// Share of a label that is spread over all classes.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Share of the classifier's inputs that are left out.
    #[serde(default)]
    pub dropout: f64,
    /// Which networks of a step dropout applies to: `all`, `full`.
    #[serde(default)]
    pub regularize: Regularize,
    /// Share of a running average of the weights that stays in each step; without it none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// First weights: a safetensors file of `mutualnet import`, or a bundle; without it random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Start with every residual branch at zero: its last batch norm's scale, or its last convolution's weight in
    /// a pre-activation network.
    #[serde(default)]
    pub zero_init_residual: bool,
    /// Take a random classifier instead of the one in `init`: for other classes.
    #[serde(default)]
    pub new_head: bool,
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

/// Names of the update rules.
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
    /// The optimizer's part.
    pub fn optimizer(&self) -> OptimizerConfig {
        let Self { momentum, nesterov, betas, weight_decay, decay, .. } = *self;
        let rule = match self.optimizer {
            OptimizerKind::Sgd => Rule::Sgd { momentum, nesterov },
            OptimizerKind::Adamw => Rule::AdamW { betas },
        };
        OptimizerConfig { rule, weight_decay, decay }
    }

    /// What is wrong with the section by itself.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let (positive, share) = (|x: f64| x > 0.0 && x.is_finite(), |x: f64| (0.0..1.0).contains(&x));
        let students = self.method.has_students();
        let wrong = [
            (self.epochs == 0, "train.epochs: at least 1"),
            (self.batch < 2, "train.batch: at least 2, batch norm needs a batch"),
            (!positive(self.lr), "train.lr: above 0"),
            (
                !(0.0..f64::from(self.epochs)).contains(&self.warmup_epochs),
                "train.warmup_epochs: from 0 to below train.epochs",
            ),
            (!share(self.momentum), "train.momentum: from 0 to below 1"),
            (self.nesterov && self.momentum == 0.0, "train.nesterov: needs a momentum"),
            (!self.betas.iter().all(|&beta| share(beta)), "train.betas: both from 0 to below 1"),
            (!share(self.weight_decay), "train.weight_decay: from 0 to below 1"),
            (self.clip.is_some_and(|clip| !positive(clip.limit)), "train.clip.limit: above 0"),
            (!share(self.label_smoothing), "train.label_smoothing: from 0 to below 1"),
            (!share(self.dropout), "train.dropout: from 0 to below 1"),
            (self.ema.is_some_and(|ema| !share(ema)), "train.ema: from 0 to below 1"),
            (!(0.0..=1.0).contains(&self.adaptive_sampling), "train.adaptive_sampling: from 0 to 1"),
            (
                self.adaptive_sampling > 0.0 && self.method != Method::Mutual,
                "train.adaptive_sampling: only with train.method = \"mutual\"",
            ),
            (
                !students && self.teacher != TeacherKind::Full,
                "train.teacher: this train.method has no students",
            ),
            (
                !students && self.divergence != Divergence::Kl,
                "train.divergence: this train.method has no students",
            ),
            (
                self.teacher == TeacherKind::Ema && self.ema.is_none(),
                "train.teacher: `ema` needs a train.ema, e.g. 0.997",
            ),
            (
                (self.method == Method::Independent) != self.subnet.is_some(),
                "train.subnet: goes with train.method = \"independent\", and only with it",
            ),
            (self.new_head && self.init.is_none(), "train.new_head: needs a train.init"),
            (
                self.zero_init_residual && self.init.is_some(),
                "train.zero_init_residual: has no effect on the weights of train.init, leave one of them out",
            ),
        ];
        wrong.into_iter().find(|(is_wrong, _)| *is_wrong).map_or(Ok(()), |(_, reason)| Err(reason))
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
