//! Which anchors and regions a two-stage detector learns from.
//!
//! Separate because almost none of them has an object: learned from all of them, a detector would find nothing.
//! Invariant: each is chosen at most once, in ascending order, and which ones depends only on the stream that is given.

use mutualnet_core::rng::RngStream;
use rand::seq::SliceRandom;

use crate::{Corners, Matcher, Target};

/// How many anchors or regions of an image are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// At most so many in all.
    pub most: usize,
    /// At most so many with an object; those without fill the rest.
    pub with_object: usize,
}

/// An anchor that is learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnedAnchor {
    /// Its index.
    pub anchor: usize,
    /// Index of the object that it should find, if any.
    pub object: Option<usize>,
}

/// A region that is learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedRegion {
    /// Its box.
    pub corners: Corners,
    /// Index of the object that is in it, if any.
    pub object: Option<usize>,
}

impl Balance {
    /// For anchors of networks that propose regions: 256, up to half of them with an object.
    pub const ANCHORS: Self = Self { most: 256, with_object: 128 };
    /// For regions: 512, up to a quarter of them with an object.
    pub const REGIONS: Self = Self { most: 512, with_object: 128 };

    /// At most so many in all, with the same share of those with an object; unchanged by `None`.
    pub fn at_most(self, n: Option<u32>) -> Self {
        let most = n.map_or(self.most, |n| self.most.min(n as usize));
        Self { most, with_object: (self.with_object * most).div_ceil(self.most) }
    }

    /// Draws the indices of targets to learn, in ascending order. Ignored ones are never drawn.
    ///
    /// # Source
    /// torchvision, `BalancedPositiveNegativeSampler`. `Reference:` it draws from PyTorch's generator.
    pub fn draw(self, targets: &[Target], rng: &mut RngStream) -> Vec<usize> {
        let of = |wanted: fn(&Target) -> bool| -> Vec<usize> {
            (0..targets.len()).filter(|&idx| wanted(&targets[idx])).collect()
        };
        let mut drawn = some(of(|target| matches!(target, Target::Object(_))), self.with_object, rng);
        let rest = self.most - drawn.len();
        drawn.extend(some(of(|target| matches!(target, Target::Background)), rest, rng));
        drawn.sort_unstable();
        drawn
    }
}

/// The anchors of an image that a network which proposes regions learns from.
///
/// # Source
/// torchvision, `RegionProposalNetwork.assign_targets_to_anchors` and `compute_loss`.
pub fn learned_anchors(anchors: &[Corners], objects: &[Corners], rng: &mut RngStream) -> Vec<LearnedAnchor> {
    let targets = Matcher::ANCHORS.targets(objects, anchors);
    let drawn = Balance::ANCHORS.draw(&targets, rng).into_iter();
    drawn.map(|anchor| LearnedAnchor { anchor, object: object_of(targets[anchor]) }).collect()
}

/// The regions of an image that heads learn from: some of the proposals and of the boxes of the objects, which are appended
/// to the proposals.
///
/// # Source
/// torchvision, `RoIHeads.select_training_samples`.
pub fn learned_regions(
    balance: Balance,
    proposals: &[Corners],
    objects: &[Corners],
    rng: &mut RngStream,
) -> Vec<LearnedRegion> {
    let regions: Vec<_> = proposals.iter().chain(objects).copied().collect();
    let targets = Matcher::REGIONS.targets(objects, &regions);
    let drawn = balance.draw(&targets, rng).into_iter();
    drawn.map(|idx| LearnedRegion { corners: regions[idx], object: object_of(targets[idx]) }).collect()
}

/// At most `n` of the indices; each is as likely as any other.
fn some(mut indices: Vec<usize>, n: usize, rng: &mut RngStream) -> Vec<usize> {
    let n = n.min(indices.len());
    indices.partial_shuffle(rng, n).0.to_vec()
}

fn object_of(target: Target) -> Option<usize> {
    match target {
        Target::Object(object) => Some(object),
        Target::Background | Target::Ignored => None,
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};

    use super::*;

    fn stream(sample: u64) -> RngStream {
        Key::new(1, Purpose::Regions).sample(sample).stream()
    }

    fn targets(n_found: usize, n_ignored: usize, n_background: usize) -> Vec<Target> {
        let each =
            [(Target::Object(3), n_found), (Target::Ignored, n_ignored), (Target::Background, n_background)];
        each.into_iter().flat_map(|(target, n)| std::iter::repeat_n(target, n)).collect()
    }

    #[test]
    fn a_draw_depends_on_its_stream_alone() {
        let targets = targets(200, 50, 1000);
        let drawn = Balance::ANCHORS.draw(&targets, &mut stream(1));
        assert_eq!(drawn, Balance::ANCHORS.draw(&targets, &mut stream(1)));
        assert_ne!(drawn, Balance::ANCHORS.draw(&targets, &mut stream(2)));
        assert!(drawn.is_sorted_by(|a, b| a < b));
        assert!(drawn.iter().all(|&idx| targets[idx] != Target::Ignored));
    }

    /// Of 20 with an object 5 are drawn, and 15 of 60 without: in 2000 draws each about 500 times, give or take five times
    /// the standard deviation of 19.
    #[test]
    fn every_candidate_is_drawn_as_often() {
        let balance = Balance { most: 20, with_object: 5 };
        let targets = targets(20, 10, 60);
        let mut counts = [0; 90];
        for sample in 0..2000 {
            balance.draw(&targets, &mut stream(sample)).into_iter().for_each(|idx| counts[idx] += 1);
        }
        for (count, target) in counts.into_iter().zip(targets) {
            let expected = if target == Target::Ignored { 0..=0 } else { 403..=597 };
            assert!(expected.contains(&count), "{counts:?}");
        }
    }
}
