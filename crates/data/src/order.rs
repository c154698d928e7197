//! The order of images: which of them are in which batch, as a pure function of seed and position.
//!
//! Separate from the loader, so that training can start in the middle without a replay and the number of workers cannot
//! matter.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use mutualnet_core::rng::{Key, Purpose};
use rand::seq::SliceRandom;

use crate::aspects::Aspects;

/// A batch to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchPlan {
    pub(crate) epoch: u32,
    /// Step within the epoch.
    pub(crate) step: usize,
    pub(crate) draws: Vec<Draw>,
}

/// One image of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw {
    /// Sample of the data set.
    pub(crate) index: u32,
    /// Which copy of the sample in this epoch, or which clip of the video in evaluation, from 0.
    pub(crate) copy: u32,
}

impl Draw {
    /// The random stream of this image in its epoch; the first copy has that of a sample without copies.
    pub(crate) fn key(self, seed: u64, purpose: Purpose, epoch: u32) -> Key {
        Key::new(seed, purpose).epoch(epoch).step(self.copy.into()).sample(self.index.into())
    }
}

impl BatchPlan {
    /// The part of the batch that one of several processes makes.
    pub(crate) fn part(mut self, part: Part) -> Self {
        let range = part.range(self.draws.len());
        self.draws = self.draws[range].to_vec();
        self
    }
}

/// Which part of every batch a loader makes, if several processes share the work.
///
/// Batches are cut into contiguous parts, which together are the batch that a single process would make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which part, from 0.
    pub index: usize,
    /// How many parts there are.
    pub of: usize,
}

/// The whole of every batch.
impl Default for Part {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Part {
    /// The part's images in a batch of `n`; parts differ by one image at most.
    fn range(self, n: usize) -> Range<usize> {
        n * self.index / self.of..n * (self.index + 1) / self.of
    }
}

/// Where training continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Step within the epoch, from 0.
    pub step: usize,
}

/// The shape of every epoch.
#[derive(Debug, Clone)]
pub(crate) struct Epochs {
    pub(crate) seed: u64,
    pub(crate) n_samples: usize,
    pub(crate) batch_size: usize,
    /// Copies of every sample that is drawn, at least 1; the number of steps in an epoch does not depend on it.
    pub(crate) repeats: usize,
    /// If there are groups of images, every batch is of one of them.
    pub(crate) groups: Option<Arc<Aspects>>,
}

impl Epochs {
    fn steps(&self) -> usize {
        self.n_samples / self.batch_size
    }

    /// The samples of an epoch in the order in which they are drawn.
    fn order(&self, epoch: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.n_samples as u32).collect();
        order.shuffle(&mut Key::new(self.seed, Purpose::Shuffle).epoch(epoch).stream());
        self.groups.as_ref().map_or_else(|| order.clone(), |groups| grouped(&order, groups, self.batch_size))
    }

    /// The sample of the epoch's order at a place, and which copy of it.
    ///
    /// Samples come in pairs, `a b a b a b`: copies are as close as possible without two copies of a sample next to each
    /// other, because neighbors are mixed. With one copy of each, the places are the order itself.
    fn sample_and_copy(&self, place: usize) -> (usize, usize) {
        let (two, within) = (place / (2 * self.repeats), place % (2 * self.repeats));
        (2 * two + within % 2, within / 2)
    }
}

/// Whole batches of one group each, as many as the samples fill, in the order in which they are full.
///
/// What is left of a group is filled with its first samples; groups of which little is left wait for the next epoch.
///
/// # Source
/// `[torchvision references/detection/group_by_aspect_ratio.py GroupedBatchSampler]`
fn grouped(order: &[u32], groups: &Aspects, batch_size: usize) -> Vec<u32> {
    let n = order.len() / batch_size * batch_size;
    let mut batches = Vec::with_capacity(n);
    // Of each group, all samples and how many of them are in full batches.
    let mut seen = vec![(Vec::new(), 0); groups.len()];
    for &sample in order {
        let (samples, used) = &mut seen[groups.group(sample)];
        samples.push(sample);
        if samples.len() - *used == batch_size {
            batches.extend(&samples[*used..]);
            *used = samples.len();
        }
    }
    seen.sort_by_key(|(samples, used)| Reverse(samples.len() - used));
    for (samples, used) in seen {
        if batches.len() < n {
            batches.extend(samples[used..].iter().chain(samples.iter().cycle()).take(batch_size));
        }
    }
    batches
}

/// All batches of an iteration, by number.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Every epoch in a new order, without its last incomplete batch.
    Shuffled { epochs: Epochs, steps: Range<usize> },
    /// A list of samples, each with all its copies, with its last incomplete batch.
    Listed { indices: Vec<u32>, copies: usize, batch_size: usize },
}

