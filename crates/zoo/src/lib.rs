//! The networks, one file per family; each is a list of nodes and nothing else.
//!
//! Whatever lists networks, in tests, scripts and docs, reads [`FAMILIES`], so that a new one is a file and an entry.
//! Invariant: there are no weights and no engine here. Shapes, MACs, training, inference and export all follow from the
//! list.

use family::{Clip, Origin, Sample};
use layers::conv;
use mutualnet_core::network::{Activation, ChannelRule, Groups, NetworkBuilder, Rank};
use mutualnet_core::{Network, NodeId};

pub mod efficientnet;
pub mod fasterrcnn;
pub mod maskrcnn;
pub mod mnasnet;
pub mod mobilenet_v1;
pub mod mobilenet_v2;
pub mod mobilenet_v3;
pub mod resnet;
pub mod segment;
pub mod slow;
pub mod slowfast;
pub mod ssdlite;
pub mod vgg;
pub mod wide_resnet;
pub mod x3d;

pub mod family;
pub mod golden;

mod inverted_residual;

mod layers;

mod backbone;
pub use backbone::{Backbone, backbone, backbone_name};

mod config;
pub use config::NetworkConfig;

mod error;
pub use error::Error;

pub use family::Family;

mod output_stride;
pub use output_stride::OutputStride;

mod variant;
pub use variant::{Head, Purpose, Variant};

/// All families.
pub const FAMILIES: &[Family] = &[
    Family {
        names: &[mobilenet_v1::NAME],
        origin: Origin::Authors,
        torchvision: &[],
        timm: &[(mobilenet_v1::NAME, "mobilenetv1_100")],
        clips: &[],
        samples: &[Sample { name: mobilenet_v1::NAME, widths: [0.25, 1.0] }],
        build: |name, config| (name == mobilenet_v1::NAME).then(|| Ok(mobilenet_v1::mobilenet_v1(config)?)),
    },
    Family {
        names: &[mobilenet_v2::NAME],
        origin: Origin::Authors,
        torchvision: &[mobilenet_v2::NAME],
        timm: &[(mobilenet_v2::NAME, "mobilenetv2_100")],
        clips: &[],
        samples: &[Sample { name: mobilenet_v2::NAME, widths: [0.25, 1.0] }],
        build: |name, config| (name == mobilenet_v2::NAME).then(|| Ok(mobilenet_v2::mobilenet_v2(config)?)),
    },
    Family {
        names: &[mobilenet_v3::NAME],
        origin: Origin::Torchvision,
        torchvision: &[mobilenet_v3::NAME],
        timm: &[(mobilenet_v3::NAME, "mobilenetv3_large_100")],
        clips: &[],
        samples: &[Sample { name: mobilenet_v3::NAME, widths: [0.25, 0.5] }],
        build: |name, config| {
            (name == mobilenet_v3::NAME).then(|| Ok(mobilenet_v3::mobilenet_v3_large(config)?))
        },
    },
    Family {
        names: &[efficientnet::NAME],
        origin: Origin::Torchvision,
        torchvision: &[efficientnet::NAME],
        timm: &[(efficientnet::NAME, efficientnet::NAME)],
        clips: &[],
        samples: &[Sample { name: efficientnet::NAME, widths: [0.25, 0.5] }],
        build: |name, config| {
            (name == efficientnet::NAME).then(|| Ok(efficientnet::efficientnet_b0(config)?))
        },
    },
    Family {
        names: mnasnet::NAMES,
        origin: Origin::Torchvision,
        torchvision: mnasnet::NAMES,
        timm: &[("mnasnet0_5", "mnasnet_050"), ("mnasnet0_75", "mnasnet_075"), ("mnasnet1_0", "mnasnet_100")],
        clips: &[],
        samples: &[Sample { name: "mnasnet0_5", widths: [0.25, 1.0] }],
        build: mnasnet::mnasnet,
    },
    Family {
        names: resnet::NAMES,
        origin: Origin::Authors,
        torchvision: resnet::NAMES,
        timm: &[("resnet18", "resnet18"), ("resnet50", "resnet50")],
        clips: &[],
        // One with basic blocks, and one with bottlenecks.
        samples: &[
            Sample { name: "resnet18", widths: [0.0625, 0.25] },
            Sample { name: "resnet50", widths: [0.0625, 0.25] },
        ],
        build: resnet::resnet,
    },
    Family {
        names: wide_resnet::NAMES,
        origin: Origin::Authors,
        torchvision: &[],
        timm: &[],
        clips: &[],
        samples: &[Sample { name: "wide_resnet10_2", widths: [0.25, 1.0] }],
        build: wide_resnet::wide_resnet,
    },
    Family {
        names: &[vgg::NAME],
        origin: Origin::Torchvision,
        torchvision: &[vgg::NAME],
        timm: &[(vgg::NAME, vgg::NAME)],
        clips: &[],
        samples: &[Sample { name: vgg::NAME, widths: [0.0625, 0.25] }],
        build: |name, config| (name == vgg::NAME).then(|| Ok(vgg::vgg16_bn(config)?)),
    },
    Family {
        names: slow::NAMES,
        origin: Origin::Pytorchvideo,
        torchvision: &[],
        timm: &[],
        clips: &[
            Clip { name: "slow_r50_4x16", frames: 4, side: 224, fast: None },
            Clip { name: "slow_r50_8x8", frames: 8, side: 224, fast: None },
        ],
        samples: &[Sample { name: "slow_r50_4x16", widths: [0.0625, 0.25] }],
        build: slow::slow,
    },
    Family {
        names: slowfast::NAMES,
        origin: Origin::Pytorchvideo,
        torchvision: &[],
        timm: &[],
        clips: &[
            Clip { name: "slowfast_r50_4x16", frames: 4, side: 224, fast: Some(slowfast::FAST) },
            Clip { name: "slowfast_r50_8x8", frames: 8, side: 224, fast: Some(slowfast::FAST) },
            Clip { name: "slowfast_r14_4x16", frames: 4, side: 224, fast: Some(slowfast::FAST) },
            Clip { name: "slowfast_r14_8x8", frames: 8, side: 224, fast: Some(slowfast::FAST) },
        ],
        samples: &[Sample { name: "slowfast_r14_4x16", widths: [0.0625, 0.25] }],
        build: slowfast::slowfast,
    },
    Family {
        names: x3d::NAMES,
        origin: Origin::Pytorchvideo,
        torchvision: &[],
        timm: &[],
        clips: &[
            Clip { name: "x3d_xs", frames: 4, side: 160, fast: None },
            Clip { name: "x3d_s", frames: 13, side: 160, fast: None },
            Clip { name: "x3d_m", frames: 16, side: 224, fast: None },
        ],
        samples: &[Sample { name: "x3d_xs", widths: [0.25, 0.5] }],
        build: x3d::x3d,
    },
];

