//! Makes one batch: reads, augments and mixes its images, and moves their masks or boxes along.
//!
//! Separate from the threads that ask for batches, which do not need to know what is in them.
//! Invariant: a batch depends on its plan alone, whichever thread makes which of its images.

use std::iter::repeat_n;
use std::sync::Arc;
#[cfg(test)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mutualnet_core::rng::Purpose;
use mutualnet_core::{Resolution, Task, Views};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::{Canvas, Mask, TestPipeline, timed};
use rayon::prelude::*;

use super::batches::Batch;
use super::buffers::Buffers;
use crate::aspects::Aspects;
use crate::augment::Mixing;
use crate::mask_file::{self, Wanted};
use crate::order::{BatchPlan, Draw, Order, Part};
use crate::progress::Reads;
use crate::quarantine::Quarantine;
use crate::scratch::{Scratch, ScratchPool};
use crate::transform::TrainPipeline;
use crate::{Dataset, Geometry, Label, Objects, Result, SampleError, SampleRef, SecondLabels, Targets};

mod clip;
pub(super) use clip::ClipReader;
mod whole;

/// What to do with every image.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Augmentation, with the purpose that keys its randomness, the mixing of finished images, and if images are whole, which of
    /// them can share a batch.
    Train { pipeline: TrainPipeline, purpose: Purpose, mixing: Option<Mixing>, groups: Option<Arc<Aspects>> },
    /// Test-time preprocessing.
    Test { pipeline: TestPipeline },
    /// A panic, to test how it is reported.
    #[cfg(test)]
    Panic,
    /// Reads that hang for as long as someone holds this lock.
    #[cfg(test)]
    Hang(Arc<Mutex<()>>),
}

/// How large the images of a batch are.
enum Size {
    /// Columns and rows.
    Common([u32; 2]),
    /// As large as the one image of the batch.
    Own(TestPipeline),
}

impl Work {
    /// How large the images of the batch with this sample are.
    fn size(&self, sample: u32) -> Size {
        match self {
            Self::Train { pipeline, groups, .. } => {
                Size::Common(finished(pipeline, groups.as_deref(), sample))
            }
            Self::Test { pipeline } => match pipeline.size() {
                Some([side, _]) => Size::Common([side as u32; 2]),
                None => Size::Own(*pipeline),
            },
            #[cfg(test)]
            Self::Panic | Self::Hang(_) => Size::Common([1; 2]),
        }
    }

    /// Whether it is training, where another image of the class may replace a broken one; accuracy must count every image at most
    /// once.
    fn may_replace(&self) -> bool {
        !matches!(self, Self::Test { .. })
    }

    /// How images are mixed, if they are, and their side.
    fn mixing(&self) -> Option<(Mixing, u32)> {
        match self {
            Self::Train { mixing, pipeline, .. } => Some(((*mixing)?, pipeline.side())),
            _ => None,
        }
    }
}

/// Columns and rows of the training images in the batch with this sample.
fn finished(pipeline: &TrainPipeline, groups: Option<&Aspects>, sample: u32) -> [u32; 2] {
    groups.map_or([pipeline.side(); 2], |groups| pipeline.whole(groups.shape(sample)).resized)
}

/// Everything a builder needs to know.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) dataset: Arc<Dataset>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) seed: u64,
    pub(super) scratch: Arc<ScratchPool>,
    pub(super) reads: Arc<Reads<u32>>,
    pub(super) part: Part,
    /// The largest resolution.
    pub(super) resolution: Resolution,
    /// Reads the videos of the data set; `None` if it has images.
    pub(super) clips: Option<ClipReader>,
    pub(super) work: Work,
    pub(super) order: Order,
}

/// Where one image or clip of a batch and its label go; the mask is empty if there are none.
struct Out<'a> {
    image: &'a mut [f32],
    mask: &'a mut [u8],
    objects: &'a mut Objects,
}

/// The labels of a batch besides classes, as far as there are such.
#[derive(Default)]
struct Labels {
    masks: Vec<u8>,
    objects: Vec<Objects>,
}

impl Job {
    /// Makes a batch on the threads of the current pool.
    pub(super) fn build(&self, plan: BatchPlan, buffers: &Arc<Buffers>, stop: &AtomicBool) -> Result<Batch> {
        // Only in evaluation may a part have no images, and there the size does not depend on the sample.
        match self.work.size(plan.draws.first().map_or(0, |draw| draw.index)) {
            Size::Common(size) => self.build_alike(plan, size, buffers, stop),
            Size::Own(pipeline) => self.build_whole(plan, &pipeline, buffers),
        }
    }

