//! Faster R-CNN with a feature pyramid behind MobileNetV2, MobileNetV3, ResNet-50 or VGG-16: one list proposes regions, the
//! other one looks at them.
//!
//! The backbone is slimmed as in classification. The pyramid and the layers behind it are the same at every width, or are slimmed too,
//! except for the maps that regions are cut from and a linear layer, which never are.
//!
//! # Source
//! arXiv 1506.01497 and 1612.03144. Names and shapes are those of torchvision's networks without weights; only `fc6` is a 1×1
//! convolution here, which can be slimmed, instead of a linear layer. Batch norms have the usual eps, as there, and not that of
//! MobileNetV3 for classification; only in torchvision's checkpoint of `fasterrcnn_resnet50_fpn` they have none.
//! Behind MobileNetV2 and VGG-16, where torchvision has no network by name, it is torchvision's class `FasterRCNN` with its own
//! defaults, and the maps are the last ones with the strides 4, 8, 16 and 32, as in MMDetection, with which the authors worked.

use std::collections::BTreeMap;

use mutualnet_core::network::{Activation, ChannelRule, Conv, List, NetworkBuilder, Output, Rank, Resize};
use mutualnet_core::{Network, NodeId};

use crate::family::Backbone;
use crate::layers::{dense, max_pool};
use crate::output_stride::{Steps, Strides};
use crate::{Error, Head, NetworkConfig, TwoStage, mobilenet_v2, mobilenet_v3, resnet, vgg};

/// The names of the networks in recipes.
pub const NAMES: &[&str] = &[
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v2_fpn",
    "fasterrcnn_vgg16_bn_fpn",
];

/// Those that torchvision has.
pub const TORCHVISION: &[&str] = &[NAMES[0], NAMES[1]];

/// Their backbones.
///
/// # Source
/// torchvision, `overwrite_eps`, called for `COCO_V1` of the second network.
pub const BACKBONES: &[Backbone] = &[
    backbone_of(NAMES[0], mobilenet_v3::NAME),
    residual_backbone(NAMES[1]),
    backbone_of(NAMES[2], mobilenet_v2::NAME),
    backbone_of(NAMES[3], vgg::NAME),
];

/// The length of the shorter side of the images that the networks are published for.
pub const SIDE: u32 = 800;

/// Positions of a region, 7 × 7.
const REGION_POSITIONS: u32 = 7 * 7;

/// Path of the backbone.
const BODY: &str = "backbone.body";

/// Numbers of a box's codes.
const CODES: usize = 4;

/// Builds a network. `config.classes` counts the background, which is the first class. `None` for a name that is not one of
/// [`NAMES`].
///
/// - [`List::MAIN`] computes the maps that regions are cut from, from the finest to the coarsest ([`Output::FEATURES`]), and for
///   these and one more, half as large as the last, a logit ([`Output::OBJECTS`]) and the codes ([`Output::CODES`]) of every box.
/// - [`List::BOX`] reads the numbers of a region, channel by channel those of all positions, as channels of a single one. It
///   computes the logits of its classes, and for each class the codes of a box.
///
/// # Errors
/// `config.output_stride` is given, or the width range leaves a layer without channels.
pub fn fasterrcnn(
    name: &str,
    config: &NetworkConfig,
    head: Head,
    sizes: TwoStage,
) -> Option<Result<Network, Error>> {
    let backbone = backbone(name.strip_prefix("fasterrcnn_")?)?;
    Some(build((name, backbone), config, (head, sizes), BTreeMap::new()))
}

pub(crate) const fn backbone_of(network: &'static str, classifier: &'static str) -> Backbone {
    Backbone { network, classifier, path: "backbone.body.", published_eps: None }
}

pub(crate) const fn residual_backbone(network: &'static str) -> Backbone {
    Backbone { published_eps: Some(0.0), ..backbone_of(network, "resnet50") }
}

/// Appends a backbone, and returns its maps, and the boxes that are proposed at every position.
pub(crate) type AppendBackbone = fn(&mut NetworkBuilder, NodeId) -> (Vec<NodeId>, usize);

/// The backbone with a pyramid of a name.
pub(crate) fn backbone(name: &str) -> Option<AppendBackbone> {
    match name {
        "mobilenet_v3_large_fpn" => Some(mobile),
        "resnet50_fpn" => Some(residual),
        "mobilenet_v2_fpn" => Some(inverted),
        "vgg16_bn_fpn" => Some(chain),
        _ => None,
    }
}

