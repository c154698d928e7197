//! All that a step changes, and its way into a checkpoint and back.

use std::collections::BTreeMap;

use mutualnet_bundle::Weights;
use mutualnet_core::Network;
use mutualnet_core::sample::Regret;
use mutualnet_engine::{Device, Tensor};
use mutualnet_nn::{NamedTensor, Parameters};

use crate::average::Average;
use crate::checkpoint::{Checkpoint, EMA, WEIGHTS};
use crate::plan::Planned;
use crate::recipe::Recipe;
use crate::update::{Buffers, Optimizer};
use crate::{Error, Result, init};

/// The part of a checkpoint that holds the means of a [`Regret`], and the only tensor in it.
const REGRET: &str = "regret";

/// The state of a run between two steps.
pub(crate) struct State {
    /// Steps done.
    pub(crate) step: u64,
    /// Of these, steps that taught nothing because a loss was no number.
    pub(crate) n_non_finite: u64,
    pub(crate) parameters: Parameters,
    pub(crate) optimizer: Optimizer,
    pub(crate) average: Option<Average>,
    pub(crate) regret: Option<Regret>,
}

impl State {
    /// Before the first step.
    pub(crate) fn first(planned: &Planned, device: Device) -> Result<Self> {
        let (recipe, network) = (&planned.plan.recipe, &planned.network);
        let parameters = match &recipe.train.init {
            Some(path) => init::read(network, path, recipe.train.new_head.then_some(recipe.seed), device)?,
            None => first_parameters(recipe, network, device)?,
        };
        let optimizer = Optimizer::new(&parameters, &recipe.train.optimizer())?;
        let average = average(recipe, network, &parameters.to_named()?, device)?;
        Ok(Self { step: 0, n_non_finite: 0, parameters, optimizer, average, regret: regret(recipe) })
    }

    /// As it was when `checkpoint` was made.
    pub(crate) fn restore(planned: &Planned, checkpoint: Checkpoint, device: Device) -> Result<Self> {
        let (recipe, network) = (&planned.plan.recipe, &planned.network);
        let Checkpoint { step, n_non_finite, mut parts } = checkpoint;
        let mut take = |part: &str| parts.remove(part).map(to_named);
        let missing = |part: &str| {
            Error::Nn(mutualnet_nn::Error::MissingWeight { name: format!("{part} of the checkpoint") })
        };
        let weights = take(WEIGHTS).ok_or_else(|| missing(WEIGHTS))?;
        let parameters = Parameters::from_named(network, &weights, device)?;
        let average = match recipe.train.ema {
            Some(_) => average(recipe, network, &take(EMA).ok_or_else(|| missing(EMA))?, device)?,
            None => None,
        };
        let regret = match regret(recipe) {
            Some(regret) => {
                let cells = take(REGRET).and_then(|mut part| part.remove(REGRET));
                let restored = cells.and_then(|(_, cells)| regret.with_cells(&cells));
                Some(restored.ok_or_else(|| missing(REGRET))?)
            }
            None => None,
        };
        let mut buffers = Buffers::new();
        for what in Optimizer::BUFFERS {
            // Version 1 wrote an empty part before the first step.
            if let Some(named) = take(what).filter(|named| !named.is_empty()) {
                let tensors = Parameters::from_named(network, &named, device)?;
                buffers.insert(what, tensors.tensors().iter().map(Tensor::alias).collect());
            }
        }
        let config = recipe.train.optimizer();
        let optimizer = if buffers.is_empty() {
            Optimizer::new(&parameters, &config)?
        } else {
            Optimizer::resume(&parameters, &config, &buffers, step - n_non_finite)?
        };
        Ok(Self { step, n_non_finite, parameters, optimizer, average, regret })
    }

    /// A copy of everything.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        let mut parts = BTreeMap::new();
        parts.insert(WEIGHTS.to_owned(), from_named(self.parameters.to_named()?));
        for (what, buffers) in self.optimizer.buffers() {
            parts.insert(what.to_owned(), from_named(self.parameters.name(&buffers)?));
        }
        if let Some(average) = &self.average {
            parts.insert(EMA.to_owned(), from_named(average.parameters().to_named()?));
        }
        if let Some(regret) = &self.regret {
            let data = regret.cells().to_vec();
            let tensor = mutualnet_bundle::Tensor { shape: vec![data.len()], data };
            parts.insert(REGRET.to_owned(), [(REGRET.to_owned(), tensor)].into());
        }
        Ok(Checkpoint { step: self.step, n_non_finite: self.n_non_finite, parts })
    }

    /// Learns from the gradients of a step.
    pub(crate) fn update(&mut self, gradients: &[Tensor], lr: f64) -> Result<()> {
        self.optimizer.step(&self.parameters, gradients, lr)?;
        if let Some(average) = &mut self.average {
            average.follow(&self.parameters, self.step - self.n_non_finite + 1)?;
        }
        Ok(())
    }
}

fn average(
    recipe: &Recipe,
    network: &Network,
    start: &BTreeMap<String, NamedTensor>,
    device: Device,
) -> Result<Option<Average>> {
    recipe.train.ema.map(|decay| Average::new(network, start, decay, device)).transpose()
}

fn regret(recipe: &Recipe) -> Option<Regret> {
    let share = recipe.train.adaptive_sampling;
    (share > 0.0).then(|| Regret::new(recipe.trained_widths(), &recipe.network.resolutions, share))
}

pub(crate) fn from_named(named: BTreeMap<String, NamedTensor>) -> Weights {
    named.into_iter().map(|(name, (shape, data))| (name, mutualnet_bundle::Tensor { shape, data })).collect()
}

pub(crate) fn to_named(weights: Weights) -> BTreeMap<String, NamedTensor> {
    weights.into_iter().map(|(name, tensor)| (name, (tensor.shape, tensor.data))).collect()
}

/// Random first weights, with silent residual branches if the recipe says so.
fn first_parameters(recipe: &Recipe, network: &Network, device: Device) -> Result<Parameters> {
    let mut parameters = Parameters::init(network, recipe.seed, device)?;
    if recipe.train.zero_init_residual {
        parameters.zero_residual_branches(network)?;
    }
    Ok(parameters)
}
