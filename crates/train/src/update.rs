//! Optimizers: SGD and AdamW, with and without weight decay per parameter, and gradient clipping.

use std::collections::BTreeMap;

use mutualnet_engine::{AdamWStep, FusedAdamW, FusedSgd, SgdStep, Tensor};
use mutualnet_nn::Parameters;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which parameters weight decay applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Weights of dense convolutions and linear layers, as the reference does on ImageNet.
    #[default]
    Weights,
    /// All parameters, as the reference does on CIFAR.
    All,
}

/// Settings of an optimizer besides the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimizerConfig {
    /// The update rule.
    pub rule: Rule,
    /// L2 penalty of SGD, decoupled decay of AdamW.
    pub weight_decay: f64,
    /// Which parameters the penalty applies to.
    pub decay: Decay,
    /// How many times the learning rate is that of layers that only auxiliary outputs have.
    pub auxiliary_lr_factor: f64,
}

/// Update rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last update that is kept.
        momentum: f64,
        /// Whether to use Nesterov momentum.
        nesterov: bool,
    },
    /// AdamW, with PyTorch's eps of 1e-8.
    AdamW {
        /// Decay rates of the running means of gradients and of their squares.
        betas: [f64; 2],
    },
}

const ADAMW_EPS: f64 = 1e-8;

/// Gradient clipping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// What is clipped.
    pub kind: ClipKind,
    /// The largest value allowed, above 0.
    pub limit: f64,
}

/// What a [`Clip`] limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipKind {
    /// The Euclidean norm of all gradients together, by scaling them down.
    Norm,
    /// Every element of the gradients `[AlphaNet]`.
    Value,
}