/// Two maps of the same size; boxes of five sizes, each with three ratios.
fn mobile(net: &mut NetworkBuilder, input: NodeId) -> (Vec<NodeId>, usize) {
    (mobilenet_v3::two_maps(net, BODY, input).to_vec(), 15)
}

/// The ends of the four stages; boxes of one size on each map, with three ratios.
fn residual(net: &mut NetworkBuilder, input: NodeId) -> (Vec<NodeId>, usize) {
    let names = resnet::Names::Torchvision("backbone.body.");
    let block = resnet::Block::of("resnet50").expect("it is a ResNet");
    (resnet::backbone(net, input, block, names, resnet::Moves::strided(None)).to_vec(), 3)
}

/// The last maps with the strides 4, 8, 16 and 32.
fn inverted(net: &mut NetworkBuilder, input: NodeId) -> (Vec<NodeId>, usize) {
    let names = mobilenet_v2::Names::Torchvision(BODY);
    (mobilenet_v2::four_maps(net, (input, names), Steps::strided(None)).to_vec(), 3)
}

/// The ends of all stages but the first.
fn chain(net: &mut NetworkBuilder, input: NodeId) -> (Vec<NodeId>, usize) {
    (vgg::backbone(net, BODY, input, Strides::new(None))[1..].to_vec(), 3)
}

/// A network with the lists [`List::MAIN`] and [`List::BOX`], and with `more`.
pub(crate) fn build(
    (name, backbone): (&str, AppendBackbone),
    config: &NetworkConfig,
    (head, sizes): (Head, TwoStage),
    mut more: BTreeMap<String, Network>,
) -> Result<Network, Error> {
    if config.output_stride.is_some() {
        return Err(Error::FixedOutputStride { name: name.to_owned(), stride: 32 });
    }
    let mut main = NetworkBuilder::new(name, Rank::Image, config.widths);
    let input = main.input(3);
    let (maps, boxes_per_position) = backbone(&mut main, input);
    let features = pyramid(&mut main, &maps, sizes, head);
    for (idx, &map) in features.iter().enumerate() {
        main.output(&format!("{}.{idx}", Output::FEATURES), map);
    }
    propose(&mut main, features, (sizes.pyramid_channels, boxes_per_position), head);
    more.insert(List::BOX.to_owned(), regions(name, config, head, sizes)?);
    Ok(main.finish()?.with_lists(more)?)
}

/// The maps of the pyramid: each map of the backbone, plus all coarser ones at its size.
///
/// # Source
/// torchvision, `FeaturePyramidNetwork`, with or without its `norm_layer`.
fn pyramid(net: &mut NetworkBuilder, backbone: &[NodeId], sizes: TwoStage, head: Head) -> Vec<NodeId> {
    let TwoStage { pyramid_channels: channels, pyramid_batch_norm: has_norms, .. } = sizes;
    let block = |net: &mut NetworkBuilder, path: String, input, conv: Conv| {
        let x = net.conv(&format!("{path}.0"), input, Conv { bias: !has_norms, ..conv });
        if has_norms { net.batch_norm(&format!("{path}.1"), x) } else { x }
    };
    let inner = head.conv(channels, 1);
    let layer = dense(ChannelRule::whole(channels as usize), 3, 1);
    let path = "backbone.fpn";
    let lateral =
        |(idx, &map): (usize, &NodeId)| block(net, format!("{path}.inner_blocks.{idx}"), map, inner.clone());
    let mut sums: Vec<_> = backbone.iter().enumerate().map(lateral).collect();
    for idx in (0..sums.len() - 1).rev() {
        let (fine, coarse) = (sums[idx], sums[idx + 1]);
        let resized = net.resize_like(&format!("{path}.top_down.{idx}"), coarse, fine, Resize::Nearest);
        sums[idx] = net.add(&format!("{path}.sum.{idx}"), fine, resized);
    }
    let out = |(idx, sum)| block(net, format!("{path}.layer_blocks.{idx}"), sum, layer.clone());
    sums.into_iter().enumerate().map(out).collect()
}

