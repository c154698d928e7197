//! Semantic segmentation: a score per class and pixel, at the size of the input.
//!
//! The backbone is a classification network whose last stages are dilated instead of strided, and is slimmed as there. The
//! head is the same at every width, or is slimmed too.
//!
//! # Source
//! LR-ASPP: arXiv 1905.02244 §6.4; DeepLabV3: arXiv 1706.05587. Names, shapes and the auxiliary head are those of
//! torchvision's `lraspp_mobilenet_v3_large` and `deeplabv3_resnet50`; `deeplabv3_mobilenet_v2` is torchvision's head behind
//! the blocks of its MobileNetV2.

use mutualnet_core::network::{
    Activation, BatchNorm, ChannelRule, Conv, NetworkBuilder, Output, Rank, Resize,
};
use mutualnet_core::{Network, NodeId};

use crate::family::Backbone;
use crate::layers::dense;
use crate::output_stride::{OutputStride, Steps};
use crate::{Error, Head, NetworkConfig, Purpose, Variant, mobilenet_v2, mobilenet_v3, resnet};

/// The names of the networks.
pub const NAMES: &[&str] = &["lraspp_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_mobilenet_v2"];

/// Their backbones.
pub const BACKBONES: &[Backbone] = &[
    backbone("lraspp_mobilenet_v3_large", mobilenet_v3::NAME),
    backbone("deeplabv3_resnet50", "resnet50"),
    backbone("deeplabv3_mobilenet_v2", mobilenet_v2::NAME),
];

const fn backbone(network: &'static str, classifier: &'static str) -> Backbone {
    Backbone { network, classifier, path: "backbone.", published_eps: None }
}

/// Channels between the backbone and the scores of LR-ASPP.
const LRASPP_CHANNELS: u32 = 128;

/// Channels of DeepLabV3's head.
const DEEPLAB_CHANNELS: u32 = 256;

/// Dilations of the three wide branches of DeepLabV3's head, at a sixteenth of the side of the input; at an eighth they are
/// twice as large.
const DILATIONS: [u32; 3] = [6, 12, 18];

/// Builds the network of a name; `None` for a name that is not one of [`NAMES`].
///
/// `config.output_stride` must be `None` where the backbone has the strides of torchvision's. That of
/// `deeplabv3_mobilenet_v2` is 16 or 8.
///
/// # Errors
/// Fails if the network does not have the output stride, or if the width range leaves a layer without channels.
pub fn segment(name: &str, config: &NetworkConfig, variant: Variant) -> Option<Result<Network, Error>> {
    let (build, stride): (fn(&NetworkConfig, Variant) -> _, _) = match name {
        "lraspp_mobilenet_v3_large" => (lraspp, 16),
        "deeplabv3_resnet50" => (deeplab_resnet, 8),
        "deeplabv3_mobilenet_v2" => return Some(deeplab_mobilenet(config, variant.head)),
        _ => return None,
    };
    if config.output_stride.is_some() {
        return Some(Err(Error::FixedOutputStride { name: name.to_owned(), stride }));
    }
    Some(build(config, variant).map_err(Error::from))
}

/// The convolution that gives a score to every class.
fn scores(classes: usize) -> Conv {
    Conv { bias: true, ..dense(ChannelRule::whole(classes), 1, 1) }
}

/// Convolution, batch norm and ReLU under `path`, numbered from 0.
fn layer(net: &mut NetworkBuilder, path: &str, inputs: &[NodeId], conv: Conv) -> NodeId {
    let x = net.conv_over(&format!("{path}.0"), inputs, conv);
    let x = net.batch_norm_with(&format!("{path}.1"), x, BatchNorm { eps: BatchNorm::EPS });
    net.activation(&format!("{path}.2"), x, Activation::Relu)
}

