//! The networks, one file per family; each is a list of nodes and nothing else.
//!
//! Whatever lists networks, in tests, scripts and docs, reads [`FAMILIES`], so that a new one is a file and an entry.
//! Invariant: there are no weights and no engine here. Shapes, MACs, training, inference and export all follow from the
//! list.

use family::{Clip, Origin, Reads, Sample};
use golden::Folder;
use layers::conv;
use mutualnet_core::network::{Activation, ChannelRule, Groups, NetworkBuilder, Rank};
use mutualnet_core::{Network, NodeId, Task};

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
pub use backbone::{BackboneNames, backbone, backbone_names};

mod config;
pub use config::NetworkConfig;

mod error;
pub use error::Error;

pub use family::Family;

mod output_stride;
pub use output_stride::OutputStride;

mod variant;
pub use variant::{Head, Purpose, TwoStage, Variant};

/// What is alike for most families that classify the images of ImageNet.
const IMAGENET: Family = Family {
    names: &[],
    task: Task::Classify,
    reads: Reads::Images { side: 224 },
    classes: 1000,
    origin: Origin::Authors,
    torchvision: &[],
    timm: &[],
    backbones: &[],
    results: Folder::Steps,
    samples: &[],
    build: |_, _, _| None,
};

/// The same of families that classify the clips of Kinetics-400.
const KINETICS: Family =
    Family { classes: 400, origin: Origin::Pytorchvideo, results: Folder::Clips, ..IMAGENET };

/// The same of families that detect the objects of COCO; torchvision counts the background, and ten classes that are not used.
const COCO: Family = Family {
    task: Task::Detect,
    classes: 91,
    origin: Origin::Torchvision,
    results: Folder::Regions,
    ..IMAGENET
};

