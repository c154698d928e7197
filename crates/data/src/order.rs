//! Which images are in which batch: a pure function of seed and position.
//!
//! Separate from the loader, so that starting in the middle needs no replay and no worker count can matter.

use std::ops::Range;

use mutualnet_core::rng::{Key, Purpose};
use rand::seq::SliceRandom;

/// One batch to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchPlan {
    pub(crate) epoch: u32,
    /// Step within the epoch.
    pub(crate) step: usize,
    /// Samples of the data set.
    pub(crate) indices: Vec<u32>,
}

/// Where training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Step within the epoch, from 0.
    pub step: usize,
}

/// All batches of an iteration, each to be had by its number.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Every epoch in a new order, last incomplete batch dropped.
    Shuffled { seed: u64, n_samples: usize, batch_size: usize, steps: Range<usize> },
    /// A list of samples once, last incomplete batch kept.
    Listed { indices: Vec<u32>, batch_size: usize },
}

impl Order {
    /// Shuffled epochs from a position to the end of the last epoch.
    pub(crate) fn shuffled(
        seed: u64,
        n_samples: usize,
        batch_size: usize,
        from: Position,
        end_epoch: u32,
    ) -> Self {
        let per_epoch = n_samples / batch_size;
        let steps = from.epoch as usize * per_epoch + from.step..end_epoch as usize * per_epoch;
        Self::Shuffled { seed, n_samples, batch_size, steps }
    }

    /// Every sample once, in the data set's order.
    pub(crate) fn sequential(n_samples: usize, batch_size: usize) -> Self {
        Self::Listed { indices: (0..n_samples as u32).collect(), batch_size }
    }

    /// Whole batches of randomly chosen samples, each at most once, always the same.
    pub(crate) fn chosen(seed: u64, n_samples: usize, batch_size: usize, n_batches: usize) -> Self {
        let mut indices: Vec<u32> = (0..n_samples as u32).collect();
        // Step 1 keeps the choice apart from the augmentation of sample 0, which is at step 0.
        indices.shuffle(&mut Key::new(seed, Purpose::Calibrate).step(1).stream());
        indices.truncate(n_batches.min(n_samples / batch_size) * batch_size);
        Self::Listed { indices, batch_size }
    }

    /// Number of batches.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Shuffled { steps, .. } => steps.len(),
            Self::Listed { indices, batch_size } => indices.len().div_ceil(*batch_size),
        }
    }

    /// The batch of a number; the cache saves shuffling an epoch for every batch of it.
    pub(crate) fn batch(&self, number: usize, cache: &mut EpochCache) -> Option<BatchPlan> {
        if number >= self.len() {
            return None;
        }
        Some(match self {
            Self::Shuffled { seed, n_samples, batch_size, steps } => {
                let per_epoch = n_samples / batch_size;
                let (epoch, step) = ((steps.start + number) / per_epoch, (steps.start + number) % per_epoch);
                let order = cache.order(*seed, epoch as u32, *n_samples);
                let indices = order[step * batch_size..][..*batch_size].to_vec();
                BatchPlan { epoch: epoch as u32, step, indices }
            }
            Self::Listed { indices, batch_size } => {
                let rest = &indices[number * batch_size..];
                BatchPlan { epoch: 0, step: number, indices: rest[..rest.len().min(*batch_size)].to_vec() }
            }
        })
    }
}

/// The order of the epoch that was asked for last.
#[derive(Debug, Default)]
pub(crate) struct EpochCache(Option<(u32, Vec<u32>)>);

impl EpochCache {
    fn order(&mut self, seed: u64, epoch: u32, n_samples: usize) -> &[u32] {
        if self.0.as_ref().is_none_or(|(cached, _)| *cached != epoch) {
            let mut order: Vec<u32> = (0..n_samples as u32).collect();
            order.shuffle(&mut Key::new(seed, Purpose::Shuffle).epoch(epoch).stream());
            self.0 = Some((epoch, order));
        }
        self.0.as_ref().map_or(&[], |(_, order)| order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(order: &Order) -> Vec<BatchPlan> {
        let mut cache = EpochCache::default();
        (0..).map_while(|number| order.batch(number, &mut cache)).collect()
    }

    #[test]
    fn an_epoch_is_a_permutation_that_depends_on_seed_and_epoch() {
        let epochs = |seed| all(&Order::shuffled(seed, 23, 5, Position::default(), 2));
        let batches = epochs(1);
        assert_eq!(batches.len(), 8, "the incomplete batch is dropped");
        assert_eq!((batches[5].epoch, batches[5].step), (1, 1));
        for epoch in batches.chunks(4) {
            let mut seen: Vec<_> = epoch.iter().flat_map(|b| b.indices.clone()).collect();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 20, "no sample twice");
        }
        assert_eq!(batches, epochs(1));
        assert_ne!(batches, epochs(2));
        assert_ne!(batches[0].indices, batches[4].indices);
    }

    #[test]
    fn starting_in_the_middle_is_skipping() {
        let straight = all(&Order::shuffled(7, 23, 5, Position::default(), 3));
        for skipped in 0..straight.len() {
            let from = Position { epoch: (skipped / 4) as u32, step: skipped % 4 };
            assert_eq!(all(&Order::shuffled(7, 23, 5, from, 3)), straight[skipped..]);
        }
        assert_eq!(Order::shuffled(7, 23, 5, Position { epoch: 3, step: 0 }, 3).len(), 0);
    }

    #[test]
    fn evaluation_keeps_the_last_batch_and_calibration_has_whole_ones() {
        let batches = all(&Order::sequential(12, 5));
        assert_eq!(batches.iter().map(|b| b.indices.len()).collect::<Vec<_>>(), [5, 5, 2]);
        assert_eq!(batches[2].indices, [10, 11]);
        let chosen = all(&Order::chosen(1, 23, 5, 3));
        assert_eq!(chosen.len(), 3);
        assert_eq!(chosen, all(&Order::chosen(1, 23, 5, 3)));
        assert_eq!(all(&Order::chosen(1, 23, 5, 99)).len(), 4);
    }
}
