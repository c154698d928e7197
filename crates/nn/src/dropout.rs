//! Dropout before the classifier. Its randomness is keyed, so it is the same on every device and after a resume.

use mutualnet_core::rng::Key;
use mutualnet_engine::Tensor;
use rand::Rng;

use crate::Result;

/// Which features dropout drops in one forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of the features that become 0, below 1. The others are scaled up, so that the mean stays the same.
    pub share: f64,
    /// Key of the random stream that chooses them.
    pub key: Key,
}

impl Dropout {
    /// Sets a random share of all features to 0, those of each node by draws of their own.
    ///
    /// # Shapes
    /// - `nodes`: `[n, features, …]` each
    /// - the outputs have the same shapes
    pub(crate) fn apply(&self, nodes: &[&Tensor]) -> Result<Vec<Tensor>> {
        let mut rng = self.key.stream();
        nodes.iter().map(|features| self.apply_to(features, &mut rng)).collect()
    }

    fn apply_to(&self, features: &Tensor, rng: &mut impl Rng) -> Result<Tensor> {
        let kept = (1.0 / (1.0 - self.share)) as f32;
        let mask: Vec<f32> =
            (0..features.elements()).map(|_| if rng.random_bool(self.share) { 0.0 } else { kept }).collect();
        let mask = Tensor::from_slice(&mask, &features.shape())?.to_device(features.device())?;
        Ok(features.multiply(&mask)?)
    }
}
