//! Turns a batch of the loader into tensors on the device, and resizes its images or clips to every size that is needed.
//!
//! Separate because training, calibration, evaluation and the benchmarks all need it.
//! Invariant: smaller sizes are made from the largest, in one go, each of them once.

use std::collections::{BTreeMap, BTreeSet};

use mutualnet_core::{InputSize, Network, Resolution, shrunk};
use mutualnet_data::Batch;
use mutualnet_engine::{Device, Tensor};

use crate::Result;
use crate::task::Objective;

/// The images or clips of a batch on the engine's device, at the largest resolution.
#[derive(Debug)]
pub struct Images {
    /// `[n, 3, h, w]` f32, or `[n, 3, t, h, w]`; normalized, channels-last.
    pub pixels: Tensor,
    /// The largest resolution: the length of the shorter side, or more if the length of the longer one is limited.
    pub resolution: Resolution,
}

impl Images {
    /// Images or clips whose shorter side has the largest resolution.
    ///
    /// # Panics
    /// A side is longer than any resolution.
    pub fn with_full_sides(pixels: Tensor) -> Self {
        let shape = pixels.shape();
        let side = shape[shape.len() - 2].min(shape[shape.len() - 1]);
        let resolution = Resolution::new(side as u32).expect("images are not larger than recipes allow");
        Self { pixels, resolution }
    }

    /// Moves the images of a batch to the device, without their labels; see [`StepBatch::new`].
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new(batch: &mut Batch, device: Device) -> Result<Self> {
        let (n, [height, width]) = (batch.n, batch.size);
        let dims = match batch.frames {
            None => vec![n, height, width, 3],
            Some(frames) => vec![n, frames, height, width, 3],
        };
        let pixels = Tensor::from_buffer(batch.take_images(), &dims, device)?;
        Ok(Self { pixels, resolution: batch.resolution })
    }
}

/// A batch on the engine's device.
#[derive(Debug)]
pub struct StepBatch<O: Objective> {
    /// The images or clips.
    pub images: Images,
    /// Their labels.
    pub targets: O::Targets,
}

impl<O: Objective> StepBatch<O> {
    /// Moves a batch to the device. On a CPU its images are not copied; the batch has none afterwards.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new(batch: &mut Batch, device: Device) -> Result<Self> {
        let targets = O::targets(batch, device)?;
        Ok(Self { images: Images::new(batch, device)?, targets })
    }
}

/// The images or clips of a batch at several sizes.
#[derive(Debug)]
pub struct Pyramid {
    resized: BTreeMap<InputSize, Tensor>,
    /// As they came.
    whole: Tensor,
}

impl Pyramid {
    /// Resizes images to each of the sizes, by the same factor in both directions ([`shrunk`]); the largest is not copied.
    /// Clips keep the frames that [`Frames::picked_from`](mutualnet_core::Frames::picked_from) says.
    ///
    /// # Errors
    /// The engine has no memory.
    ///
    /// # Source
    /// `[MN-code utils/transforms.py InputList]`: bilinear, aligned corners, on the normalized images.
    pub fn new(images: &Images, inputs: impl IntoIterator<Item = InputSize>) -> Result<Self> {
        let inputs: BTreeSet<_> = inputs.into_iter().collect();
        let Images { pixels, resolution } = images;
        let shape = pixels.shape();
        let resized = if shape.len() == 5 {
            resized_clips(images, &inputs)?
        } else {
            let sizes = sizes([shape[2], shape[3]], *resolution, &inputs);
            inputs.into_iter().zip(pixels.resize_bilinear_all(&sizes)?).collect()
        };
        Ok(Self { resized, whole: pixels.alias() })
    }

    /// What the list [`List::MAIN`](mutualnet_core::network::List::MAIN) of a network reads for one of the sizes: the images
    /// or clips at that size, and then the whole clips if it has a [`Network::whole_clip`].
    ///
    /// # Panics
    /// As [`Self::at`].
    pub fn inputs(&self, network: &Network, input: InputSize) -> Vec<&Tensor> {
        let whole = network.whole_clip().map(|_| &self.whole);
        std::iter::once(self.at(input)).chain(whole).collect()
    }

