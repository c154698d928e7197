//! Everything that a step changes, and how a checkpoint stores and restores it.

use std::collections::BTreeMap;

use mutualnet_core::sample::Regret;
use mutualnet_core::{Network, Weights};
use mutualnet_engine::{Device, Tensor};
use mutualnet_nn::Parameters;

use crate::average::Average;
use crate::checkpoint::{Checkpoint, EMA, WEIGHTS};
use crate::plan::Planned;
use crate::recipe::{Recipe, TabulateWeights};
use crate::update::{Buffers, Optimizer};
use crate::{Error, Result, init};

/// The part of a checkpoint that holds the means of a [`Regret`], and the name of its only tensor.
const REGRET: &str = "regret";

/// The state of a run between two steps.
pub(crate) struct State {
    /// Steps done.
    pub(crate) step: u64,
    /// How many of them changed nothing because a loss was NaN or infinite.
    pub(crate) n_non_finite: u64,
    pub(crate) parameters: Parameters,
    pub(crate) optimizer: Optimizer,
    pub(crate) average: Option<Average>,
    pub(crate) regret: Option<Regret>,
}

impl State {
    /// The state before the first step.
    pub(crate) fn first(planned: &Planned, device: Device) -> Result<Self> {
        let (recipe, network) = (&planned.plan.recipe, &planned.network);
        let parameters = match &recipe.train.init {
            Some(path) => init::read(recipe, network, path, device)?.parameters,
            None => first_parameters(recipe, network, device)?,
        };
        let optimizer = Optimizer::new(&parameters, &recipe.train.optimizer())?;
        let average = average(recipe, network, &parameters.to_weights()?, device)?;
        Ok(Self { step: 0, n_non_finite: 0, parameters, optimizer, average, regret: regret(recipe) })
    }

    /// The state that `checkpoint` holds.
    pub(crate) fn restore(planned: &Planned, mut checkpoint: Checkpoint, device: Device) -> Result<Self> {
        let (recipe, network) = (&planned.plan.recipe, &planned.network);
        let (step, n_non_finite) = (checkpoint.step, checkpoint.n_non_finite);
        let parameters = Parameters::from_weights(network, &checkpoint.take(WEIGHTS)?, device)?;
        let average = match recipe.train.ema {
            Some(_) => average(recipe, network, &checkpoint.take(EMA)?, device)?,
            None => None,
        };
        let regret = match regret(recipe) {
            Some(regret) => {
                let cells = checkpoint.take(REGRET)?.remove(REGRET);
                let restored = cells.and_then(|cells| regret.with_cells(&cells.data));
                Some(restored.ok_or_else(|| Error::MissingPart { part: REGRET.to_owned() })?)
            }
            None => None,
        };
        let mut buffers = Buffers::new();
        for what in Optimizer::BUFFERS {
            // Version 1 wrote an empty part before the first step.
            if let Some(part) = checkpoint.parts.remove(what).filter(|part| !part.is_empty()) {
                let tensors = Parameters::from_weights(network, &part, device)?;
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

    /// A copy of everything, for a checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        let mut parts = BTreeMap::new();
        parts.insert(WEIGHTS.to_owned(), self.parameters.to_weights()?);
        for (what, buffers) in self.optimizer.buffers() {
            parts.insert(what.to_owned(), self.parameters.name(&buffers)?);
        }
        if let Some(average) = &self.average {
            parts.insert(EMA.to_owned(), average.parameters().to_weights()?);
        }
        if let Some(regret) = &self.regret {
            let data = regret.cells().to_vec();
            let tensor = mutualnet_core::Tensor { shape: vec![data.len()], data };
            parts.insert(REGRET.to_owned(), [(REGRET.to_owned(), tensor)].into());
        }
        Ok(Checkpoint { step: self.step, n_non_finite: self.n_non_finite, parts })
    }

    /// A copy of the weights that are tabulated.
    pub(crate) fn tabulated(&self, which: TabulateWeights) -> Result<Weights> {
        match (which, &self.average) {
            (TabulateWeights::Ema, Some(average)) => Ok(average.parameters().to_weights()?),
            _ => Ok(self.parameters.to_weights()?),
        }
    }

    /// Updates the parameters with the gradients of a step.
    pub(crate) fn update(&mut self, gradients: &[Tensor], lr: f64) -> Result<()> {
        self.optimizer.step(&self.parameters, gradients, lr)?;
        if let Some(average) = &mut self.average {
            average.follow(&self.parameters, self.step - self.n_non_finite + 1)?;
        }
        Ok(())
    }
}

fn average(recipe: &Recipe, network: &Network, start: &Weights, device: Device) -> Result<Option<Average>> {
    recipe.train.ema.map(|decay| Average::new(network, start, decay, device)).transpose()
}

fn regret(recipe: &Recipe) -> Option<Regret> {
    let share = recipe.train.adaptive_sampling;
    (share > 0.0).then(|| Regret::new(recipe.trained_widths(), recipe.inputs(), share))
}

/// Random first weights, with residual branches at zero if the recipe says so.
fn first_parameters(recipe: &Recipe, network: &Network, device: Device) -> Result<Parameters> {
    let mut parameters = Parameters::init(network, recipe.seed, device)?;
    if recipe.train.zero_init_residual {
        parameters.zero_residual_branches(network)?;
    }
    Ok(parameters)
}