/// Appends the layers that propose boxes: the same ones for every map, and for one more, every second position of the coarsest.
fn propose(
    net: &mut NetworkBuilder,
    mut maps: Vec<NodeId>,
    (channels, boxes_per_position): (u32, usize),
    head: Head,
) {
    let coarsest = *maps.last().expect("a pyramid has a map");
    maps.push(net.max_pool("backbone.fpn.pool", coarsest, max_pool(1, 2, 0)));
    let point = |n: usize| Conv { bias: true, ..dense(ChannelRule::whole(n), 1, 1) };
    let hidden = Conv { bias: true, ..head.conv(channels, 3) };
    let [objects, codes] = [point(boxes_per_position), point(boxes_per_position * CODES)];
    // Of the first map, whose parameters the others share.
    let mut owners: [Option<NodeId>; 3] = [None; 3];
    let mut outputs = Vec::new();
    for (idx, map) in maps.into_iter().enumerate() {
        let path = if idx == 0 { "rpn.head".to_owned() } else { format!("rpn.maps.{idx}") };
        let mut layer = |net: &mut NetworkBuilder, (number, name): (usize, &str), input, conv: &Conv| {
            let path = format!("{path}.{name}");
            match owners[number] {
                Some(owner) => net.conv_again(&path, input, owner),
                None => *owners[number].insert(net.conv(&path, input, conv.clone())),
            }
        };
        let x = layer(net, (0, "conv.0.0"), map, &hidden);
        let x = net.activation(&format!("{path}.conv.0.1"), x, Activation::Relu);
        outputs.push([layer(net, (1, "cls_logits"), x, &objects), layer(net, (2, "bbox_pred"), x, &codes)]);
    }
    for (kind, name) in [Output::OBJECTS, Output::CODES].into_iter().enumerate() {
        for (idx, of_map) in outputs.iter().enumerate() {
            net.output(&format!("{name}.{idx}"), of_map[kind]);
        }
    }
}

/// The list that looks at regions.
fn regions(name: &str, config: &NetworkConfig, head: Head, sizes: TwoStage) -> Result<Network, Error> {
    let TwoStage { pyramid_channels, box_features, regions, .. } = sizes;
    let mut net = NetworkBuilder::new(name, Rank::Image, config.widths);
    net.on_regions(regions);
    let x =
        net.stream("roi_heads.box_roi_pool", pyramid_channels.saturating_mul(REGION_POSITIONS), Some([1; 3]));
    let x = net.conv("roi_heads.box_head.fc6", x, Conv { bias: true, ..head.conv(box_features, 1) });
    let x = net.activation("roi_heads.box_head.relu6", x, Activation::Relu);
    let x = net.linear("roi_heads.box_head.fc7", x, box_features as usize);
    let x = net.activation("roi_heads.box_head.relu7", x, Activation::Relu);
    for (name, layer, per_class) in [(Output::SCORES, "cls_score", 1), (Output::CODES, "bbox_pred", CODES)] {
        let x = net.linear(&format!("roi_heads.box_predictor.{layer}"), x, config.classes * per_class);
        net.output(name, x);
    }
    Ok(net.finish()?)
}

#[cfg(test)]
mod tests {
    use mutualnet_core::{Resolution, Subnet, Width, WidthRange};

    use super::*;
    use crate::OutputStride;

    fn config() -> NetworkConfig {
        let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        NetworkConfig { classes: 91, widths, output_stride: None }
    }

    fn network(name: &str, head: Head) -> Network {
        fasterrcnn(name, &config(), head, TwoStage::default()).unwrap().unwrap()
    }

    /// As torchvision says of its checkpoints, whose batch norms are frozen and do not count: 19,386,354 and 41,755,286
    /// parameters.
    #[test]
    fn they_have_the_sizes_that_torchvision_publishes() {
        // For images with 256 pixels along a side: the sides of the maps that regions are cut from.
        for (name, params, sides) in
            [(NAMES[0], 19_386_354, &[8, 8][..]), (NAMES[1], 41_755_286, &[64, 32, 16, 8])]
        {
            let net = network(name, Head::Whole);
            let channels = net.channels(Width::ONE).unwrap();
            let of_norms: usize = net.batch_norms().map(|id| 2 * channels[id.0]).sum();
            assert_eq!(net.params(Width::ONE).unwrap() - of_norms as u64, params, "{name}");
            assert_eq!(net.classes(), 91);
            let lists: Vec<_> = net.lists().iter().map(List::name).collect();
            assert_eq!(lists, ["main", "box"]);
            let proposed = [sides, &[4]].concat();
            let maps = [("features", sides), ("objects", &proposed), ("codes", &proposed)];
            let maps = maps.into_iter().flat_map(|(kind, sides)| {
                sides.iter().enumerate().map(move |(idx, &side)| (format!("{kind}.{idx}"), side))
            });
            let answers = ["scores", "codes"].map(|name| (name.to_owned(), 1));
            let costs = net.costs(Subnet::image(Width::ONE, Resolution::new(256).unwrap())).unwrap();
            let outputs = net.outputs().iter();
            let ours = outputs.map(|output| (output.name.clone(), costs[output.node.0].shape.extent[1]));
            assert_eq!(ours.collect::<Vec<_>>(), maps.chain(answers).collect::<Vec<_>>(), "{name}");
        }
    }