impl Order {
    /// Shuffled epochs from a position to the end of the last epoch.
    pub(crate) fn shuffled(epochs: Epochs, from: Position, end_epoch: u32) -> Self {
        let steps = from.epoch as usize * epochs.steps() + from.step..end_epoch as usize * epochs.steps();
        Self::Shuffled { epochs, steps }
    }

    /// Every sample in the data set's order, with all its copies.
    pub(crate) fn sequential(n_samples: usize, copies: usize, batch_size: usize) -> Self {
        Self::Listed { indices: (0..n_samples as u32).collect(), copies, batch_size }
    }

    /// A list of samples once, with its last incomplete batch.
    pub(crate) fn listed(indices: Vec<u32>, batch_size: usize) -> Self {
        Self::Listed { indices, copies: 1, batch_size }
    }

    /// Whole batches of randomly chosen samples, each of one group if there are groups, and each sample once but to fill a
    /// group; the choice is always the same.
    pub(crate) fn chosen(
        seed: u64,
        n_samples: usize,
        (batch_size, n_batches): (usize, usize),
        groups: Option<&Aspects>,
    ) -> Self {
        let mut indices: Vec<u32> = (0..n_samples as u32).collect();
        // Step 1 keeps the choice apart from the augmentation of sample 0, which is at step 0.
        indices.shuffle(&mut Key::new(seed, Purpose::Calibrate).step(1).stream());
        if let Some(groups) = groups {
            indices = grouped(&indices, groups, batch_size);
        }
        indices.truncate(n_batches.min(n_samples / batch_size) * batch_size);
        Self::listed(indices, batch_size)
    }

    /// Number of batches.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Shuffled { steps, .. } => steps.len(),
            Self::Listed { indices, copies, batch_size } => (indices.len() * copies).div_ceil(*batch_size),
        }
    }

    /// The batch of a number; with the cache, an epoch is shuffled once and not for every batch.
    pub(crate) fn batch(&self, number: usize, cache: &mut EpochCache) -> Option<BatchPlan> {
        if number >= self.len() {
            return None;
        }
        Some(match self {
            Self::Shuffled { epochs, steps } => {
                let per_epoch = epochs.steps();
                let (epoch, step) = ((steps.start + number) / per_epoch, (steps.start + number) % per_epoch);
                let order = cache.order(epochs, epoch as u32);
                let places = step * epochs.batch_size..(step + 1) * epochs.batch_size;
                let draws = places.map(|place| {
                    let (sample, copy) = epochs.sample_and_copy(place);
                    Draw { index: order[sample], copy: copy as u32 }
                });
                BatchPlan { epoch: epoch as u32, step, draws: draws.collect() }
            }
            Self::Listed { indices, copies, batch_size } => {
                let end = ((number + 1) * batch_size).min(indices.len() * copies);
                let draws = (number * batch_size..end)
                    .map(|place| Draw { index: indices[place / copies], copy: (place % copies) as u32 });
                BatchPlan { epoch: 0, step: number, draws: draws.collect() }
            }
        })
    }
}

/// The order of the epoch that was used last.
#[derive(Debug, Default)]
pub(crate) struct EpochCache(Option<(u32, Vec<u32>)>);