impl Clip {
    /// Clips the gradients in place.
    ///
    /// # Errors
    /// The engine refused.
    pub fn apply(self, gradients: &mut [Tensor]) -> Result<()> {
        match self.kind {
            ClipKind::Value => {
                for gradient in gradients {
                    gradient.clamp_(self.limit)?;
                }
            }
            ClipKind::Norm => {
                let norms = gradients.iter().map(|gradient| gradient.norm()?.scalar());
                let squares = norms.map(|norm| Ok(norm?.powi(2)));
                let norm = squares.sum::<Result<f64, mutualnet_engine::EngineError>>()?.sqrt();
                if norm > self.limit {
                    for gradient in gradients {
                        gradient.scale_(self.limit / norm)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// State of an optimizer by name, one tensor per parameter: `momentum` (SGD's momentum, or AdamW's mean of gradients)
/// and `square` (AdamW's mean of squared gradients).
pub type Buffers = BTreeMap<&'static str, Vec<Tensor>>;

const MOMENTUM: &str = "momentum";
const SQUARE: &str = "square";

/// An optimizer: which parameters decay, and the state of each.
#[derive(Debug)]
pub struct Optimizer {
    groups: [Group; 4],
    rule: Rule,
}

#[derive(Debug)]
struct Group {
    /// Indices of its parameters, ascending.
    members: Vec<usize>,
    weight_decay: f64,
    /// How many times the learning rate its own is.
    lr_factor: f64,
    fused: Fused,
}

#[derive(Debug)]
enum Fused {
    Sgd(FusedSgd),
    AdamW(FusedAdamW),
}

impl Optimizer {
    /// All names that its [`Buffers`] can have.
    pub const BUFFERS: [&'static str; 2] = [MOMENTUM, SQUARE];

    /// An optimizer before its first step.
    ///
    /// # Errors
    /// The engine has no memory for its buffers.
    pub fn new(parameters: &Parameters, config: &OptimizerConfig) -> Result<Self> {
        Self::build(parameters, config, |members| {
            let tensors = pick(parameters.tensors(), members);
            Ok(match config.rule {
                Rule::Sgd { .. } => Fused::Sgd(FusedSgd::new(&tensors)?),
                Rule::AdamW { .. } => Fused::AdamW(FusedAdamW::new(&tensors)?),
            })
        })
    }

    /// An optimizer with the buffers that another one had after `n_steps` steps, of every parameter in order.
    ///
    /// # Errors
    /// A buffer is missing.
    pub fn resume(
        parameters: &Parameters,
        config: &OptimizerConfig,
        buffers: &Buffers,
        n_steps: u64,
    ) -> Result<Self> {
        let pick = |what: &str, members: &[usize]| -> Result<Vec<Tensor>> {
            let missing = || Error::MissingPart { part: what.to_owned() };
            let tensors = buffers.get(what).ok_or_else(missing)?;
            Ok(members.iter().map(|&idx| tensors[idx].alias()).collect())
        };
        Self::build(parameters, config, |members| {
            Ok(match config.rule {
                Rule::Sgd { .. } => Fused::Sgd(FusedSgd::resume(pick(MOMENTUM, members)?)),
                Rule::AdamW { .. } => {
                    let (means, squares) = (pick(MOMENTUM, members)?, pick(SQUARE, members)?);
                    Fused::AdamW(FusedAdamW::resume(means, squares, n_steps))
                }
            })
        })
    }

    fn build(
        parameters: &Parameters,
        config: &OptimizerConfig,
        fused: impl Fn(&[usize]) -> Result<Fused>,
    ) -> Result<Self> {
        let group = |is_auxiliary: bool, decays: bool| {
            let members: Vec<_> = (0..parameters.list().len())
                .filter(|&idx| {
                    let parameter = &parameters.list()[idx];
                    let own_decays = config.decay == Decay::All || parameter.kind.decays();
                    (parameter.is_auxiliary, own_decays) == (is_auxiliary, decays)
                })
                .collect();
            let weight_decay = if decays { config.weight_decay } else { 0.0 };
            let lr_factor = if is_auxiliary { config.auxiliary_lr_factor } else { 1.0 };
            Ok::<_, Error>(Group { fused: fused(&members)?, members, weight_decay, lr_factor })
        };
        let groups = [group(false, true)?, group(false, false)?, group(true, true)?, group(true, false)?];
        Ok(Self { groups, rule: config.rule })
    }

    /// Updates every parameter in place.
    ///
    /// # Errors
    /// The engine refused.
    pub fn step(&mut self, parameters: &Parameters, gradients: &[Tensor], lr: f64) -> Result<()> {
        let rule = self.rule;
        for group in self.groups.iter_mut().filter(|group| !group.members.is_empty()) {
            group.step(rule, parameters, gradients, lr)?;
        }
        Ok(())
    }

    /// The state of every parameter in the order of the network; empty before the first step.
    pub fn buffers(&self) -> Buffers {
        let mut found: BTreeMap<&'static str, BTreeMap<usize, Tensor>> = BTreeMap::new();
        for Group { members, fused, .. } in &self.groups {
            for (what, buffers) in fused.buffers() {
                let buffers = buffers.iter().map(Tensor::alias);
                found.entry(what).or_default().extend(members.iter().copied().zip(buffers));
            }
        }
        found.into_iter().map(|(what, buffers)| (what, buffers.into_values().collect())).collect()
    }
}

impl Group {
    fn step(&mut self, rule: Rule, parameters: &Parameters, gradients: &[Tensor], lr: f64) -> Result<()> {
        let Self { members, weight_decay, lr_factor, fused } = self;
        let (weight_decay, lr) = (*weight_decay, lr * *lr_factor);
        let (tensors, gradients) = (pick(parameters.tensors(), members), pick(gradients, members));
        match (fused, rule) {
            (Fused::Sgd(sgd), Rule::Sgd { momentum, nesterov }) => {
                sgd.step(&tensors, &gradients, &SgdStep { lr, momentum, weight_decay, nesterov })?;
            }
            (Fused::AdamW(adamw), Rule::AdamW { betas }) => {
                let step = AdamWStep { lr, betas, eps: ADAMW_EPS, weight_decay };
                adamw.step(&tensors, &gradients, &step)?;
            }
            _ => unreachable!("the buffers were made for the rule"),
        }
        Ok(())
    }
}

impl Fused {
    fn buffers(&self) -> Vec<(&'static str, &[Tensor])> {
        match self {
            Self::Sgd(sgd) if sgd.started() => vec![(MOMENTUM, sgd.buffers())],
            Self::AdamW(adamw) if adamw.n_steps() > 0 => {
                vec![(MOMENTUM, adamw.means()), (SQUARE, adamw.squares())]
            }
            _ => vec![],
        }
    }
}

fn pick<'a>(tensors: &'a [Tensor], members: &[usize]) -> Vec<&'a Tensor> {
    members.iter().map(|&idx| &tensors[idx]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clipped(kind: ClipKind, limit: f64) -> Vec<f32> {
        let mut gradients = [
            Tensor::from_slice(&[3.0, 0.0], &[2]).unwrap(),
            Tensor::from_slice(&[0.0, -4.0], &[2, 1]).unwrap(),
        ];
        Clip { kind, limit }.apply(&mut gradients).unwrap();
        gradients.iter().flat_map(|gradient| gradient.to_vec_f32().unwrap()).collect()
    }

    #[test]
    fn clipping_scales_the_whole_gradient_or_cuts_numbers() {
        assert_eq!(clipped(ClipKind::Norm, 10.0), [3.0, 0.0, 0.0, -4.0]);
        let halved = clipped(ClipKind::Norm, 2.5);
        assert!(halved.iter().zip([1.5, 0.0, 0.0, -2.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{halved:?}");
        assert_eq!(clipped(ClipKind::Value, 3.5), [3.0, 0.0, 0.0, -3.5]);
    }
}
