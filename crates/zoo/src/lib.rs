//! The networks: one file per family, each a list of nodes and nothing else.
//!
//! Invariant: no weights, no engine. Shapes, MACs, training, inference and export all follow from the list.

use mutualnet_core::network::{Activation, ChannelRule, Conv, Groups, NetworkBuilder};
use mutualnet_core::{Network, NodeId, WidthRange};
use serde::{Deserialize, Serialize};

pub mod mobilenet_v1;
pub mod mobilenet_v2;

/// What every family can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Number of classes.
    pub classes: usize,
    /// Widths it can run at.
    pub widths: WidthRange,
    /// How often the input is halved in all, as a factor: 32 as published, 16 or 8 for small images.
    pub output_stride: OutputStride,
}

/// Factor between the sides of the input and of the last feature map.
///
/// Smaller ones turn the first stride-2 layers, from the stem on, into stride 1: 8 is what the field uses for
/// 32-pixel images (MobileNetV2 on CIFAR with 4×4 at the end), 16 costs a quarter of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(try_from = "u32", into = "u32")]
pub enum OutputStride {
    /// As published, for about 128 pixels and more.
    #[default]
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

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No family has this name.
    #[error("no network is called `{name}`")]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// Only some output strides are built.
    #[error("output_stride {stride} is not one of 32, 16, 8")]
    OutputStride {
        /// The stride as given.
        stride: u32,
    },
    /// The list is refused; for example the width range leaves no channels.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let Self::Unknown { name } = self else { return None };
        let nearest =
            names().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        nearest.map(|nearest| {
            let all: Vec<_> = names().collect();
            format!("did you mean `{nearest}`? There are: {}", all.join(", "))
        })
    }
}

type Build = fn(&NetworkConfig) -> mutualnet_core::Result<Network>;

const FAMILIES: [(&str, Build); 2] =
    [(mobilenet_v1::NAME, mobilenet_v1::mobilenet_v1), (mobilenet_v2::NAME, mobilenet_v2::mobilenet_v2)];

/// The names that [`build`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(name, _)| *name)
}

/// The network of a name.
///
/// # Errors
/// No family has the name, or the configuration leaves a layer without channels.
pub fn build(name: &str, config: &NetworkConfig) -> Result<Network, Error> {
    let family = FAMILIES.iter().find(|(family, _)| *family == name);
    let (_, build) = family.ok_or_else(|| Error::Unknown { name: name.to_owned() })?;
    Ok(build(config)?)
}

/// A square convolution of odd size, padded to keep its size at stride 1.
fn conv(out: ChannelRule, size: u32, stride: u32, groups: Groups) -> Conv {
    let padding = size / 2;
    Conv {
        out,
        kernel: [1, size, size],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        groups,
        bias: false,
    }
}

/// The first layers of both MobileNets: input, 3×3 convolution to 32 channels, batch norm, ReLU6.
fn mobile_stem(net: &mut NetworkBuilder, stride: u32) -> NodeId {
    let x = net.input(3);
    let x = net.conv("features.0.0", x, conv(ChannelRule::slim(STEM_CHANNELS), 3, stride, Groups::Dense));
    let x = net.batch_norm("features.0.1", x);
    net.activation("features.0.2", x, Activation::Relu6)
}

/// Channels after [`mobile_stem`].
const STEM_CHANNELS: u32 = 32;

/// Gives the stride-2 layers their strides in the order of the network.
struct Strides {
    n_unstrided: usize,
}

impl Strides {
    fn new(output_stride: OutputStride) -> Self {
        Self { n_unstrided: output_stride.n_unstrided() }
    }

    /// The stride that a layer published with `stride` gets.
    fn next(&mut self, stride: u32) -> u32 {
        if stride == 2 && self.n_unstrided > 0 {
            self.n_unstrided -= 1;
            return 1;
        }
        stride
    }
}

#[cfg(test)]
mod tests;