    /// The images at one of the sizes.
    ///
    /// # Panics
    /// The pyramid was made without that size.
    pub fn at(&self, input: InputSize) -> &Tensor {
        self.resized.get(&input).expect("the pyramid is made with every size that is used")
    }
}

/// Clips at each of the sizes.
fn resized_clips(clips: &Images, inputs: &BTreeSet<InputSize>) -> Result<BTreeMap<InputSize, Tensor>> {
    let Images { pixels, resolution } = clips;
    let shape = pixels.shape();
    let (n, t, size) = (shape[0], shape[2], [shape[3], shape[4]]);
    let mut resized = BTreeMap::new();
    for frames in inputs.iter().map(|input| input.frames).collect::<BTreeSet<_>>() {
        let with_these: BTreeSet<_> = inputs.iter().copied().filter(|input| input.frames == frames).collect();
        let picked: Vec<_> = frames.picked_from(t).collect();
        let images = pixels.frames(&picked)?.resize_bilinear_all(&sizes(size, *resolution, &with_these))?;
        for (input, images) in with_these.into_iter().zip(images) {
            resized.insert(input, images.clips(n)?);
        }
    }
    Ok(resized)
}

/// Height and width for each of the inputs, given those of the largest resolution.
fn sizes(size: [usize; 2], largest: Resolution, inputs: &BTreeSet<InputSize>) -> Vec<[usize; 2]> {
    inputs.iter().map(|input| shrunk(size, largest, input.resolution)).collect()
}

#[cfg(test)]
mod tests {
    use mutualnet_core::Frames;

    use super::*;

    #[test]
    fn a_smaller_clip_has_some_of_the_frames_resized() {
        // Frame i is i everywhere, so that resizing does not change it.
        let values: Vec<f32> = (0..2 * 4 * 64 * 3).map(|at| (at / (64 * 3)) as f32).collect();
        let clips = Tensor::from_channels_last(&values, &[2, 4, 8, 8, 3], Device::Cpu).unwrap();
        let clips = Images::with_full_sides(clips);
        let input = |side, frames| InputSize {
            resolution: Resolution::new(side).unwrap(),
            frames: Frames::new(frames).unwrap(),
        };
        let pyramid = Pyramid::new(&clips, [input(8, 4), input(4, 4), input(4, 2), input(8, 1)]).unwrap();
        for (at, expected) in [
            (input(8, 4), vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
            (input(4, 4), vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
            (input(4, 2), vec![0.0, 2.0, 4.0, 6.0]),
            (input(8, 1), vec![0.0, 4.0]),
        ] {
            let side = at.resolution.get() as usize;
            let clips = pyramid.at(at);
            assert_eq!(clips.shape(), [2, 3, at.frames.get() as usize, side, side]);
            let red = clips.narrow(1, 0, 1).unwrap().contiguous().unwrap().to_vec_f32().unwrap();
            assert_eq!(red.into_iter().step_by(side * side).collect::<Vec<_>>(), expected, "{at}");
        }
    }

    /// The run side resizes by the ratio of the resolutions, too (`Session::size_of`).
    #[test]
    fn an_image_whose_longer_side_is_limited_is_not_enlarged() {
        let [full, small] = [60, 24].map(|side| InputSize::image(Resolution::new(side).unwrap()));
        for (size, shrunk) in [([40, 100], [16, 40]), ([60, 90], [24, 36])] {
            let pixels =
                Tensor::from_nhwc(&vec![0.0; 3 * size[0] * size[1]], [1, size[0], size[1], 3], Device::Cpu);
            let images = Images { pixels: pixels.unwrap(), resolution: full.resolution };
            let pyramid = Pyramid::new(&images, [full, small]).unwrap();
            assert_eq!(pyramid.at(full).shape()[2..], size);
            assert_eq!(pyramid.at(small).shape()[2..], shrunk);
        }
    }
}
