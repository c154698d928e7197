//! The output stride, which adapts a network to small images; all families share it.
//!
//! Invariant: names and shapes of parameters do not depend on it.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The factor between the sides of the input and of the last feature map.
///
/// A smaller factor gives the first stride-2 layers, starting with the stem, stride 1. 8 is usual for 32-pixel images
/// (MobileNetV2 on CIFAR ends with 4×4 positions), and 16 costs a quarter of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum OutputStride {
    /// As published, for about 128 pixels or more.
    S32,
    /// The stem has stride 1.
    S16,
    /// The stem and the next stride-2 layer have stride 1.
    S8,
}

impl OutputStride {
    /// How many of the first stride-2 layers get stride 1.
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

/// Assigns strides to the stride-2 layers, in the order of the network.
pub(crate) struct Strides {
    n_unstrided: usize,
}

impl Strides {
    /// Starts at the first layer; `None` keeps all strides as published.
    pub(crate) fn new(output_stride: Option<OutputStride>) -> Self {
        Self { n_unstrided: output_stride.map_or(0, OutputStride::n_unstrided) }
    }

    /// The stride of the next layer, which has the published stride `stride`.
    pub(crate) fn next(&mut self, stride: u32) -> u32 {
        if stride == 2 && self.n_unstrided > 0 {
            self.n_unstrided -= 1;
            return 1;
        }
        stride
    }
}

/// Assigns strides and dilations to the layers that may have them, in the order of the network.
pub(crate) struct Steps {
    strides: Strides,
    /// The product of all strides that is not exceeded.
    limit: u32,
    reached: u32,
    dilation: u32,
}

impl Steps {
    /// Strides alone, as [`Strides`].
    pub(crate) fn strided(output_stride: Option<OutputStride>) -> Self {
        Self { strides: Strides::new(output_stride), limit: u32::MAX, reached: 1, dilation: 1 }
    }

    /// The strides as published, up to an output stride; later ones become dilations, so that no layer loses its view and
    /// no weight its meaning.
    pub(crate) fn dilated(output_stride: OutputStride) -> Self {
        Self { limit: output_stride.into(), ..Self::strided(None) }
    }

    /// Stride and dilation of the next layer, which has the published stride `stride`.
    pub(crate) fn next(&mut self, stride: u32) -> [u32; 2] {
        let stride = self.strides.next(stride);
        if self.reached * stride <= self.limit {
            self.reached *= stride;
            return [stride, self.dilation];
        }
        self.dilation *= stride;
        [1, self.dilation]
    }
}
