//! How often a network halves its input: fewer times for small images, without another network.
//!
//! Separate because all families share it. Invariant: names and shapes of parameters do not depend on it.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Factor between the sides of the input and of the last feature map.
///
/// Smaller ones turn the first stride-2 layers, from the stem on, into stride 1: 8 is what the field uses for
/// 32-pixel images (MobileNetV2 on CIFAR with 4×4 at the end), 16 costs a quarter of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum OutputStride {
    /// As published, for about 128 pixels and more.
    S32,
    /// Stem at stride 1.
    S16,
    /// Stem and the next stride-2 layer at stride 1.
    S8,
}

impl OutputStride {
    /// How many of the first stride-2 layers have stride 1.
    fn n_unstrided(self) -> usize {
        match self {
            Self::S32 => 0,
            Self::S16 => 1,
            Self::S8 => 2,
        }
    }
}

impl TryFrom<u32> for OutputStride {
    type Error = Error;

    fn try_from(stride: u32) -> Result<Self, Error> {
        match stride {
            32 => Ok(Self::S32),
            16 => Ok(Self::S16),
            8 => Ok(Self::S8),
            _ => Err(Error::OutputStride { stride }),
        }
    }
}

impl From<OutputStride> for u32 {
    fn from(stride: OutputStride) -> Self {
        32 >> stride.n_unstrided()
    }
}

/// Gives the stride-2 layers their strides in the order of the network.
pub(crate) struct Strides {
    n_unstrided: usize,
}

impl Strides {
    /// None asked for is as published.
    pub(crate) fn new(output_stride: Option<OutputStride>) -> Self {
        Self { n_unstrided: output_stride.map_or(0, OutputStride::n_unstrided) }
    }

    /// The stride that a layer published with `stride` gets.
    pub(crate) fn next(&mut self, stride: u32) -> u32 {
        if stride == 2 && self.n_unstrided > 0 {
            self.n_unstrided -= 1;
            return 1;
        }
        stride
    }
}
