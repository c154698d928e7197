//! Turns a batch of the loader into tensors on the device, and resizes its images to every resolution that is needed.
//!
//! Separate because training, calibration, evaluation and the benchmarks all need it.
//! Invariant: smaller resolutions are made from the largest, in one go, each of them once.

use std::collections::{BTreeMap, BTreeSet};

use mutualnet_core::{InputSize, Resolution, shrunk};
use mutualnet_data::Batch;
use mutualnet_engine::{Device, Tensor};

use crate::Result;
use crate::task::Objective;

/// A batch on the engine's device.
#[derive(Debug)]
pub struct StepBatch<O: Objective> {
    /// `[n, 3, h, w]` f32 at the largest resolution, normalized, channels-last.
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
    Ok(Tensor::from_buffer(batch.take_images(), &[n, height, width, 3], device)?)
}

/// The images of a batch at several resolutions.
#[derive(Debug)]
pub struct Pyramid(BTreeMap<InputSize, Tensor>);

impl Pyramid {
    /// Resizes images `[n, 3, h, w]`, whose shorter side has the largest resolution, to each of the sizes, which are those
    /// of images; the largest is not copied.
    ///
    /// # Errors
    /// The engine has no memory.
    ///
    /// # Source
    /// `[MN-code utils/transforms.py InputList]`: bilinear, aligned corners, on the normalized images.
    pub fn new(images: &Tensor, inputs: impl IntoIterator<Item = InputSize>) -> Result<Self> {
        let inputs: BTreeSet<_> = inputs.into_iter().collect();
        let shape = images.shape();
        let size = [shape[2], shape[3]];
        let largest =
            Resolution::new(size[0].min(size[1]) as u32).expect("images are not larger than recipes allow");
        let sizes: Vec<_> = inputs.iter().map(|input| shrunk(size, largest, input.resolution)).collect();
        Ok(Self(inputs.into_iter().zip(images.resize_bilinear_all(&sizes)?).collect()))
    }

    /// The images at one of the sizes.
    ///
    /// # Panics
    /// The pyramid was made without that size.
    pub fn at(&self, input: InputSize) -> &Tensor {
        self.0.get(&input).expect("the pyramid is made with every size that is used")
    }
}