/// All families.
pub const FAMILIES: &[Family] = &[
    Family {
        names: &[mobilenet_v1::NAME],
        origin: Origin::Authors,
        timm: &[(mobilenet_v1::NAME, "mobilenetv1_100")],
        samples: &[Sample { name: mobilenet_v1::NAME, widths: [0.25, 1.0] }],
        build: |name, config, _| {
            (name == mobilenet_v1::NAME).then(|| Ok(mobilenet_v1::mobilenet_v1(config)?))
        },
        ..IMAGENET
    },
    Family {
        names: &[mobilenet_v2::NAME],
        origin: Origin::Authors,
        torchvision: &[mobilenet_v2::NAME],
        timm: &[(mobilenet_v2::NAME, "mobilenetv2_100")],
        samples: &[Sample { name: mobilenet_v2::NAME, widths: [0.25, 1.0] }],
        build: |name, config, _| {
            (name == mobilenet_v2::NAME).then(|| Ok(mobilenet_v2::mobilenet_v2(config)?))
        },
        ..IMAGENET
    },
    Family {
        names: &[mobilenet_v3::NAME],
        origin: Origin::Torchvision,
        torchvision: &[mobilenet_v3::NAME],
        timm: &[(mobilenet_v3::NAME, "mobilenetv3_large_100")],
        samples: &[Sample { name: mobilenet_v3::NAME, widths: [0.25, 0.5] }],
        build: |name, config, _| {
            (name == mobilenet_v3::NAME).then(|| Ok(mobilenet_v3::mobilenet_v3_large(config)?))
        },
        ..IMAGENET
    },
    Family {
        names: &[efficientnet::NAME],
        origin: Origin::Torchvision,
        torchvision: &[efficientnet::NAME],
        timm: &[(efficientnet::NAME, efficientnet::NAME)],
        samples: &[Sample { name: efficientnet::NAME, widths: [0.25, 0.5] }],
        build: |name, config, _| {
            (name == efficientnet::NAME).then(|| Ok(efficientnet::efficientnet_b0(config)?))
        },
        ..IMAGENET
    },
    Family {
        names: mnasnet::NAMES,
        origin: Origin::Torchvision,
        torchvision: mnasnet::NAMES,
        timm: &[("mnasnet0_5", "mnasnet_050"), ("mnasnet0_75", "mnasnet_075"), ("mnasnet1_0", "mnasnet_100")],
        samples: &[Sample { name: "mnasnet0_5", widths: [0.25, 1.0] }],
        build: |name, config, _| mnasnet::mnasnet(name, config),
        ..IMAGENET
    },
    Family {
        names: resnet::NAMES,
        origin: Origin::Authors,
        torchvision: resnet::NAMES,
        timm: &[("resnet18", "resnet18"), ("resnet50", "resnet50")],
        // One with basic blocks, and one with bottlenecks.
        samples: &[
            Sample { name: "resnet18", widths: [0.0625, 0.25] },
            Sample { name: "resnet50", widths: [0.0625, 0.25] },
        ],
        build: |name, config, _| resnet::resnet(name, config),
        ..IMAGENET
    },
    Family {
        names: wide_resnet::NAMES,
        reads: Reads::Images { side: 32 },
        classes: 100,
        origin: Origin::Authors,
        samples: &[Sample { name: "wide_resnet10_2", widths: [0.25, 1.0] }],
        build: |name, config, _| wide_resnet::wide_resnet(name, config),
        ..IMAGENET
    },
    Family {
        names: &[vgg::NAME],
        origin: Origin::Torchvision,
        torchvision: &[vgg::NAME],
        timm: &[(vgg::NAME, vgg::NAME)],
        samples: &[Sample { name: vgg::NAME, widths: [0.0625, 0.25] }],
        build: |name, config, _| (name == vgg::NAME).then(|| Ok(vgg::vgg16_bn(config)?)),
        ..IMAGENET
    },
    Family {
        names: slow::NAMES,
        reads: Reads::Clips(&[
            Clip { name: "slow_r50_4x16", frames: 4, side: 224, fast: None },
            Clip { name: "slow_r50_8x8", frames: 8, side: 224, fast: None },
        ]),
        samples: &[Sample { name: "slow_r50_4x16", widths: [0.0625, 0.25] }],
        build: |name, config, _| slow::slow(name, config),
        ..KINETICS
    },
    Family {
        names: slowfast::NAMES,
        reads: Reads::Clips(&[
            Clip { name: "slowfast_r50_4x16", frames: 4, side: 224, fast: Some(slowfast::FAST) },
            Clip { name: "slowfast_r50_8x8", frames: 8, side: 224, fast: Some(slowfast::FAST) },
            Clip { name: "slowfast_r14_4x16", frames: 4, side: 224, fast: Some(slowfast::FAST) },
            Clip { name: "slowfast_r14_8x8", frames: 8, side: 224, fast: Some(slowfast::FAST) },
        ]),
        samples: &[Sample { name: "slowfast_r14_4x16", widths: [0.0625, 0.25] }],
        build: |name, config, _| slowfast::slowfast(name, config),
        ..KINETICS
    },
    Family {
        names: x3d::NAMES,
        reads: Reads::Clips(&[
            Clip { name: "x3d_xs", frames: 4, side: 160, fast: None },
            Clip { name: "x3d_s", frames: 13, side: 160, fast: None },
            Clip { name: "x3d_m", frames: 16, side: 224, fast: None },
        ]),
        samples: &[Sample { name: "x3d_xs", widths: [0.25, 0.5] }],
        build: |name, config, _| x3d::x3d(name, config),
        ..KINETICS
    },
    Family {
        names: segment::NAMES,
        task: Task::Segment,
        // torchvision's evaluation, and the classes of PASCAL VOC.
        reads: Reads::Images { side: 520 },
        classes: 21,
        origin: Origin::Torchvision,
        torchvision: &["lraspp_mobilenet_v3_large", "deeplabv3_resnet50"],
        backbones: segment::BACKBONES,
        results: Folder::Segment,
        samples: &[
            Sample { name: "lraspp_mobilenet_v3_large", widths: [0.25, 1.0] },
            Sample { name: "deeplabv3_resnet50", widths: [0.25, 1.0] },
            Sample { name: "deeplabv3_mobilenet_v2", widths: [0.25, 1.0] },
        ],
        build: segment::segment,
        ..IMAGENET
    },
    Family {
        names: &[ssdlite::NAME],
        reads: Reads::Images { side: ssdlite::SIDE },
        torchvision: &[ssdlite::NAME],
        // It has no backbone: its last blocks have half the channels.
        results: Folder::Detect,
        samples: &[Sample { name: ssdlite::NAME, widths: [0.25, 1.0] }],
        build: |name, config, variant| {
            (name == ssdlite::NAME).then(|| ssdlite::ssdlite(config, variant.head))
        },
        ..COCO
    },
    Family {
        names: fasterrcnn::NAMES,
        reads: Reads::Images { side: fasterrcnn::SIDE },
        torchvision: fasterrcnn::TORCHVISION,
        backbones: fasterrcnn::BACKBONES,
        // One behind each of the backbones.
        samples: &[
            Sample { name: "fasterrcnn_mobilenet_v3_large_fpn", widths: [0.25, 0.5] },
            Sample { name: "fasterrcnn_resnet50_fpn", widths: [0.25, 0.5] },
            Sample { name: "fasterrcnn_mobilenet_v2_fpn", widths: [0.25, 0.5] },
            Sample { name: "fasterrcnn_vgg16_bn_fpn", widths: [0.0625, 0.25] },
        ],
        build: |name, config, variant| fasterrcnn::fasterrcnn(name, config, variant.head, variant.two_stage),
        ..COCO
    },
    Family {
        names: maskrcnn::NAMES,
        reads: Reads::Images { side: fasterrcnn::SIDE },
        torchvision: maskrcnn::TORCHVISION,
        backbones: maskrcnn::BACKBONES,
        samples: &[Sample { name: "maskrcnn_mobilenet_v3_large_fpn", widths: [0.25, 0.5] }],
        build: |name, config, variant| maskrcnn::maskrcnn(name, config, variant.head, variant.two_stage),
        ..COCO
    },
];

/// The names that [`build`] accepts; for families with numbers in their names, the common members.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.names).copied()
}

/// Those of [`names`] that have a task.
pub fn names_of(task: Task) -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().filter(move |family| family.task == task).flat_map(|family| family.names).copied()
}

/// A small network of every family of a task that reads one image or clip, for tests that must hold for all of them.
pub fn samples(task: Task) -> impl Iterator<Item = &'static str> {
    let of_task = FAMILIES.iter().filter(move |family| family.task == task && !family.reads_two());
    of_task.map(|family| family.samples[0].name)
}

/// Those of the [`samples`] that read images, or those that read clips.
pub fn samples_of(task: Task, rank: Rank) -> impl Iterator<Item = &'static str> {
    samples(task).filter(move |name| family(name).is_some_and(|family| family.rank() == rank))
}

/// The family that lists a name, or has it as a sample.
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.lists(name))
}

/// Whose names the parameters of a network have; those of a network that is not here count as the authors'.
pub fn origin(name: &str) -> Origin {
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
    let network = FAMILIES.iter().find_map(|family| (family.build)(name, config, variant));
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
