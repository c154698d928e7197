//! Dropout before the classifier, from keyed randomness: the same bits on every device and after every resume.

use mutualnet_core::rng::Key;
use mutualnet_engine::Tensor;
use rand::Rng;

use crate::Result;

/// Which features of one forward pass are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of the features that become 0, below 1; the others grow so that their mean stays.
    pub share: f64,
    /// The stream that chooses them.
    pub key: Key,
}

impl Dropout {
    /// `features` with a random share set to 0.
    ///
    /// # Shapes
    /// `[n, features, …]` to the same.
    pub(crate) fn apply(&self, features: &Tensor) -> Result<Tensor> {
        let mut rng = self.key.stream();
        let kept = (1.0 / (1.0 - self.share)) as f32;
        let mask: Vec<f32> =
            (0..features.elements()).map(|_| if rng.random_bool(self.share) { 0.0 } else { kept }).collect();
        let mask = Tensor::from_slice(&mask, &features.shape())?.to_device(features.device())?;
        Ok(features.multiply(&mask)?)
    }
}