impl EpochCache {
    fn order(&mut self, epochs: &Epochs, epoch: u32) -> &[u32] {
        if self.0.as_ref().is_none_or(|(cached, _)| *cached != epoch) {
            self.0 = Some((epoch, epochs.order(epoch)));
        }
        self.0.as_ref().map_or(&[], |(_, order)| order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(seed: u64, repeats: usize) -> Epochs {
        Epochs { seed, n_samples: 23, batch_size: 5, repeats, groups: None }
    }

    fn indices(batch: &BatchPlan) -> Vec<u32> {
        batch.draws.iter().map(|draw| draw.index).collect()
    }

    fn all(order: &Order) -> Vec<BatchPlan> {
        let mut cache = EpochCache::default();
        (0..).map_while(|number| order.batch(number, &mut cache)).collect()
    }

    #[test]
    fn an_epoch_is_a_permutation_that_depends_on_seed_and_epoch() {
        let two = |seed| all(&Order::shuffled(epochs(seed, 1), Position::default(), 2));
        let batches = two(1);
        assert_eq!(batches.len(), 8, "the incomplete batch is dropped");
        assert_eq!((batches[5].epoch, batches[5].step), (1, 1));
        for epoch in batches.chunks(4) {
            let mut seen: Vec<_> = epoch.iter().flat_map(indices).collect();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 20, "no sample twice");
        }
        assert_eq!(batches, two(1));
        assert_ne!(batches, two(2));
        assert_ne!(batches[0].draws, batches[4].draws);
    }

    #[test]
    fn starting_in_the_middle_is_skipping() {
        for repeats in [1, 3] {
            let epochs = epochs(7, repeats);
            let straight = all(&Order::shuffled(epochs.clone(), Position::default(), 3));
            for skipped in 0..straight.len() {
                let from = Position { epoch: (skipped / 4) as u32, step: skipped % 4 };
                assert_eq!(all(&Order::shuffled(epochs.clone(), from, 3)), straight[skipped..]);
            }
            assert_eq!(Order::shuffled(epochs, Position { epoch: 3, step: 0 }, 3).len(), 0);
        }
    }

    #[test]
    fn copies_follow_each_other_and_no_two_neighbors_are_of_one_sample() {
        let once = all(&Order::shuffled(epochs(1, 1), Position::default(), 2));
        let thrice = all(&Order::shuffled(epochs(1, 3), Position::default(), 2));
        assert_eq!(once.len(), thrice.len());
        for (once, thrice) in once.chunks(4).zip(thrice.chunks(4)) {
            let order: Vec<_> = once.iter().flat_map(indices).collect();
            let draws: Vec<_> = thrice.iter().flat_map(|b| b.draws.clone()).collect();
            // 20 places: three whole twos of samples, and one copy of the next.
            let expected = (0..20).map(|place| {
                let (two, within) = (place / 6, place % 6);
                Draw { index: order[2 * two + within % 2], copy: within as u32 / 2 }
            });
            assert_eq!(draws, expected.collect::<Vec<_>>());
            assert!(draws.windows(2).all(|two| two[0].index != two[1].index));
        }
    }

    #[test]
    fn more_copies_than_places_are_cut_off() {
        for n_samples in 1..9 {
            for repeats in 1..9 {
                let epochs = Epochs { seed: 1, n_samples, batch_size: n_samples, repeats, groups: None };
                let [batch] = all(&Order::shuffled(epochs, Position::default(), 1)).try_into().unwrap();
                assert_eq!(batch.draws.len(), n_samples);
            }
        }
    }

    #[test]
    fn parts_are_neighbors_and_as_equal_as_can_be() {
        let ranges = |n, of| (0..of).map(|index| Part { index, of }.range(n)).collect::<Vec<_>>();
        assert_eq!(ranges(12, 3), [0..4, 4..8, 8..12]);
        assert_eq!(ranges(7, 3), [0..2, 2..4, 4..7]);
        assert_eq!(ranges(1, 3), [0..0, 0..0, 0..1]);
        assert_eq!(Part::default().range(5), 0..5);
    }

    #[test]
    fn evaluation_keeps_the_last_batch_and_calibration_has_whole_ones() {
        let batches = all(&Order::sequential(12, 1, 5));
        assert_eq!(batches.iter().map(|b| b.draws.len()).collect::<Vec<_>>(), [5, 5, 2]);
        assert_eq!(indices(&batches[2]), [10, 11]);
        let chosen = |n_batches| all(&Order::chosen(1, 23, (5, n_batches), None));
        assert_eq!(chosen(3).len(), 3);
        assert_eq!(chosen(3), chosen(3));
        assert_eq!(chosen(99).len(), 4);
    }

    /// 12 upright images, 8 wide ones and 3 squares, which are merged with the upright ones if a batch has more than 3.
    fn aspects(batch_size: usize) -> Arc<Aspects> {
        let size = |image| {
            if image < 12 {
                [30, 40]
            } else if image < 20 {
                [40, 30]
            } else {
                [30, 30]
            }
        };
        Arc::new(Aspects::new(&(0..23).map(size).collect::<Vec<_>>(), batch_size))
    }

    #[test]
    fn batches_are_of_one_group_and_hardly_anything_is_left_out() {
        for batch_size in [1, 2, 3, 5, 8, 12] {
            let groups = aspects(batch_size);
            let epochs = Epochs { batch_size, groups: Some(Arc::clone(&groups)), ..epochs(4, 1) };
            let batches = all(&Order::shuffled(epochs.clone(), Position::default(), 2));
            assert_eq!(batches.len(), 2 * (23 / batch_size));
            let mut counts = [0; 23];
            for batch in &batches {
                let of_first = groups.group(batch.draws[0].index);
                assert!(indices(batch).iter().all(|&image| groups.group(image) == of_first));
                let mut distinct = indices(batch);
                distinct.sort();
                distinct.dedup();
                assert_eq!(distinct.len(), batch_size, "no image twice in a batch");
                distinct.iter().for_each(|&image| counts[image as usize] += 1);
            }
            let left_out = counts.iter().filter(|&&count| count < 2).count();
            assert!(left_out <= 2 * groups.len() * batch_size.saturating_sub(1), "{counts:?}");
            assert_eq!(
                all(&Order::shuffled(epochs, Position { epoch: 1, step: 0 }, 2)),
                batches[batches.len() / 2..]
            );
            let chosen = all(&Order::chosen(1, 23, (batch_size, 1), Some(&groups)));
            assert_eq!(chosen.len(), 1);
            let of_first = groups.group(chosen[0].draws[0].index);
            assert!(indices(&chosen[0]).iter().all(|&image| groups.group(image) == of_first));
        }
    }
}
