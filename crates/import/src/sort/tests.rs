//! Sorting changes the order of channels, but not what the full network computes.

use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::Bundle;
use mutualnet_core::network::{Activation, ChannelRule, NetworkBuilder, Rank};
use mutualnet_core::{Resolution, Subnet, Task, Width, WidthRange};
use mutualnet_runtime::{Model, Session};
use mutualnet_testkit::{Tolerance, assert_near, parts, small_network, subnet};
use mutualnet_zoo::{NetworkConfig, OutputStride};

use super::*;

fn zoo(name: &str) -> Network {
    let widths = WidthRange::new(Width::new(0.5).unwrap(), Width::ONE).unwrap();
    let config = NetworkConfig { classes: 10, widths, output_stride: Some(OutputStride::S8) };
    mutualnet_zoo::build_small(name, &config).unwrap()
}

/// Logits at 1.0-32 by the run side, with statistics that are the same for every channel.
fn logits(network: &Network, weights: &Weights) -> Vec<f32> {
    let full = Subnet::image(network.widths().full(), Resolution::new(32).unwrap());
    let mut parts = parts(network.clone(), &[full]);
    parts.weights = weights.clone();
    for norm in parts.stats.values_mut().flatten() {
        norm.mean.fill(0.1);
        // Activations neither grow nor vanish, so that rounding does not either.
        norm.var.fill(2.0);
    }
    let model = Model::new(&Bundle::new(parts).unwrap()).unwrap();
    let mut session = Session::new(Arc::new(model), NonZeroUsize::MIN).unwrap();
    let image: Vec<f32> = (0..3 * 32 * 32).map(|n| ((n * 37 % 101) as f32 - 50.0) / 40.0).collect();
    session.run(&image, 1).unwrap().to_vec()
}

fn weights(network: &Network) -> Weights {
    parts(network.clone(), &[subnet("1.0-32")]).weights
}

/// Norms before convolutions, read by a body and by a shortcut; a sum goes on without a norm.
fn pre_activation() -> Network {
    let widths = WidthRange::new(Width::new(0.5).unwrap(), Width::ONE).unwrap();
    let conv = |out, kernel: u32| Conv {
        out: ChannelRule::slim(out),
        kernel: [1, kernel, kernel],
        stride: [1; 3],
        padding: [0, kernel / 2, kernel / 2],
        dilation: Conv::NO_DILATION,
        groups: Groups::Dense,
        bias: false,
    };
    let mut net = NetworkBuilder::new("pre_activation", Rank::Image, widths);
    let x = net.input(3);
    let mut x = net.conv("conv1", x, conv(16, 3));
    for (idx, out) in [24, 24].into_iter().enumerate() {
        let at = |name: &str| format!("layer.{idx}.{name}");
        let y = net.batch_norm(&at("bn1"), x);
        let activated = net.activation(&at("relu1"), y, Activation::Relu);
        let y = net.conv(&at("conv1"), activated, conv(out, 3));
        let y = net.batch_norm(&at("bn2"), y);
        let y = net.activation(&at("relu2"), y, Activation::Relu);
        let y = net.conv(&at("conv2"), y, conv(out, 3));
        let shortcut = if idx == 0 { net.conv(&at("shortcut"), activated, conv(out, 1)) } else { x };
        x = net.add(&at("add"), y, shortcut);
    }
    let x = net.batch_norm("bn1", x);
    let x = net.activation("relu", x, Activation::Relu);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 5);
    net.finish().unwrap()
}

#[test]
fn the_full_network_computes_the_same() {
    for network in mutualnet_zoo::samples_of(Task::Classify, Rank::Image)
        .map(zoo)
        .chain([small_network(), pre_activation()])
    {
        let plain = weights(&network);
        let mut sorted = plain.clone();
        let n_groups = sort_channels(&network, &mut sorted).unwrap();
        assert!(n_groups > 0 && sorted != plain, "{}", network.name());
        let (before, after) = (logits(&network, &plain), logits(&network, &sorted));
        assert_near(network.name(), &after, &before, Tolerance::Close);
        // What is sorted stays as it is.
        let mut again = sorted.clone();
        sort_channels(&network, &mut again).unwrap();
        assert!(again == sorted, "{}", network.name());
    }
}

/// stem – norm – relu – 1×1 – pool – linear
fn chain() -> Network {
    let widths = WidthRange::new(Width::new(0.5).unwrap(), Width::ONE).unwrap();
    let conv = |out, bias| Conv {
        out: ChannelRule::slim_by(out, 0.125),
        kernel: [1; 3],
        stride: [1; 3],
        padding: [0; 3],
        dilation: Conv::NO_DILATION,
        groups: Groups::Dense,
        bias,
    };
    let mut net = NetworkBuilder::new("chain", Rank::Image, widths);
    let x = net.input(1);
    let x = net.conv("a", x, conv(2, false));
    let x = net.batch_norm("bn", x);
    let x = net.activation("act", x, Activation::Relu);
    let x = net.conv("b", x, conv(2, true));
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 2);
    net.finish().unwrap()
}

#[test]
fn importance_by_hand() {
    let tensor = |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
    let mut weights = Weights::from([
        ("a.weight".to_owned(), tensor(&[2, 1, 1, 1], &[10.0, 20.0])),
        // Channel 1 is read by smaller weights, but is larger.
        ("bn.weight".to_owned(), tensor(&[2], &[-1.0, 8.0])),
        ("bn.bias".to_owned(), tensor(&[2], &[5.0, 6.0])),
        ("b.weight".to_owned(), tensor(&[2, 2, 1, 1], &[3.0, -0.5, 2.0, 0.5])),
        ("b.bias".to_owned(), tensor(&[2], &[0.1, 0.2])),
        ("fc.weight".to_owned(), tensor(&[2, 2], &[1.0, -2.0, 1.0, 1.0])),
        ("fc.bias".to_owned(), tensor(&[2], &[0.3, 0.4])),
    ]);
    assert_eq!(sort_channels(&chain(), &mut weights).unwrap(), 2);
    let data = |name: &str| weights[name].data.clone();
    assert_eq!(data("a.weight"), [20.0, 10.0]);
    assert_eq!(data("bn.weight"), [8.0, -1.0]);
    assert_eq!(data("bn.bias"), [6.0, 5.0]);
    // Outputs of `b` are read with 2 and 3, so they change places too.
    assert_eq!(data("b.weight"), [0.5, 2.0, -0.5, 3.0]);
    assert_eq!(data("b.bias"), [0.2, 0.1]);
    assert_eq!(data("fc.weight"), [-2.0, 1.0, 1.0, 1.0]);
    assert_eq!(data("fc.bias"), [0.3, 0.4]);
}
