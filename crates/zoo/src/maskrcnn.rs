//! Mask R-CNN with a feature pyramid behind MobileNetV2, MobileNetV3, ResNet-50 or VGG-16: Faster R-CNN with a third list,
//! which draws masks.
//!
//! Separate from Faster R-CNN, which it contains whole. Invariant: the other two lists are the same.
//!
//! # Source
//! arXiv 1703.06870. Names and shapes are those of torchvision's `maskrcnn_resnet50_fpn` without weights, and of its class
//! `MaskRCNN` around the backbones of the networks in `fasterrcnn`, of which torchvision has no networks by name.

use std::collections::BTreeMap;

use mutualnet_core::Network;
use mutualnet_core::network::{
    Activation, ChannelRule, Conv, List, NetworkBuilder, Output, Rank, TransposedConv,
};

use crate::family::Backbone;
use crate::fasterrcnn;
use crate::layers::dense;
use crate::{Error, Head, NetworkConfig, TwoStage, mobilenet_v2, mobilenet_v3, vgg};

/// The names of the networks in recipes.
pub const NAMES: &[&str] = &[
    "maskrcnn_mobilenet_v3_large_fpn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_mobilenet_v2_fpn",
    "maskrcnn_vgg16_bn_fpn",
];

/// Those that torchvision has.
pub const TORCHVISION: &[&str] = &[NAMES[1]];

/// Their backbones.
///
/// # Source
/// torchvision, `overwrite_eps`, called for `COCO_V1` of the second network.
pub const BACKBONES: &[Backbone] = &[
    fasterrcnn::backbone_of(NAMES[0], mobilenet_v3::NAME),
    fasterrcnn::residual_backbone(NAMES[1]),
    fasterrcnn::backbone_of(NAMES[2], mobilenet_v2::NAME),
    fasterrcnn::backbone_of(NAMES[3], vgg::NAME),
];

/// Cells along a side of a region.
const SIDE: u32 = 14;
/// The most objects that are found in an image, of which each gets a mask.
const OBJECTS: u32 = 100;

/// Builds a network. `config.classes` counts the background, which is the first class. `None` for a name that is not one of
/// [`NAMES`].
///
/// The lists [`List::MAIN`] and [`List::BOX`] are those of [`fasterrcnn::fasterrcnn`]. [`List::MASK`] reads a region of 14 × 14
/// cells and computes a map of 28 × 28 logits for every class.
///
/// # Errors
/// `config.output_stride` is given, or the width range leaves a layer without channels.
pub fn maskrcnn(
    name: &str,
    config: &NetworkConfig,
    head: Head,
    sizes: TwoStage,
) -> Option<Result<Network, Error>> {
    let backbone = fasterrcnn::backbone(name.strip_prefix("maskrcnn_")?)?;
    let with_masks = |of_masks| {
        let more = BTreeMap::from([(List::MASK.to_owned(), of_masks)]);
        fasterrcnn::build((name, backbone), config, (head, sizes), more)
    };
    Some(masks(name, config, head, sizes).and_then(with_masks))
}

/// The list that draws masks.
fn masks(name: &str, config: &NetworkConfig, head: Head, sizes: TwoStage) -> Result<Network, Error> {
    let TwoStage { pyramid_channels, mask_layers, mask_channels, .. } = sizes;
    let mut net = NetworkBuilder::new(name, Rank::Image, config.widths);
    net.on_regions(OBJECTS);
    let mut x = net.stream("roi_heads.mask_roi_pool", pyramid_channels, Some([1, SIDE, SIDE]));
    for idx in 0..mask_layers {
        let path = format!("roi_heads.mask_head.{idx}");
        x = net.conv(&format!("{path}.0"), x, Conv { bias: true, ..head.conv(mask_channels, 3) });
        x = net.activation(&format!("{path}.1"), x, Activation::Relu);
    }
    let path = "roi_heads.mask_predictor";
    let twice_as_large = TransposedConv {
        out: head.rule(mask_channels),
        kernel: [1, 2, 2],
        stride: [1, 2, 2],
        padding: [0; 3],
        output_padding: [0; 3],
        bias: true,
    };
    let x = net.transposed_conv(&format!("{path}.conv5_mask"), x, twice_as_large);
    let x = net.activation(&format!("{path}.relu"), x, Activation::Relu);
    let logits = Conv { bias: true, ..dense(ChannelRule::whole(config.classes), 1, 1) };
    let x = net.conv(&format!("{path}.mask_fcn_logits"), x, logits);
    net.output(Output::MASKS, x);
    Ok(net.finish()?)
}

#[cfg(test)]
mod tests {
    use mutualnet_core::{Resolution, Subnet, Width, WidthRange};

    use super::*;

    fn network(name: &str, head: Head) -> Network {
        let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        let config = NetworkConfig { classes: 91, widths, output_stride: None };
        maskrcnn(name, &config, head, TwoStage::default()).unwrap().unwrap()
    }

    /// As torchvision says of its checkpoint, whose batch norms are frozen and do not count: 44,401,393 parameters. The other
    /// network has the same head, behind the 19,386,354 of `fasterrcnn_mobilenet_v3_large_fpn`.
    #[test]
    fn they_have_the_sizes_that_torchvision_publishes() {
        for (name, params) in [(NAMES[0], 22_032_461), (NAMES[1], 44_401_393)] {
            let net = network(name, Head::Whole);
            let channels = net.channels(Width::ONE).unwrap();
            let of_norms: usize = net.batch_norms().map(|id| 2 * channels[id.0]).sum();
            assert_eq!(net.params(Width::ONE).unwrap() - of_norms as u64, params, "{name}");
            assert_eq!(net.classes(), 91);
            let lists: Vec<_> = net.lists().iter().map(List::name).collect();
            assert_eq!(lists, ["main", "box", "mask"]);
            let costs = net.costs(Subnet::image(Width::ONE, Resolution::new(256).unwrap())).unwrap();
            let masks = net.outputs().last().unwrap();
            let shape = costs[masks.node.0].shape;
            assert_eq!((&*masks.name, shape.channels, shape.extent), ("masks", 91, [1, 28, 28]), "{name}");
        }
    }

    #[test]
    fn a_head_is_whole_unless_it_is_slimmed() {
        for (head, inner) in [(Head::Whole, 256), (Head::Slim, 64)] {
            let net = network(NAMES[0], head);
            let channels = net.channels(Width::new(0.25).unwrap()).unwrap();
            let of = |path: &str| {
                let path = format!("roi_heads.{path}");
                channels[net.nodes().iter().position(|node| node.path == path).unwrap()]
            };
            assert_eq!(
                [of("mask_head.0.0"), of("mask_head.3.0"), of("mask_predictor.conv5_mask")],
                [inner; 3]
            );
            assert_eq!([of("mask_roi_pool"), of("mask_predictor.mask_fcn_logits")], [256, 91]);
        }
    }
}
