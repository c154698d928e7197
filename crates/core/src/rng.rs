//! Keyed randomness: every random draw comes from a stream whose key says what the draw is for.
//!
//! A stream depends only on its key, never on other draws or on threads. Results therefore do not depend on the number of
//! workers, and a resumed run equals an uninterrupted one.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for. A new purpose gets a new number, and numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Initial weights.
    Init = 1,
    /// Order of the samples in an epoch.
    Shuffle = 2,
    /// Augmentation of one sample.
    Augment = 3,
    /// Which sub-networks a step trains.
    Sample = 4,
    /// Generated data sets.
    Generate = 5,
    /// Which training images calibrate batch-norm statistics.
    Calibrate = 6,
    /// Splits of a data set.
    Split = 7,
    /// Which features dropout drops.
    Dropout = 8,
    /// How two images are mixed.
    Mix = 9,
    /// Which samples a bootstrap interval draws.
    Bootstrap = 10,
    /// Which part of a video a clip shows.
    Clip = 11,
    /// Which anchors and regions a detector learns from.
    Regions = 12,
}

/// The key of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The seed of the run.
    pub seed: u64,
    /// What the draws are for.
    pub purpose: Purpose,
    /// The epoch, or 0.
    pub epoch: u32,
    /// The step of the run (or the copy of the sample), or 0.
    pub step: u64,
    /// The sample of the data set (or the layer of the network, …), or 0.
    pub sample: u64,
}

impl Key {
    /// The key of a purpose, with epoch, step and sample 0.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, purpose, epoch: 0, step: 0, sample: 0 }
    }

    /// The same key at an epoch.
    pub fn epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    /// The same key at a step.
    pub fn step(self, step: u64) -> Self {
        Self { step, ..self }
    }

    /// The same key at a sample.
    pub fn sample(self, sample: u64) -> Self {
        Self { sample, ..self }
    }

    /// The stream with this key, from its start.
    pub fn stream(self) -> RngStream {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.purpose as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.step.to_le_bytes());
        bytes[24..].copy_from_slice(&self.sample.to_le_bytes());
        RngStream(ChaCha8Rng::from_seed(bytes))
    }
}

/// A stream of random numbers; use it through [`rand::Rng`].
#[derive(Debug, Clone)]
pub struct RngStream(ChaCha8Rng);

impl RngCore for RngStream {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_counts() {
        let key = Key::new(1, Purpose::Augment);
        let draws = [
            key,
            key.epoch(1),
            key.step(1),
            key.sample(1),
            Key::new(2, Purpose::Augment),
            Key::new(1, Purpose::Init),
        ]
        .map(|key| key.stream().next_u64());
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b), "{draws:?}");
        }
        assert_eq!(key.stream().next_u64(), draws[0]);
    }
}