    /// As torchvision says of its checkpoint, for 1000 regions: 134.38 billion.
    #[test]
    fn the_cost_with_all_regions_is_what_torchvision_publishes() {
        let net = network(NAMES[1], Head::Whole);
        let subnet = Subnet::image(Width::ONE, Resolution::new(SIDE).unwrap());
        assert_eq!(format!("{:.2}", net.macs(subnet).unwrap().as_f64() / 1e9), "134.38");
    }

    /// A detector for small images, of which the backbone should be the larger part.
    #[test]
    fn what_is_behind_the_backbone_can_be_smaller() {
        let sizes = TwoStage { pyramid_channels: 64, regions: 64, box_features: 128, ..TwoStage::default() };
        let net = fasterrcnn(NAMES[2], &config(), Head::Whole, sizes).unwrap().unwrap();
        let subnet = Subnet::image(Width::ONE, Resolution::new(160).unwrap());
        let (all, of_backbone) =
            (net.macs(subnet).unwrap(), net.macs_below(BACKBONES[2].path, subnet).unwrap());
        let of_region = 64 * 49 * 128 + 128 * 128 + 128 * 5 * 91;
        assert_eq!(net.list_macs(net.list(List::BOX).unwrap(), subnet).unwrap().0, of_region);
        assert_eq!(net.list(List::BOX).unwrap().regions(), Some(64));
        assert!(of_backbone.as_f64() > 0.3 * all.as_f64(), "{of_backbone} of {all}");
    }

    #[test]
    fn a_head_is_whole_unless_it_is_slimmed() {
        for (head, inner) in [(Head::Whole, 256), (Head::Slim, 64)] {
            let net = network(NAMES[0], head);
            let channels = net.channels(Width::new(0.25).unwrap()).unwrap();
            let of = |path: &str| channels[net.nodes().iter().position(|node| node.path == path).unwrap()];
            assert_eq!([of("backbone.body.13.block.3.0"), of("backbone.body.16.0")], [40, 240]);
            assert_eq!([of("backbone.fpn.inner_blocks.0.0"), of("rpn.head.conv.0.0")], [inner; 2]);
            assert_eq!([of("rpn.maps.2.conv.0.0"), of("roi_heads.box_head.fc6")], [inner, 4 * inner]);
            assert_eq!([of("backbone.fpn.layer_blocks.1.0"), of("rpn.maps.2.cls_logits")], [256, 15]);
        }
        let names = |head| {
            let net = network(NAMES[0], head);
            net.parameters().into_iter().map(|parameter| parameter.name).collect::<Vec<_>>()
        };
        assert_eq!(names(Head::Whole), names(Head::Slim));
    }

    /// The names and shapes of torchvision's `FeaturePyramidNetwork` with `norm_layer=nn.BatchNorm2d`, which has no biases.
    #[test]
    fn a_pyramid_may_have_batch_norms() {
        let sizes = TwoStage { pyramid_batch_norm: true, ..TwoStage::default() };
        let net = fasterrcnn(NAMES[2], &config(), Head::Whole, sizes).unwrap().unwrap();
        let of_pyramid = net.parameters().into_iter().map(|parameter| parameter.name);
        let of_pyramid: Vec<_> = of_pyramid.filter(|name| name.contains("fpn.layer_blocks.3.")).collect();
        let expected = ["0.weight", "1.weight", "1.bias"];
        assert_eq!(of_pyramid, expected.map(|name| format!("backbone.fpn.layer_blocks.3.{name}")));
        let n_norms = net.batch_norms().count() - network(NAMES[2], Head::Whole).batch_norms().count();
        assert_eq!(n_norms, 8);
    }

    #[test]
    fn the_stride_is_fixed() {
        let config = NetworkConfig { output_stride: Some(OutputStride::S16), ..config() };
        let error = fasterrcnn(NAMES[0], &config, Head::Whole, TwoStage::default()).unwrap().unwrap_err();
        assert!(matches!(error, Error::FixedOutputStride { stride: 32, .. }), "{error}");
        assert!(fasterrcnn("fasterrcnn", &config, Head::Whole, TwoStage::default()).is_none());
    }
}
