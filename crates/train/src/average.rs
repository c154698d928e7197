//! A running average of the parameters, for a steadier teacher or a better final network.

use mutualnet_engine::Device;
use mutualnet_nn::{NamedTensor, Parameters};
use std::collections::BTreeMap;

use mutualnet_core::Network;

use crate::Result;

/// The average of the parameters over the steps so far, the last ones most.
#[derive(Debug)]
pub(crate) struct Average {
    parameters: Parameters,
    decay: f64,
}

impl Average {
    /// Begins at `start`.
    pub(crate) fn new(
        network: &Network,
        start: &BTreeMap<String, NamedTensor>,
        decay: f64,
        device: Device,
    ) -> Result<Self> {
        Ok(Self { parameters: Parameters::from_named(network, start, device)?, decay })
    }

    /// The averaged parameters.
    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Takes in the parameters after update number `n_updates`, counted from 1.
    ///
    /// Early on less of the average stays, `(1 + n) / (10 + n)`: else it would be the first weights for long.
    pub(crate) fn follow(&mut self, parameters: &Parameters, n_updates: u64) -> Result<()> {
        let n = n_updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        Ok(self.parameters.follow(parameters, 1.0 - decay)?)
    }
}