fn lraspp(config: &NetworkConfig, Variant { head, .. }: Variant) -> mutualnet_core::Result<Network> {
    let mut net = NetworkBuilder::new("lraspp_mobilenet_v3_large", Rank::Image, config.widths);
    let input = net.input(3);
    let (low, high) = mobilenet_v3::backbone(&mut net, "backbone", input, mobilenet_v3::Moves::Dilated);
    let x = layer(&mut net, "classifier.cbr", &[high], head.conv(LRASPP_CHANNELS, 1));
    let gate = net.global_pool("classifier.scale.0", high);
    let gate = net.conv("classifier.scale.1", gate, head.conv(LRASPP_CHANNELS, 1));
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

fn deeplab_resnet(config: &NetworkConfig, variant: Variant) -> mutualnet_core::Result<Network> {
    const BACKBONE: &str = "resnet50";
    let mut net = NetworkBuilder::new("deeplabv3_resnet50", Rank::Image, config.widths);
    let input = net.input(3);
    let blocks = resnet::Block::of(BACKBONE).expect("it is one of the ResNets");
    let moves = resnet::Moves { dilated_from: 2, ..resnet::Moves::strided(None) };
    let names = resnet::Names::Torchvision("backbone.");
    let [.., third, x] = resnet::backbone(&mut net, input, blocks, names, moves);
    let head = DeepLab { head: variant.head, dilations: DILATIONS.map(|dilation| 2 * dilation) };
    head.append(&mut net, (input, x), config.classes);
    if variant.purpose == Purpose::Training {
        let x = layer(&mut net, "aux_classifier", &[third], variant.head.conv(DEEPLAB_CHANNELS, 3));
        let x = net.conv("aux_classifier.4", x, scores(config.classes));
        let aux = net.resize_like(Output::AUXILIARY, x, input, Resize::Bilinear);
        net.output(Output::AUXILIARY, aux);
    }
    net.finish()
}

/// The backbone ends with the last block, whose channels follow the width.
fn deeplab_mobilenet(config: &NetworkConfig, head: Head) -> Result<Network, Error> {
    const NAME: &str = "deeplabv3_mobilenet_v2";
    let (output_stride, dilations) = match config.output_stride {
        None | Some(OutputStride::S16) => (OutputStride::S16, DILATIONS),
        Some(OutputStride::S8) => (OutputStride::S8, DILATIONS.map(|dilation| 2 * dilation)),
        Some(OutputStride::S32) => return Err(Error::SegmentStride { name: NAME.to_owned() }),
    };
    let mut net = NetworkBuilder::new(NAME, Rank::Image, config.widths);
    let input = net.input(3);
    let names = mobilenet_v2::Names::Torchvision("backbone");
    let x = mobilenet_v2::backbone(&mut net, input, names, Steps::dilated(output_stride));
    DeepLab { head, dilations }.append(&mut net, (input, x), config.classes);
    Ok(net.finish()?)
}

/// DeepLabV3's head: branches that see farther and farther, and the mean over the image.
struct DeepLab {
    head: Head,
    dilations: [u32; 3],
}

impl DeepLab {
    fn conv(&self, size: u32) -> Conv {
        self.head.conv(DEEPLAB_CHANNELS, size)
    }

    /// Appends the head behind the backbone's end, up to [`Output::MAP`].
    fn append(&self, net: &mut NetworkBuilder, (input, x): (NodeId, NodeId), classes: usize) {
        let branches = self.branches(net, x);
        let x = layer(net, "classifier.0.project", &branches, self.conv(1));
        let x = net.conv("classifier.1", x, self.conv(3));
        let x = net.batch_norm("classifier.2", x);
        let x = net.activation("classifier.3", x, Activation::Relu);
        let x = net.conv("classifier.4", x, scores(classes));
        let out = net.resize_like(Output::MAP, x, input, Resize::Bilinear);
        net.output(Output::MAP, out);
    }

    fn branches(&self, net: &mut NetworkBuilder, x: NodeId) -> Vec<NodeId> {
        let mut branches = vec![layer(net, "classifier.0.convs.0", &[x], self.conv(1))];
        for (idx, dilation) in (1..).zip(self.dilations) {
            let wide =
                Conv { dilation: [1, dilation, dilation], padding: [0, dilation, dilation], ..self.conv(3) };
            branches.push(layer(net, &format!("classifier.0.convs.{idx}"), &[x], wide));
        }
        let pooled = net.global_pool("classifier.0.convs.4.0", x);
        let pooled = net.conv("classifier.0.convs.4.1", pooled, self.conv(1));
        let pooled = net.batch_norm("classifier.0.convs.4.2", pooled);
        let pooled = net.activation("classifier.0.convs.4.3", pooled, Activation::Relu);
        branches.push(net.resize_like("classifier.0.convs.4.4", pooled, x, Resize::Bilinear));
        branches
    }
}

#[cfg(test)]
mod tests;