    fn build_alike(
        &self,
        plan: BatchPlan,
        size: [u32; 2],
        buffers: &Arc<Buffers>,
        stop: &AtomicBool,
    ) -> Result<Batch> {
        let [columns, rows] = size.map(|side| side as usize);
        let pixels = columns * rows;
        let frames = self.clips.as_ref().map(ClipReader::frames);
        let Views { clips, crops } = self.views();
        let crops = crops as usize;
        let floats = crops * frames.unwrap_or(1) * 3 * pixels;
        let mut images = buffers.take(plan.draws.len() * floats)?;
        let mut masks = vec![0; if self.has_masks() { plan.draws.len() * pixels } else { 0 }];
        let mut mask_chunks = masks.chunks_exact_mut(pixels);
        let outs = images.chunks_exact_mut(floats);
        let mut objects = vec![Objects::default(); plan.draws.len()];
        let outs = outs.zip(&mut objects).map(|(image, objects)| Out {
            image,
            mask: mask_chunks.next().unwrap_or_default(),
            objects,
        });
        let outs: Vec<_> = outs.collect();
        let written = outs
            .into_par_iter()
            .zip(&plan.draws)
            .with_max_len(1)
            .map(|(out, &draw)| {
                if stop.load(Ordering::Relaxed) {
                    return Ok(Some(draw.index));
                }
                self.scratch.with(|scratch| self.write(draw, plan.epoch, scratch, out))
            })
            .collect::<Result<Vec<Option<u32>>>>()?;
        let n = close_gaps(&mut images, floats, &written);
        images.truncate(n * floats);
        if self.has_masks() {
            close_gaps(&mut masks, pixels, &written);
            masks.truncate(n * pixels);
        }
        let objects = objects.into_iter().zip(&written).filter_map(|(objects, index)| index.map(|_| objects));
        let labels = Labels { masks, objects: objects.collect() };
        let indices: Vec<_> =
            written.into_iter().flatten().flat_map(|index| repeat_n(index, crops)).collect();
        let targets = self.targets(&indices, labels, |labels| {
            self.work.mixing().map(|mixing| self.mix(mixing, (&plan, &mut images), labels))
        });
        let BatchPlan { epoch, step, .. } = plan;
        let (n, views, size) = (n * crops, clips as usize * crops, [rows, columns]);
        let (seed, resolution) = (self.seed, self.resolution);
        Ok(Batch { images, targets, indices, n, views, frames, size, resolution, seed, epoch, step })
    }

    /// How many clips and crops of each sample there are.
    fn views(&self) -> Views {
        match (&self.work, &self.clips) {
            (Work::Test { .. }, Some(clips)) => clips.views(),
            _ => Views::default(),
        }
    }

    fn has_masks(&self) -> bool {
        self.dataset.task() == Task::Segment
    }

    /// The labels of samples; `mix` mixes their images, if there are classes, and returns the second ones.
    fn targets(
        &self,
        indices: &[u32],
        labels: Labels,
        mix: impl FnOnce(&[i64]) -> Option<SecondLabels>,
    ) -> Targets {
        if self.has_masks() {
            return Targets::Masks(labels.masks);
        }
        if let Some(truth) = self.dataset.truth() {
            return Targets::Objects { truth: Arc::clone(truth), images: labels.objects };
        }
        let samples = self.dataset.samples();
        let labels: Vec<_> = indices.iter().map(|&i| i64::from(samples[i as usize].class())).collect();
        let second = mix(&labels);
        Targets::Classes { labels, second }
    }

    /// Makes one image or clip of a batch and returns its sample. Only training replaces a broken image by another one.
    fn write(&self, draw: Draw, epoch: u32, scratch: &mut Scratch, out: Out<'_>) -> Result<Option<u32>> {
        let index = draw.index;
        let Out { image, mask, objects } = out;
        let attempt = |candidate: u32, sample: &SampleRef| {
            let out = Out { image: &mut *image, mask: &mut *mask, objects: &mut *objects };
            self.reads.during(candidate, || match &self.clips {
                Some(clips) => self.attempt_clip(clips, sample, (draw, epoch), scratch, out.image),
                None => self.attempt(sample, (draw, epoch), scratch, out),
            })
        };
        if self.work.may_replace() {
            return self.quarantine.first_usable(&self.dataset, index, attempt).map(Some);
        }
        Ok(self.quarantine.is_usable(&self.dataset, index, attempt)?.then_some(index))
    }

    fn attempt(
        &self,
        sample: &SampleRef,
        (draw, epoch): (Draw, u32),
        scratch: &mut Scratch,
        out: Out<'_>,
    ) -> Result<(), SampleError> {
        let Opened { image, mask, canvas } = self.open(sample, scratch)?;
        let geometry = self.write_image(image, (draw, epoch), canvas, out.image)?;
        if let (&Label::Objects(image), Some(geometry)) = (&sample.label, geometry) {
            *out.objects = self.objects(image, &geometry);
        }
        if let (Some(mask), Some(geometry)) = (mask, geometry) {
            timed(&mut canvas.times.augment, || geometry.write_mask(&mask, out.mask));
        }
        canvas.times.images += 1;
        Ok(())
    }

