//! A running average of the parameters, for a steadier teacher or a better final network.

use mutualnet_core::{Network, Weights};
use mutualnet_engine::Device;
use mutualnet_nn::Parameters;

use crate::Result;

/// An exponential moving average of the parameters.
#[derive(Debug)]
pub(crate) struct Average {
    parameters: Parameters,
    decay: f64,
}

impl Average {
    /// Starts the average at these weights.
    pub(crate) fn new(network: &Network, start: &Weights, decay: f64, device: Device) -> Result<Self> {
        Ok(Self { parameters: Parameters::from_weights(network, start, device)?, decay })
    }

    /// The averaged parameters.
    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Adds the parameters after update number `n_updates`, counted from 1.
    ///
    /// The decay is at most `(1 + n) / (10 + n)`; otherwise the average would stay near the first weights too long.
    pub(crate) fn follow(&mut self, parameters: &Parameters, n_updates: u64) -> Result<()> {
        let n = n_updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        Ok(self.parameters.follow(parameters, 1.0 - decay)?)
    }
}
