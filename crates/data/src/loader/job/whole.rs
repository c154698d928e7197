//! Batches of one whole image, whose size nobody knows before the image is opened.
//!
//! Separate because memory can only be taken after decoding, unlike for squares.

use std::sync::Arc;

use mutualnet_image::resize::Fitted;
use mutualnet_image::{Image, TestPipeline, timed};

use super::{Job, Labels, Opened};
use crate::loader::batches::Batch;
use crate::loader::buffers::Buffers;
use crate::order::BatchPlan;
use crate::scratch::Scratch;
use crate::{Geometry, Label, Objects, Result, SampleError, SampleRef};

/// An image at its final size, and its mask or its objects.
struct Whole {
    image: Image,
    mask: Vec<u8>,
    objects: Option<Objects>,
}

impl Job {
    /// Makes a batch of one image, or of none if there is none in this part or if it is broken.
    pub(super) fn build_whole(
        &self,
        plan: BatchPlan,
        pipeline: &TestPipeline,
        buffers: &Arc<Buffers>,
    ) -> Result<Batch> {
        let BatchPlan { epoch, step, draws } = plan;
        assert!(draws.len() <= 1, "whole images differ in size");
        let index = draws.first().map(|draw| draw.index);
        self.scratch.with(|scratch| {
            let made = index.map(|index| self.whole(index, pipeline, scratch)).transpose()?.flatten();
            let indices: Vec<u32> = index.filter(|_| made.is_some()).into_iter().collect();
            let (mut size, mut images, mut labels) = ([0; 2], Default::default(), Labels::default());
            if let Some(Whole { image, mask, objects }) = made {
                size = [image.height() as usize, image.width() as usize];
                images = buffers.take(3 * size[0] * size[1])?;
                pipeline.normalize(image, &mut scratch.canvas, &mut images);
                scratch.canvas.times.images += 1;
                labels = Labels { masks: mask, objects: objects.into_iter().collect() };
            }
            let targets = self.targets(&indices, labels, |_| None);
            let (n, seed, resolution) = (indices.len(), self.seed, self.resolution);
            let (views, frames) = (1, None);
            Ok(Batch { images, targets, n, views, indices, frames, size, resolution, seed, epoch, step })
        })
    }

    /// Reads and resizes one image; `None` if it is broken.
    fn whole(&self, index: u32, pipeline: &TestPipeline, scratch: &mut Scratch) -> Result<Option<Whole>> {
        let mut made = None;
        let attempt = |candidate: u32, sample: &SampleRef| {
            made = Some(self.reads.during(candidate, || self.resized(sample, pipeline, scratch))?);
            Ok(())
        };
        self.quarantine.is_usable(&self.dataset, index, attempt)?;
        Ok(made)
    }

    fn resized(
        &self,
        sample: &SampleRef,
        pipeline: &TestPipeline,
        scratch: &mut Scratch,
    ) -> Result<Whole, SampleError> {
        let Opened { image, mask, canvas } = self.open(sample, scratch)?;
        let fitted = pipeline.fitted([image.width(), image.height()]);
        let image = pipeline.resize(image, canvas)?;
        let objects = match sample.label {
            Label::Objects(image) => Some(self.objects(image, &Geometry::of(fitted))),
            _ => None,
        };
        let mask = mask.map_or_else(Vec::new, |mask| {
            let Fitted { resized: [columns, rows], .. } = fitted;
            let mut out = vec![0; columns as usize * rows as usize];
            timed(&mut canvas.times.augment, || Geometry::of(fitted).write_mask(&mask, &mut out));
            out
        });
        Ok(Whole { image, mask, objects })
    }
}
