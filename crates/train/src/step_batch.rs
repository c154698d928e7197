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

/// A batch on the engine's device.
#[derive(Debug)]
pub struct StepBatch<O: Objective> {
    /// `[n, 3, h, w]` f32 at the largest resolution, or `[n, 3, t, h, w]`; normalized, channels-last.
    pub images: Tensor,
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
        Ok(Self { images: images(batch, device)?, targets })
    }
}

/// Moves the images of a batch to the device, without their labels; see [`StepBatch::new`].
///
/// # Errors
/// The engine has no memory.
pub fn images(batch: &mut Batch, device: Device) -> Result<Tensor> {
    let (n, [height, width]) = (batch.n, batch.size);
    let dims = match batch.frames {
        None => vec![n, height, width, 3],
        Some(frames) => vec![n, frames, height, width, 3],
    };
    Ok(Tensor::from_buffer(batch.take_images(), &dims, device)?)
}

/// The images or clips of a batch at several sizes.
#[derive(Debug)]
pub struct Pyramid {
    resized: BTreeMap<InputSize, Tensor>,
    /// As they came.
    whole: Tensor,
}

impl Pyramid {
    /// Resizes images `[n, 3, h, w]`, whose shorter side has the largest resolution, to each of the sizes; the largest is
    /// not copied. Clips `[n, 3, t, h, w]` keep the frames that [`Frames::picked_from`](mutualnet_core::Frames::picked_from)
    /// says.
    ///
    /// # Errors
    /// The engine has no memory.
    ///
    /// # Source
    /// `[MN-code utils/transforms.py InputList]`: bilinear, aligned corners, on the normalized images.
    pub fn new(images: &Tensor, inputs: impl IntoIterator<Item = InputSize>) -> Result<Self> {
        let inputs: BTreeSet<_> = inputs.into_iter().collect();
        let shape = images.shape();
        if shape.len() == 5 {
            return Ok(Self { resized: resized_clips(images, &inputs)?, whole: images.alias() });
        }
        let sizes = sizes([shape[2], shape[3]], &inputs);
        let resized = inputs.into_iter().zip(images.resize_bilinear_all(&sizes)?).collect();
        Ok(Self { resized, whole: images.alias() })
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
fn resized_clips(clips: &Tensor, inputs: &BTreeSet<InputSize>) -> Result<BTreeMap<InputSize, Tensor>> {
    let shape = clips.shape();
    let (n, t, size) = (shape[0], shape[2], [shape[3], shape[4]]);
    let mut resized = BTreeMap::new();
    for frames in inputs.iter().map(|input| input.frames).collect::<BTreeSet<_>>() {
        let with_these: BTreeSet<_> = inputs.iter().copied().filter(|input| input.frames == frames).collect();
        let picked: Vec<_> = frames.picked_from(t).collect();
        let images = clips.frames(&picked)?.resize_bilinear_all(&sizes(size, &with_these))?;
        for (input, images) in with_these.into_iter().zip(images) {
            resized.insert(input, images.clips(n)?);
        }
    }
    Ok(resized)
}

/// Height and width for each of the inputs.
fn sizes(size: [usize; 2], inputs: &BTreeSet<InputSize>) -> Vec<[usize; 2]> {
    let largest =
        Resolution::new(size[0].min(size[1]) as u32).expect("images are not larger than recipes allow");
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
}