/// The names that [`build`] accepts; for families with numbers in their names, the common members.
pub fn all_names() -> impl Iterator<Item = &'static str> {
    names().chain(segment::NAMES.iter().copied()).chain([ssdlite::NAME]).chain(two_stage())
}

/// Those of [`all_names`] that propose regions and look at each.
pub fn two_stage() -> impl Iterator<Item = &'static str> {
    fasterrcnn::NAMES.into_iter().chain(maskrcnn::NAMES)
}

/// Those of [`all_names`] that classify.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.names).copied()
}

/// A small network of every family that reads one image or clip, for tests that must hold for all of them.
pub fn samples() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().filter(|family| !family.reads_two()).map(|family| family.samples[0].name)
}

/// Those of [`samples`] that read images, or those that read clips.
pub fn samples_of(rank: Rank) -> impl Iterator<Item = &'static str> {
    let of_rank = FAMILIES.iter().filter(move |family| family.rank() == rank && !family.reads_two());
    of_rank.map(|family| family.samples[0].name)
}

/// The family that lists a name, or has it as a sample.
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.lists(name))
}

/// Whose names the parameters of a network have; those of a network that is not here count as the authors'.
pub fn origin(name: &str) -> Origin {
    if segment::NAMES.contains(&name) || name == ssdlite::NAME || two_stage().any(|other| other == name) {
        return Origin::Torchvision;
    }
    family(name).map_or(Origin::Authors, |family| family.origin)
}

/// Builds the network of a name with all of its outputs.
///
/// # Errors
/// Fails if no family has the name, if the family has no such member, or if the configuration leaves a layer without
/// channels.
pub fn build(name: &str, config: &NetworkConfig) -> Result<Network, Error> {
    build_for(Purpose::Training, name, config)
}

/// Builds a variant of the network of a name; a network that classifies has only one.
///
/// # Errors
/// Fails in the same cases as [`build`].
pub fn build_for(variant: impl Into<Variant>, name: &str, config: &NetworkConfig) -> Result<Network, Error> {
    let variant = variant.into();
    let network = FAMILIES.iter().find_map(|family| (family.build)(name, config));
    let network = network.or_else(|| segment::segment(name, config, variant));
    let network = network.or_else(|| (name == ssdlite::NAME).then(|| ssdlite::ssdlite(config, variant.head)));
    let network = network.or_else(|| fasterrcnn::fasterrcnn(name, config, variant.head));
    let network = network.or_else(|| maskrcnn::maskrcnn(name, config, variant.head));
    network.unwrap_or_else(|| Err(Error::Unknown { name: name.to_owned() }))
}

/// Builds the network of a name for small images: with the output stride of `config`, unless the network is for small
/// images as it is.
///
/// # Errors
/// As [`build`], but for an output stride.
pub fn build_small(name: &str, config: &NetworkConfig) -> Result<Network, Error> {
    match build(name, config) {
        Err(Error::FixedOutputStride { .. }) => {
            build(name, &NetworkConfig { output_stride: None, ..*config })
        }
        result => result,
    }
}

/// The first layers of both MobileNets, in the list at `path`: 3×3 convolution to 32 channels, batch norm, ReLU6.
fn mobile_stem(net: &mut NetworkBuilder, (path, input): (&str, NodeId), stride: u32) -> NodeId {
    let first = conv(ChannelRule::slim(STEM_CHANNELS), 3, stride, Groups::Dense);
    let x = net.conv(&format!("{path}.0.0"), input, first);
    let x = net.batch_norm(&format!("{path}.0.1"), x);
    net.activation(&format!("{path}.0.2"), x, Activation::Relu6)
}

/// Number of channels after [`mobile_stem`].
const STEM_CHANNELS: u32 = 32;

#[cfg(test)]
mod tests;
