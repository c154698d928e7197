//! The networks, one file per family; each is a list of nodes and nothing else.
//!
//! Invariant: there are no weights and no engine here. Shapes, MACs, training, inference and export all follow from the
//! list.

use layers::conv;
use mutualnet_core::network::{Activation, ChannelRule, Groups, NetworkBuilder};
use mutualnet_core::{Network, NodeId, WidthRange};
use serde::{Deserialize, Serialize};

pub mod efficientnet;
pub mod mobilenet_v1;
pub mod mobilenet_v2;
pub mod mobilenet_v3;
pub mod resnet;
pub mod segment;
pub mod vgg;
pub mod wide_resnet;

mod inverted_residual;

mod layers;

mod output_stride;
pub use output_stride::OutputStride;

/// The configuration of a network, which is the same for every family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Number of classes.
    pub classes: usize,
    /// The widths that it can run at.
    pub widths: WidthRange,
    /// The factor between the sides of the input and of the last feature map: 16 or 8 for small images; `None` as
    /// published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<OutputStride>,
}

/// Why a network cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has this name.
    #[error("unknown network `{name}`")]
    Unknown {
        /// The requested name.
        name: String,
    },
    /// The output stride is not supported.
    #[error("output_stride must be 32, 16 or 8, got {stride}")]
    OutputStride {
        /// The requested stride.
        stride: u32,
    },
    /// There is no wide ResNet with this depth.
    #[error("the depth of `{name}` must be 6n + 4, from 10 to 1000, got {depth}")]
    Depth {
        /// The requested name.
        name: String,
        /// Its depth.
        depth: u32,
    },
    /// The network supports only one output stride.
    #[error("`{name}` supports only an output stride of {stride}")]
    FixedOutputStride {
        /// Name of the network.
        name: String,
        /// The output stride that it has.
        stride: u32,
    },
    /// The list of nodes is not a valid network, for example because the width range leaves a layer without channels.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => {
                let likeness = |known: &&str| strsim::jaro_winkler(known, name);
                let nearest = names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
                let all: Vec<_> = names().collect();
                Some(format!(
                    "did you mean `{nearest}`? known networks: {}, and wide ResNets of any depth 6n + 4 and widening",
                    all.join(", ")
                ))
            }
            Self::Depth { depth, .. } => {
                let nearest = (depth.saturating_sub(1).min(996) / 6 * 6 + 4).max(10);
                Some(format!("the nearest valid depth is {nearest}"))
            }
            Self::FixedOutputStride { .. } => Some("remove `network.output_stride`".to_owned()),
            _ => None,
        }
    }
}

/// The networks that are defined in one file.
struct Family {
    names: &'static [&'static str],
    /// A member that is small, or smaller than the others.
    sample: &'static str,
    /// Builds the network of a name; `None` if it does not belong to the family.
    build: fn(&str, &NetworkConfig) -> Option<Result<Network, Error>>,
}

const FAMILIES: &[Family] = &[
    Family {
        names: &[mobilenet_v1::NAME],
        sample: mobilenet_v1::NAME,
        build: |name, config| (name == mobilenet_v1::NAME).then(|| Ok(mobilenet_v1::mobilenet_v1(config)?)),
    },
    Family {
        names: &[mobilenet_v2::NAME],
        sample: mobilenet_v2::NAME,
        build: |name, config| (name == mobilenet_v2::NAME).then(|| Ok(mobilenet_v2::mobilenet_v2(config)?)),
    },
    Family {
        names: &[mobilenet_v3::NAME],
        sample: mobilenet_v3::NAME,
        build: |name, config| {
            (name == mobilenet_v3::NAME).then(|| Ok(mobilenet_v3::mobilenet_v3_large(config)?))
        },
    },
    Family {
        names: &[efficientnet::NAME],
        sample: efficientnet::NAME,
        build: |name, config| {
            (name == efficientnet::NAME).then(|| Ok(efficientnet::efficientnet_b0(config)?))
        },
    },
    Family { names: resnet::NAMES, sample: "resnet18", build: resnet::resnet },
    Family { names: wide_resnet::NAMES, sample: "wide_resnet10_2", build: wide_resnet::wide_resnet },
    Family {
        names: &[vgg::NAME],
        sample: vgg::NAME,
        build: |name, config| (name == vgg::NAME).then(|| Ok(vgg::vgg16_bn(config)?)),
    },
];

/// The names that [`build`] accepts; for families with numbers in their names, the common members.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.names).copied()
}

/// A small network of every family, for tests that must hold for all families.
pub fn samples() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.sample)
}

/// Whether a network has outputs that only training needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// All outputs.
    Training,
    /// The outputs that answer.
    Inference,
}

/// Builds the network of a name with all of its outputs.
///
/// # Errors
/// Fails if no family has the name, if the family has no such member, or if the configuration leaves a layer without
/// channels.
pub fn build(name: &str, config: &NetworkConfig) -> Result<Network, Error> {
    build_for(Purpose::Training, name, config)
}

/// Builds the network of a name for a purpose.
///
/// # Errors
/// Fails in the same cases as [`build`].
pub fn build_for(purpose: Purpose, name: &str, config: &NetworkConfig) -> Result<Network, Error> {
    let network = FAMILIES.iter().find_map(|family| (family.build)(name, config));
    let network = network.or_else(|| segment::segment(name, config, purpose));
    network.unwrap_or_else(|| Err(Error::Unknown { name: name.to_owned() }))
}

/// The first layers of both MobileNets: input, 3×3 convolution to 32 channels, batch norm, ReLU6.
fn mobile_stem(net: &mut NetworkBuilder, stride: u32) -> NodeId {
    let x = net.input(3);
    let x = net.conv("features.0.0", x, conv(ChannelRule::slim(STEM_CHANNELS), 3, stride, Groups::Dense));
    let x = net.batch_norm("features.0.1", x);
    net.activation("features.0.2", x, Activation::Relu6)
}

/// Number of channels after [`mobile_stem`].
const STEM_CHANNELS: u32 = 32;

#[cfg(test)]
mod tests;
