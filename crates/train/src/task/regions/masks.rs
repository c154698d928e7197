//! Masks of regions: what is learned from them, and those of what was found.
//!
//! Separate because not all two-stage detectors draw masks. Invariant: a mask that is learned from is as fine as the images of
//! the batch, at whatever resolution a network sees them.

use mutualnet_core::network::{List, Output};
use mutualnet_detect::decode::Found;
use mutualnet_detect::{Corners, ObjectMask, boxes};
use mutualnet_engine::{Activation, Tensor};

use super::super::{BoxTargets, RunList};
use super::lesson::Lesson;
use super::maps::Maps;
use super::{numbers, places};
use crate::Result;

/// Masks of learned regions.
#[derive(Debug)]
pub(super) struct MaskAnswer {
    /// Logits of the map of the object's class, `[regions, pixels]`.
    logits: Tensor,
    /// The share of every pixel that is inside of the object, of the same shape.
    wanted: Tensor,
}

/// A learned region with an object whose mask is known.
struct Shown {
    corners: Corners,
    class: u32,
    /// Index of the object in its image.
    object: usize,
}

impl MaskAnswer {
    /// Draws the masks of the learned regions whose object has one; `None` without such.
    ///
    /// # Source
    /// torchvision, `maskrcnn_loss`. Deviation: for a network that sees smaller images, regions are enlarged to the masks, and
    /// not masks shrunk to the images.
    pub(super) fn new(
        maps: &Maps,
        lesson: &Lesson,
        targets: &BoxTargets,
        run: &mut RunList<'_>,
    ) -> Result<Option<Self>> {
        let shown: Vec<_> = (0..maps.n).map(|image| shown(image, lesson, targets)).collect();
        let n: usize = shown.iter().map(Vec::len).sum();
        if n == 0 {
            return Ok(None);
        }
        let corners: Vec<Vec<_>> =
            shown.iter().map(|of_image| of_image.iter().map(|shown| shown.corners).collect()).collect();
        let output = run(List::MASK, &maps.cut_for_masks(&corners)?)?;
        let all = output.get(Output::MASKS);
        let (n_classes, side) = (all.shape()[1], all.shape()[2]);
        let of_class = shown.iter().flatten().zip(0..);
        let of_class: Vec<_> =
            of_class.map(|(shown, region)| region * n_classes as i64 + i64::from(shown.class)).collect();
        let flat = all.contiguous()?.reshape(&[n * n_classes, side * side])?;
        let logits = flat.rows(&places(&of_class, targets.device)?)?;
        let mut wanted = Vec::with_capacity(n * side * side);
        for (shown, objects) in shown.iter().zip(&targets.images) {
            let mut pixels: Vec<Option<ObjectMask>> = vec![None; objects.masks.len()];
            for Shown { corners, object, .. } in shown {
                let mask = objects.masks[*object].as_ref().expect("only those with a mask are shown");
                let mask = pixels[*object].get_or_insert_with(|| ObjectMask::new(mask));
                let corners = boxes::resized(*corners, maps.seen, targets.extent);
                wanted.extend(mask.project(corners, side));
            }
        }
        let wanted = numbers(&wanted, &[n, side * side], targets.device)?;
        Ok(Some(Self { logits, wanted }))
    }

    /// Mean cross-entropy of all pixels.
    pub(super) fn loss(&self) -> Result<Tensor> {
        self.loss_of(&self.wanted)
    }

    /// Mean cross-entropy of all pixels, from what the teacher answers for the same regions.
    pub(super) fn loss_from(&self, teacher: &Self) -> Result<Tensor> {
        self.loss_of(&teacher.logits.detach()?.activation(Activation::Sigmoid)?)
    }

    fn loss_of(&self, wanted: &Tensor) -> Result<Tensor> {
        let loss = self.logits.binary_cross_entropy(wanted)?;
        Ok(loss.scale(1.0 / wanted.elements() as f64)?)
    }

    pub(super) fn detached(&self) -> Result<Self> {
        Ok(Self { logits: self.logits.detach()?, wanted: self.wanted.alias() })
    }
}

/// The learned regions of an image whose objects have masks.
fn shown(image: usize, lesson: &Lesson, targets: &BoxTargets) -> Vec<Shown> {
    let objects = &targets.images[image];
    let with_mask = lesson.regions.images[image].iter().filter_map(|region| {
        let object = region.object.filter(|&object| matches!(objects.masks.get(object), Some(Some(_))))?;
        Some(Shown { corners: region.corners, class: objects.classes[object], object })
    });
    with_mask.collect()
}

/// The square masks of what was found in an image, for its class each: probabilities row by row.
pub(super) fn drawn(
    maps: &Maps,
    (image, found): (usize, &[Found]),
    run: &mut RunList<'_>,
) -> Result<Vec<Vec<f32>>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let corners: Vec<_> = found.iter().map(|found| found.corners).collect();
    let output = run(List::MASK, &maps.cut_for_masks(&maps.of_image(image, &corners))?)?;
    let all = output.get(Output::MASKS);
    let (n_classes, pixels) = (all.shape()[1], all.shape()[2] * all.shape()[3]);
    let logits = all.contiguous()?.to_vec_f32()?;
    let squares = logits.chunks_exact(n_classes * pixels).zip(found);
    let of_class = squares.map(|(squares, found)| {
        let logits = &squares[found.class * pixels..][..pixels];
        logits.iter().map(|&logit| 1.0 / (1.0 + (-logit).exp())).collect()
    });
    Ok(of_class.collect())
}
