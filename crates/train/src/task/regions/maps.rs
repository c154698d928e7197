//! What the list that reads the image says: which regions to look at, and what they are cut out of.
//!
//! Separate because learning, evaluation and masks start from it.
//! Invariant: numbers are listed image by image, and within an image anchor by anchor.

use mutualnet_core::network::Output;
use mutualnet_detect::decode::ProposalRules;
use mutualnet_detect::{Corners, Extent, Proposer, RoiAlign};
use mutualnet_engine::Tensor;

use super::super::Outputs;
use super::super::detect::{CODES, by_anchor, extents};
use crate::Result;
use crate::regions::cut;

/// Cells along a side of a region whose class is asked for.
const REGION_SIDE: usize = 7;
/// Cells along a side of a region whose mask is asked for.
const MASK_SIDE: usize = 14;

/// The outputs of the list [`List::MAIN`](mutualnet_core::network::List::MAIN).
#[derive(Debug)]
pub(super) struct Maps {
    /// Those that regions are cut from.
    features: Vec<Tensor>,
    objects: Vec<Tensor>,
    codes: Vec<Tensor>,
    pub(super) n: usize,
    pub(super) seen: Extent,
    pub(super) proposer: Proposer,
}

impl Maps {
    /// # Panics
    /// They are not those of a two-stage detector, which [`Task::check`](mutualnet_core::Task::check) asks for.
    pub(super) fn new(main: &Outputs<'_>, seen: Extent) -> Self {
        let [features, objects, codes] =
            [Output::FEATURES, Output::OBJECTS, Output::CODES].map(|kind| main.maps(kind));
        let shape = objects[0].shape();
        let proposer =
            Proposer::new(seen, &extents(&objects), shape[1]).expect("the task checked the network");
        Self { features, objects, codes, n: shape[0], seen, proposer }
    }

    /// `[n × anchors]` and `[n × anchors, 4]`.
    pub(super) fn by_anchor(&self) -> Result<[Tensor; 2]> {
        let objects = by_anchor(&self.objects, (self.n, 1))?;
        Ok([objects.reshape(&[objects.elements()])?, by_anchor(&self.codes, (self.n, CODES))?])
    }

    /// The boxes proposed for every image.
    pub(super) fn proposals(&self, rules: ProposalRules) -> Result<Vec<Vec<Corners>>> {
        let [objects, codes] = self.by_anchor()?;
        let (objects, codes) = (objects.detach()?.to_vec_f32()?, codes.detach()?.to_vec_f32()?);
        let n_anchors = self.proposer.anchors().len();
        let images =
            objects.chunks_exact(n_anchors).zip(codes.as_chunks::<CODES>().0.chunks_exact(n_anchors));
        Ok(images.map(|(objects, codes)| self.proposer.proposals(rules, objects, codes)).collect())
    }

    /// Regions of one image of the batch, image by image.
    pub(super) fn of_image(&self, image: usize, regions: &[Corners]) -> Vec<Vec<Corners>> {
        let mut all = vec![Vec::new(); self.n];
        all[image] = regions.to_vec();
        all
    }

    /// What the list [`List::BOX`](mutualnet_core::network::List::BOX) reads, for the regions of every image: `[regions, channels × 7 × 7, 1, 1]`.
    pub(super) fn cut(&self, regions: &[Vec<Corners>]) -> Result<Tensor> {
        let squares = self.squares(regions, REGION_SIDE)?;
        let [n, channels] = [squares.shape()[0], squares.shape()[1]];
        Ok(squares.contiguous()?.reshape(&[n, channels * REGION_SIDE * REGION_SIDE, 1, 1])?)
    }

    /// What the list [`List::MASK`](mutualnet_core::network::List::MASK) reads: `[regions, channels, 14, 14]`.
    pub(super) fn cut_for_masks(&self, regions: &[Vec<Corners>]) -> Result<Tensor> {
        self.squares(regions, MASK_SIDE)
    }

    fn squares(&self, regions: &[Vec<Corners>], side: usize) -> Result<Tensor> {
        let align = RoiAlign::new(&extents(&self.features), self.seen, side);
        cut(&align.expect("the task checked the network"), &self.features, regions)
    }
}
