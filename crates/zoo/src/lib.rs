//! The networks: one file per family, each a list of nodes and nothing else.
//!
//! Invariant: no weights, no engine. Shapes, MACs, training, inference and export all follow from the list.

use layers::conv;
use mutualnet_core::network::{Activation, ChannelRule, Groups, NetworkBuilder};
use mutualnet_core::{Network, NodeId, WidthRange};
use serde::{Deserialize, Serialize};

pub mod efficientnet;
pub mod mobilenet_v1;
pub mod mobilenet_v2;
pub mod mobilenet_v3;
pub mod resnet;
pub mod vgg;
pub mod wide_resnet;

mod inverted_residual;

mod layers;

mod output_stride;
pub use output_stride::OutputStride;

/// What every family can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Number of classes.
    pub classes: usize,
    /// Widths it can run at.
    pub widths: WidthRange,
    /// How often the input is halved in all, as a factor: 16 or 8 for small images; `None` as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<OutputStride>,
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
    /// A wide ResNet of an impossible depth.
    #[error("`{name}` has {depth} layers: the depth of a wide ResNet is 6n + 4, from 10 to 1000")]
    Depth {
        /// The name as given.
        name: String,
        /// Its depth.
        depth: u32,
    },
    /// An output stride was asked of a network that has but one.
    #[error("`{name}` has an output stride of {stride} and no other")]
    FixedOutputStride {
        /// The network.
        name: String,
        /// The one it has.
        stride: u32,
    },
    /// The list is refused; for example the width range leaves no channels.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => {
                let likeness = |known: &&str| strsim::jaro_winkler(known, name);
                let nearest = names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
                let all: Vec<_> = names().collect();
                Some(format!(
                    "did you mean `{nearest}`? There are: {}; and wide ResNets of any depth 6n + 4 and widening",
                    all.join(", ")
                ))
            }
            Self::Depth { name, depth } => {
                let nearest = (depth.saturating_sub(1).min(996) / 6 * 6 + 4).max(10);
                Some(format!("a depth near to that of `{name}` is {nearest}"))
            }
            Self::FixedOutputStride { .. } => Some("leave output_stride out".to_owned()),
            _ => None,
        }
    }
}

/// Networks that are written in one file.
struct Family {
    names: &'static [&'static str],
    /// One of them that is small, or smaller than the others.
    sample: &'static str,
    /// The network of a name, if it is one of the family.
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

/// The names that [`build`] knows; of those with numbers in them, that have any, some.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.names).copied()
}

/// A small network of every family, for what must hold for all of them.
pub fn samples() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.sample)
}

/// The network of a name.
///
/// # Errors
/// No family has the name, the family has no such member, or the configuration leaves a layer without channels.
pub fn build(name: &str, config: &NetworkConfig) -> Result<Network, Error> {
    let network = FAMILIES.iter().find_map(|family| (family.build)(name, config));
    network.unwrap_or_else(|| Err(Error::Unknown { name: name.to_owned() }))
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

#[cfg(test)]
mod tests;
