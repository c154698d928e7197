//! SSDlite behind MobileNetV3: scores and boxes at every position of six feature maps.
//!
//! The backbone is slimmed as in classification. The layers behind it are the same at every width, or are slimmed too; the
//! depthwise convolutions that read the backbone have its channels in any case.
//!
//! # Source
//! arXiv 1801.04381 §6.2 and 1905.02244 §6.3. Names and shapes are those of torchvision's
//! `ssdlite320_mobilenet_v3_large` without weights of the backbone, so with half the channels in the last blocks.

use mutualnet_core::network::{
    Activation, BatchNorm, ChannelRule, Conv, Groups, NetworkBuilder, Output, Rank,
};
use mutualnet_core::{Network, NodeId};

use crate::layers::{conv, dense};
use crate::{Error, Head, NetworkConfig, mobilenet_v3};

/// The name of the network in recipes.
pub const NAME: &str = "ssdlite320_mobilenet_v3_large";

/// The side of the square images that the network is published for.
pub const SIDE: u32 = 320;

/// The boxes from which the network predicts others at every position: two squares, and two boxes for each of the ratios
/// 2 and 3.
pub const BOXES_PER_POSITION: usize = 6;

/// Channels of the two feature maps of the backbone.
const BACKBONE_CHANNELS: [u32; 2] = [672, 480];

/// Channels of the feature maps behind the backbone.
const EXTRA_CHANNELS: [u32; 4] = [512, 256, 256, 128];

const NORM: BatchNorm = BatchNorm { eps: 1e-3 };

/// Builds the network. `config.classes` counts the background, which is the first class.
///
/// # Errors
/// `config.output_stride` is given, or the width range leaves a layer without channels.
pub fn ssdlite(config: &NetworkConfig, head: Head) -> Result<Network, Error> {
    if config.output_stride.is_some() {
        return Err(Error::FixedOutputStride { name: NAME.to_owned(), stride: 32 });
    }
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let input = net.input(3);
    let maps = feature_maps(&mut net, input, head);
    for (part, output, per_box) in
        [("classification", Output::SCORES, config.classes), ("regression", Output::BOXES, 4)]
    {
        for (idx, &(map, channels)) in maps.iter().enumerate() {
            let path = format!("head.{part}_head.module_list.{idx}");
            let x = layer(&mut net, &format!("{path}.0"), map, conv(channels, 3, 1, Groups::Depthwise));
            let out = ChannelRule::whole(BOXES_PER_POSITION * per_box);
            let x = net.conv(&format!("{path}.1"), x, Conv { bias: true, ..dense(out, 1, 1) });
            net.output(&format!("{output}.{idx}"), x);
        }
    }
    Ok(net.finish()?)
}

/// The feature maps with their channels, from the largest to the smallest.
fn feature_maps(net: &mut NetworkBuilder, input: NodeId, head: Head) -> Vec<(NodeId, ChannelRule)> {
    let backbone = mobilenet_v3::halved_backbone(net, "backbone.features", input);
    let mut maps: Vec<_> = backbone.into_iter().zip(BACKBONE_CHANNELS.map(ChannelRule::slim)).collect();
    let mut x = backbone[1];
    for (idx, channels) in EXTRA_CHANNELS.into_iter().enumerate() {
        let path = format!("backbone.extra.{idx}");
        let [inner, out] = [channels / 2, channels].map(|channels| head.rule(channels));
        x = layer(net, &format!("{path}.0"), x, dense(inner, 1, 1));
        x = layer(net, &format!("{path}.1"), x, conv(inner, 3, 2, Groups::Depthwise));
        x = layer(net, &format!("{path}.2"), x, dense(out, 1, 1));
        maps.push((x, out));
    }
    maps
}

/// Convolution, batch norm and ReLU6 under `path`, numbered from 0.
fn layer(net: &mut NetworkBuilder, path: &str, input: NodeId, conv: Conv) -> NodeId {
    let x = net.conv(&format!("{path}.0"), input, conv);
    let x = net.batch_norm_with(&format!("{path}.1"), x, NORM);
    net.activation(&format!("{path}.2"), x, Activation::Relu6)
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

    /// As torchvision says of its checkpoint: 3,440,060 parameters, and 0.583 billion MACs of convolutions, for 91 classes
    /// at 320 pixels.
    #[test]
    fn costs_are_those_that_torchvision_publishes() {
        let net = ssdlite(&config(), Head::Whole).unwrap();
        assert_eq!(net.params(Width::ONE).unwrap(), 3_440_060);
        let costs = net.costs(Subnet::image(Width::ONE, Resolution::new(SIDE).unwrap())).unwrap();
        let convolutions = net.nodes().iter().zip(costs).filter(|(node, _)| node.op.name().ends_with("conv"));
        let macs: u64 = convolutions.map(|(_, cost)| cost.macs.0).sum();
        assert_eq!(macs / 1_000_000, 583);
    }

    #[test]
    fn a_head_is_whole_unless_it_is_slimmed() {
        for (head, extra, inner) in [(Head::Whole, 512, 256), (Head::Slim, 128, 64)] {
            let net = ssdlite(&config(), head).unwrap();
            let channels = net.channels(Width::new(0.25).unwrap()).unwrap();
            let of = |path: &str| channels[net.nodes().iter().position(|node| node.path == path).unwrap()];
            assert_eq!([of("backbone.extra.0.2.0"), of("backbone.extra.0.0.0")], [extra, inner]);
            assert_eq!(of("head.regression_head.module_list.2.0.0"), extra);
            // The maps of the backbone are slimmed in any case, and outputs never.
            assert_eq!(of("head.regression_head.module_list.0.0.0"), 168);
            assert_eq!(of("head.classification_head.module_list.0.1"), 6 * 91);
        }
    }

    #[test]
    fn the_stride_is_fixed() {
        let config = NetworkConfig { output_stride: Some(OutputStride::S16), ..config() };
        let error = ssdlite(&config, Head::Whole).unwrap_err();
        assert!(matches!(error, Error::FixedOutputStride { stride: 32, .. }), "{error}");
    }
}
