//! Semantic segmentation: a score per class and pixel, at the size of the input.
//!
//! The trunk is a classification network whose last stages are dilated instead of strided, and is slimmed as there. The
//! head is the same at every width.
//!
//! # Source
//! LR-ASPP: arXiv 1905.02244 §6.4; DeepLabV3: arXiv 1706.05587. Names, shapes and the auxiliary head are those of
//! torchvision's `lraspp_mobilenet_v3_large` and `deeplabv3_resnet50`.

use mutualnet_core::network::{
    Activation, BatchNorm, ChannelRule, Conv, NetworkBuilder, Output, Rank, Resize,
};
use mutualnet_core::{Network, NodeId};

use crate::layers::dense;
use crate::{Error, NetworkConfig, Purpose, mobilenet_v3, resnet};

/// The names of the networks.
pub const NAMES: &[&str] = &["lraspp_mobilenet_v3_large", "deeplabv3_resnet50"];

/// Channels between the trunk and the scores of LR-ASPP.
const LRASPP_CHANNELS: usize = 128;

/// Channels of DeepLabV3's head.
const DEEPLAB_CHANNELS: usize = 256;

/// Dilations of the three wide branches of DeepLabV3's head, at an eighth of the side of the input.
const DILATIONS: [u32; 3] = [12, 24, 36];

/// Builds the network of a name; `None` for a name that is not one of [`NAMES`].
///
/// `config.output_stride` must be `None`: the trunk has the strides of torchvision's.
///
/// # Errors
/// Fails if there is an output stride, or if the width range leaves a layer without channels.
pub fn segment(name: &str, config: &NetworkConfig, purpose: Purpose) -> Option<Result<Network, Error>> {
    let (build, stride): (fn(&NetworkConfig, Purpose) -> _, _) = match name {
        "lraspp_mobilenet_v3_large" => (lraspp, 16),
        "deeplabv3_resnet50" => (deeplab, 8),
        _ => return None,
    };
    if config.output_stride.is_some() {
        return Some(Err(Error::FixedOutputStride { name: name.to_owned(), stride }));
    }
    Some(build(config, purpose).map_err(Error::from))
}

/// A convolution without bias to a number of channels that is the same at every width.
fn whole(channels: usize, size: u32) -> Conv {
    dense(ChannelRule::whole(channels), size, 1)
}

/// The convolution that gives a score to every class.
fn scores(classes: usize) -> Conv {
    Conv { bias: true, ..whole(classes, 1) }
}

/// Convolution, batch norm and ReLU under `path`, numbered from 0.
fn layer(net: &mut NetworkBuilder, path: &str, inputs: &[NodeId], conv: Conv) -> NodeId {
    let x = net.conv_over(&format!("{path}.0"), inputs, conv);
    let x = net.batch_norm_with(&format!("{path}.1"), x, BatchNorm { eps: BatchNorm::EPS });
    net.activation(&format!("{path}.2"), x, Activation::Relu)
}

fn lraspp(config: &NetworkConfig, _: Purpose) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new("lraspp_mobilenet_v3_large", Rank::Image, config.widths);
    let input = net.input(3);
    let (low, high) = mobilenet_v3::trunk(&mut net, "backbone", input, mobilenet_v3::Moves::Dilated);
    let x = layer(&mut net, "classifier.cbr", &[high], whole(LRASPP_CHANNELS, 1));
    let gate = net.global_pool("classifier.scale.0", high);
    let gate = net.conv("classifier.scale.1", gate, whole(LRASPP_CHANNELS, 1));
    let gate = net.activation("classifier.scale.2", gate, Activation::Sigmoid);
    let x = net.multiply("classifier.scaled", x, gate);
    let x = net.resize_like("classifier.resized", x, low, Resize::Bilinear);
    let low = net.conv("classifier.low_classifier", low, scores(config.classes));
    let high = net.conv("classifier.high_classifier", x, scores(config.classes));
    let x = net.add("classifier.sum", low, high);
    let out = net.resize_like(Output::MAP, x, input, Resize::Bilinear);
    net.output(Output::MAP, out);
    net.finish()
}

fn deeplab(config: &NetworkConfig, purpose: Purpose) -> mutualnet_core::Result<Network> {
    const TRUNK: &str = "resnet50";
    let mut net = NetworkBuilder::new("deeplabv3_resnet50", Rank::Image, config.widths);
    let input = net.input(3);
    let blocks = resnet::Block::of(TRUNK).expect("it is one of the ResNets");
    let moves = resnet::Moves { output_stride: None, dilated_from: 2 };
    let names = resnet::Names::Torchvision("backbone.");
    let [.., third, x] = resnet::trunk(&mut net, input, blocks, names, moves);

    let mut branches = vec![layer(&mut net, "classifier.0.convs.0", &[x], whole(DEEPLAB_CHANNELS, 1))];
    for (idx, dilation) in (1..).zip(DILATIONS) {
        let wide = Conv {
            dilation: [1, dilation, dilation],
            padding: [0, dilation, dilation],
            ..whole(DEEPLAB_CHANNELS, 3)
        };
        branches.push(layer(&mut net, &format!("classifier.0.convs.{idx}"), &[x], wide));
    }
    let pooled = net.global_pool("classifier.0.convs.4.0", x);
    let pooled = net.conv("classifier.0.convs.4.1", pooled, whole(DEEPLAB_CHANNELS, 1));
    let pooled = net.batch_norm("classifier.0.convs.4.2", pooled);
    let pooled = net.activation("classifier.0.convs.4.3", pooled, Activation::Relu);
    branches.push(net.resize_like("classifier.0.convs.4.4", pooled, x, Resize::Bilinear));
    let x = layer(&mut net, "classifier.0.project", &branches, whole(DEEPLAB_CHANNELS, 1));
    let x = net.conv("classifier.1", x, whole(DEEPLAB_CHANNELS, 3));
    let x = net.batch_norm("classifier.2", x);
    let x = net.activation("classifier.3", x, Activation::Relu);
    let x = net.conv("classifier.4", x, scores(config.classes));
    let out = net.resize_like(Output::MAP, x, input, Resize::Bilinear);
    net.output(Output::MAP, out);
    if purpose == Purpose::Training {
        let x = layer(&mut net, "aux_classifier", &[third], whole(DEEPLAB_CHANNELS, 3));
        let x = net.conv("aux_classifier.4", x, scores(config.classes));
        let aux = net.resize_like(Output::AUXILIARY, x, input, Resize::Bilinear);
        net.output(Output::AUXILIARY, aux);
    }
    net.finish()
}
