//! From gradients to parameters: SGD with momentum in two groups, of which one decays.

use std::collections::BTreeMap;

use mutualnet_engine::{FusedSgd, SgdStep, Tensor};
use mutualnet_nn::Parameters;

use serde::{Deserialize, Serialize};

use crate::Result;

/// Which parameters decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Dense convolutions and linear weights; the reference on ImageNet.
    #[default]
    Weights,
    /// Everything; the reference on CIFAR.
    All,
}

/// What an update depends on besides the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// Momentum.
    pub momentum: f64,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Which parameters the penalty applies to.
    pub decay: Decay,
}

/// The optimizer: who decays, and the momentum of each parameter.
#[derive(Debug)]
pub struct Optimizer {
    groups: [Group; 2],
    settings: SgdStep,
}

#[derive(Debug)]
struct Group {
    /// Indices of its parameters, ascending.
    members: Vec<usize>,
    weight_decay: f64,
    sgd: FusedSgd,
}

impl Optimizer {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// The engine has no memory for the momentum.
    pub fn new(parameters: &Parameters, config: &SgdConfig) -> Result<Self> {
        Self::build(parameters, config, |members| Ok(FusedSgd::new(&pick(parameters.tensors(), members))?))
    }

    /// An optimizer with the momentum that another one had, by parameter name.
    ///
    /// # Errors
    /// Momentum is missing or of the wrong shape.
    pub fn resume(
        parameters: &Parameters,
        config: &SgdConfig,
        momentum: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        Self::build(parameters, config, |members| {
            let buffers = members.iter().map(|&idx| {
                let name = &parameters.list()[idx].name;
                let found = momentum.get(name).map(Tensor::alias);
                found.ok_or_else(|| mutualnet_nn::Error::MissingWeight { name: name.clone() })
            });
            Ok(FusedSgd::resume(buffers.collect::<Result<_, _>>()?))
        })
    }

    fn build(
        parameters: &Parameters,
        config: &SgdConfig,
        sgd: impl Fn(&[usize]) -> Result<FusedSgd>,
    ) -> Result<Self> {
        let decays = |idx: &usize| match config.decay {
            Decay::Weights => parameters.list()[*idx].kind.decays(),
            Decay::All => true,
        };
        let (decaying, plain): (Vec<_>, Vec<_>) = (0..parameters.list().len()).partition(decays);
        let group = |members: Vec<usize>, weight_decay| {
            Ok::<_, crate::Error>(Group { sgd: sgd(&members)?, members, weight_decay })
        };
        Ok(Self {
            groups: [group(decaying, config.weight_decay)?, group(plain, 0.0)?],
            settings: SgdStep {
                lr: 0.0,
                momentum: config.momentum,
                weight_decay: 0.0,
                nesterov: config.nesterov,
            },
        })
    }

    /// Changes every parameter along its gradient, in place.
    ///
    /// # Errors
    /// The engine refused.
    pub fn step(&mut self, parameters: &Parameters, gradients: &[Tensor], lr: f64) -> Result<()> {
        for Group { members, weight_decay, sgd } in
            self.groups.iter_mut().filter(|group| !group.members.is_empty())
        {
            let settings = SgdStep { lr, weight_decay: *weight_decay, ..self.settings };
            sgd.step(&pick(parameters.tensors(), members), &pick(gradients, members), &settings)?;
        }
        Ok(())
    }

    /// Momentum of every parameter, in the order of the network; `None` before the first step.
    pub fn momentum(&self) -> Option<Vec<Tensor>> {
        if !self.groups.iter().any(|group| group.sgd.started()) {
            return None;
        }
        let buffers = self.groups.iter().flat_map(|group| group.members.iter().zip(group.sgd.buffers()));
        let mut buffers: Vec<_> = buffers.collect();
        buffers.sort_unstable_by_key(|(idx, _)| **idx);
        Some(buffers.into_iter().map(|(_, buffer)| buffer.alias()).collect())
    }
}

fn pick<'a>(tensors: &'a [Tensor], members: &[usize]) -> Vec<&'a Tensor> {
    members.iter().map(|&idx| &tensors[idx]).collect()
}