    /// The objects of an image of the ground truth, where they are seen after its augmentation. Crowds are left out. An outline
    /// that cannot be drawn counts as not known; reading the ground truth has told it.
    fn objects(&self, image: usize, geometry: &Geometry) -> Objects {
        let truth = self.dataset.truth().expect("samples with objects have their ground truth");
        let extent = truth.images()[image].extent;
        let (columns, rows) = (f64::from(extent.width), f64::from(extent.height));
        let mut objects = Objects { image, ..Objects::default() };
        for object in truth.of_image(image).iter().filter(|object| !object.is_crowd) {
            let [left, top, width, height] = object.bounds;
            let inside = [left.max(0.0), top.max(0.0), (left + width).min(columns), (top + height).min(rows)];
            if let Some(seen) = geometry.moved_box(inside) {
                objects.boxes.push(seen);
                // The background is class 0.
                objects.classes.push(object.category as u32 + 1);
                if self.dataset.object_masks() && self.work.may_replace() {
                    let whole = object.shape.as_ref().and_then(|shape| shape.mask(extent).ok());
                    objects.masks.push(whole.and_then(|mask| geometry.moved_mask(&mask).ok()));
                }
            }
        }
        objects
    }

    /// Writes an image or a frame as the work says. All frames of a clip get the same draws. Returns where its pixels come
    /// from.
    fn write_image(
        &self,
        image: Undecoded<'_>,
        (draw, epoch): (Draw, u32),
        canvas: &mut Canvas,
        out: &mut [f32],
    ) -> Result<Option<Geometry>, SampleError> {
        match &self.work {
            Work::Train { pipeline, purpose, groups, .. } => {
                let size = finished(pipeline, groups.as_deref(), draw.index);
                let key = draw.key(self.seed, *purpose, epoch);
                Ok(Some(pipeline.write((image, size), &mut key.stream(), canvas, out)?))
            }
            Work::Test { pipeline } => {
                let fitted = pipeline.fitted([image.width(), image.height()]);
                pipeline.write(image, canvas, out)?;
                Ok(Some(Geometry::of(fitted)))
            }
            #[cfg(test)]
            Work::Panic => panic!("sample {} is a test of panics", draw.index),
            #[cfg(test)]
            Work::Hang(held) => {
                drop(held.lock());
                Ok(None)
            }
        }
    }

    /// Reads a sample, up to where its pixels are needed.
    fn open<'s>(&self, sample: &SampleRef, scratch: &'s mut Scratch) -> Result<Opened<'s>, SampleError> {
        let Scratch { file, mask_file, canvas } = scratch;
        let (dir, begun) = (self.dataset.dir(), Instant::now());
        let image = sample.place.open(dir, file, &mut canvas.decoded)?;
        canvas.times.read += begun.elapsed().saturating_sub(image.decoding());
        canvas.times.decode += image.decoding();
        let size = [image.width(), image.height()];
        let mask = match &sample.label {
            Label::Class(_) => None,
            &Label::Objects(image) => {
                self.dataset.check_size(image, size)?;
                None
            }
            Label::Mask(path) => {
                let wanted = Wanted { size, classes: self.dataset.classes().len() };
                let read = || mask_file::read(dir, path, wanted, mask_file);
                Some(timed(&mut canvas.times.decode, read)?)
            }
        };
        Ok(Opened { image, mask, canvas })
    }

    /// Mixes the finished images of a batch in place, neighbors with each other.
    ///
    /// The random stream depends on the pair's first image alone, and not on its place in the batch, which depends on the part.
    fn mix(
        &self,
        (mixing, side): (Mixing, u32),
        (plan, images): (&BatchPlan, &mut [f32]),
        labels: &[i64],
    ) -> SecondLabels {
        let frame_len = 3 * (side as usize).pow(2);
        let image_len = frame_len * self.clips.as_ref().map_or(1, ClipReader::frames);
        let mut second = SecondLabels { labels: labels.to_vec(), shares: vec![1.0; labels.len()] };
        second.labels.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        images
            .par_chunks_exact_mut(2 * image_len)
            .zip(plan.draws.par_chunks_exact(2))
            .zip(second.shares.par_chunks_exact_mut(2))
            .for_each(|((pair, draws), shares)| {
                let key = draws[0].key(self.seed, Purpose::Mix, plan.epoch);
                let mix = mixing.draw(side, &mut key.stream());
                let (first, second) = pair.split_at_mut(image_len);
                let frames = first.chunks_exact_mut(frame_len).zip(second.chunks_exact_mut(frame_len));
                frames.for_each(|(first, second)| mix.apply(first, second, side));
                shares.fill(mix.share());
            });
        second
    }
}

/// A sample whose image is about to be decoded.
struct Opened<'s> {
    image: Undecoded<'s>,
    mask: Option<Mask>,
    canvas: &'s mut Canvas,
}

/// Moves what was made to the start, pieces of `len` values, and returns how many pieces there are.
fn close_gaps<T: Copy>(values: &mut [T], len: usize, written: &[Option<u32>]) -> usize {
    let mut n = 0;
    for (place, _) in written.iter().enumerate().filter(|(_, index)| index.is_some()) {
        if place > n {
            values.copy_within(place * len..(place + 1) * len, n * len);
        }
        n += 1;
    }
    n
}
