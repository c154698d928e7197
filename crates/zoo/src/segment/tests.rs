//! Sizes, heads that follow the width, and output strides. That scores are torchvision's is tested where they are run.

use mutualnet_core::{Resolution, Subnet, Width, WidthRange};

use super::*;

fn config(output_stride: Option<OutputStride>) -> NetworkConfig {
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    NetworkConfig { classes: 21, widths, output_stride }
}

fn network(name: &str, head: Head) -> Network {
    let variant = Variant { head, ..Variant::from(Purpose::Training) };
    segment(name, &config(None), variant).unwrap().unwrap()
}

/// Output channels of the convolutions behind the backbone, without those that give scores.
fn head_channels(net: &Network, width: f64) -> Vec<usize> {
    let channels = net.channels(Width::new(width).unwrap()).unwrap();
    let nodes = net.nodes().iter().zip(channels);
    let is_inner = |path: &str, n: usize| path.contains("classifier") && n != 21;
    let convolutions = nodes.filter(|(node, n)| node.op.name() == "conv" && is_inner(&node.path, *n));
    convolutions.map(|(_, n)| n).collect()
}

/// As torchvision says of its networks; that of the third was counted in `nn/golden/segment/make.py`.
#[test]
fn they_have_the_sizes_that_torchvision_publishes() {
    for (name, params, auxiliary) in
        [(NAMES[0], 3_221_538, 0), (NAMES[1], 39_638_869, 2_365_205), (NAMES[2], 5_113_877, 0)]
    {
        for (purpose, params) in [(Purpose::Inference, params), (Purpose::Training, params + auxiliary)] {
            let net = segment(name, &config(None), purpose.into()).unwrap().unwrap();
            assert_eq!(net.params(Width::ONE).unwrap(), params, "{name} {purpose:?}");
        }
    }
}

#[test]
fn a_head_is_whole_unless_it_is_slimmed() {
    for (name, n, full) in [(NAMES[0], 2, 128), (NAMES[1], 8, 256), (NAMES[2], 7, 256)] {
        for (head, quarter) in [(Head::Whole, full), (Head::Slim, full / 4)] {
            let net = network(name, head);
            assert_eq!(head_channels(&net, 1.0), vec![full; n], "{name}");
            assert_eq!(head_channels(&net, 0.25), vec![quarter; n], "{name} {head:?}");
        }
        let [whole, slim] = [Head::Whole, Head::Slim].map(|head| network(name, head));
        let names = |net: &Network| net.parameters().into_iter().map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(&whole), names(&slim), "{name}");
        let cost = |net: &Network, width| {
            let subnet = Subnet::image(Width::new(width).unwrap(), Resolution::new(224).unwrap());
            net.macs(subnet).unwrap().0
        };
        assert_eq!(cost(&whole, 1.0), cost(&slim, 1.0), "{name}");
        assert!(cost(&slim, 0.25) < cost(&whole, 0.25), "{name}");
    }
}

#[test]
fn strides_behind_the_output_stride_are_dilations() {
    for (output_stride, side, dilations) in [
        (None, 16, [1, 1, 1, 1, 2]),
        (Some(OutputStride::S16), 16, [1, 1, 1, 1, 2]),
        (Some(OutputStride::S8), 32, [1, 1, 1, 2, 4]),
    ] {
        let net = segment(NAMES[2], &config(output_stride), Purpose::Inference.into()).unwrap().unwrap();
        let costs = net.costs(Subnet::image(Width::ONE, Resolution::new(256).unwrap())).unwrap();
        let at = |path: &str| net.nodes().iter().position(|node| node.path == path).unwrap();
        assert_eq!(costs[at("backbone.17.conv.3")].shape.extent, [1, side, side]);
        let blocks = ["1.conv.0.0", "3.conv.1.0", "5.conv.1.0", "8.conv.1.0", "15.conv.1.0"];
        let dilation = |block: &str| match &net.nodes()[at(&format!("backbone.{block}"))].op {
            mutualnet_core::network::Op::Conv(conv) => conv.dilation[1],
            other => panic!("{other:?}"),
        };
        assert_eq!(blocks.map(dilation), dilations, "{output_stride:?}");
    }
    let error = segment(NAMES[2], &config(Some(OutputStride::S32)), Purpose::Inference.into());
    let error = error.unwrap().unwrap_err();
    assert!(error.to_string().contains("16 or 8") && error.hint().is_some(), "{error}");
}
