//! Turns a batch of the loader into tensors on the device, and resizes its images to every resolution that is needed.
//!
//! Separate because training, calibration, evaluation and the benchmarks all need it.
//! Invariant: smaller resolutions are made from the largest, in one go, each of them once.

use std::collections::{BTreeMap, BTreeSet};

use mutualnet_core::Resolution;
use mutualnet_data::Batch;
use mutualnet_engine::{Device, Tensor};

use crate::{Error, Result};

/// A batch on the engine's device.
#[derive(Debug)]
pub struct StepBatch {
    /// `[n, 3, r, r]` f32 at the largest resolution, normalized, channels-last.
    pub images: Tensor,
    /// `[n]` i64, class numbers.
    pub labels: Tensor,
    /// The second labels, if images are mixed.
    pub second: Option<SecondLabels>,
}

/// The second labels of mixed images, on the engine's device.
#[derive(Debug)]
pub struct SecondLabels {
    /// `[n]` i64, class numbers.
    pub labels: Tensor,
    /// `[n]` f32, the share of each first label, from 0 to 1; the second one has the rest.
    pub shares: Tensor,
}

impl StepBatch {
    /// Moves a batch to the device. On a CPU its images are not copied; the batch has none afterwards.
    ///
    /// # Errors
    /// The engine has no memory.
    pub fn new(batch: &mut Batch, device: Device) -> Result<Self> {
        let (n, [height, width]) = (batch.n, batch.size);
        let (firsts, seconds) = batch.targets.classes().expect("recipes open data sets of classes");
        let labels = |labels: &[i64]| Tensor::from_slice_i64(labels, &[n])?.to_device(device);
        let second = seconds.map(|second| {
            let shares = Tensor::from_slice(&second.shares, &[n])?.to_device(device)?;
            Ok::<_, Error>(SecondLabels { labels: labels(&second.labels)?, shares })
        });
        Ok(Self {
            labels: labels(firsts)?,
            second: second.transpose()?,
            images: Tensor::from_buffer(batch.take_images(), &[n, height, width, 3], device)?,
        })
    }

    /// Cross-entropy of logits `[n, classes]` against the labels, mean over the batch; of mixed images, each label
    /// counts by its share.
    pub(crate) fn cross_entropy(&self, logits: &Tensor, smoothing: f64) -> Result<Tensor> {
        Ok(match &self.second {
            None => logits.cross_entropy(&self.labels, smoothing)?,
            Some(SecondLabels { labels, shares }) => {
                logits.mixed_cross_entropy([&self.labels, labels], shares, smoothing)?
            }
        })
    }
}

/// The images of a batch at several resolutions.
#[derive(Debug)]
pub struct Pyramid(BTreeMap<Resolution, Tensor>);

impl Pyramid {
    /// Resizes images `[n, 3, r, r]` to each of the resolutions; the largest is not copied.
    ///
    /// # Errors
    /// The engine has no memory.
    ///
    /// # Source
    /// `[MN-code utils/transforms.py InputList]`: bilinear, aligned corners, on the normalized images.
    pub fn new(images: &Tensor, resolutions: impl IntoIterator<Item = Resolution>) -> Result<Self> {
        let resolutions: BTreeSet<_> = resolutions.into_iter().collect();
        let sides: Vec<_> = resolutions.iter().map(|resolution| resolution.get() as usize).collect();
        Ok(Self(resolutions.into_iter().zip(images.resize_bilinear_all(&sides)?).collect()))
    }

    /// The images at one of the resolutions.
    ///
    /// # Panics
    /// The pyramid was made without that resolution.
    pub fn at(&self, resolution: Resolution) -> &Tensor {
        self.0.get(&resolution).expect("the pyramid is made with every resolution that is used")
    }
}
