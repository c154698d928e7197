//! Compares what the engine computes with the arithmetic of the list, and slices with narrow networks.

use mutualnet_core::network::{
    Activation, ChannelRule, Conv, Groups, MaxPool, Network, NetworkBuilder, NodeId, Parameter,
    ParameterKind, Rank,
};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Task, Weights, Width, WidthRange};
use mutualnet_engine::{Device, Tensor};
use mutualnet_zoo::{NetworkConfig, OutputStride};

use super::*;

mod clips;
mod detect;
mod heads;
mod pytorchvideo;
mod regions;
mod segment;

fn width(fraction: f64) -> Width {
    Width::new(fraction).unwrap()
}

fn network(name: &str) -> Network {
    let widths = WidthRange::new(width(0.25), Width::ONE).unwrap();
    let config = NetworkConfig { classes: 7, widths, output_stride: Some(OutputStride::S16) };
    mutualnet_zoo::build_small(name, &config).unwrap()
}

/// Images, or clips of 3 frames, as the network reads them.
fn input(network: &Network, n: usize, side: usize) -> Tensor {
    const FRAMES: usize = 3;
    match network.rank() {
        Rank::Image => batch(n, side),
        Rank::Clip => {
            let values: Vec<_> = irregular(n * FRAMES * side * side * 3).collect();
            Tensor::from_channels_last(&values, &[n, FRAMES, side, side, 3], Device::Cpu).unwrap()
        }
    }
}

/// Irregular numbers in [-1, 1).
fn irregular(n: usize) -> impl Iterator<Item = f32> {
    (0..n).map(|i| ((i as f32 * 12.9898).sin() * 43758.547).fract())
}

/// Images of such numbers.
fn batch(n: usize, side: usize) -> Tensor {
    let values: Vec<_> = irregular(n * side * side * 3).collect();
    Tensor::from_nhwc(&values, [n, side, side, 3], Device::Cpu).unwrap()
}

#[test]
fn outputs_have_the_shape_that_the_list_says() {
    for name in mutualnet_zoo::samples(Task::Classify) {
        let net = Net::new(network(name));
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        for fraction in [0.25, 0.6, 1.0] {
            let slice = net.slice(&parameters, width(fraction)).unwrap();
            let logits = net.forward(&slice, &input(net.network(), 2, 20), Norm::Batch).unwrap();
            assert_eq!(logits.shape(), [2, 7]);
        }
        assert!(net.slice(&parameters, width(0.2)).is_err());
    }
}

#[test]
fn silent_residual_branches_can_learn() {
    for name in mutualnet_zoo::samples(Task::Classify) {
        let net = Net::new(network(name));
        let ends = net.network().residual_ends();
        let mut parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        parameters.zero_residual_branches(net.network()).unwrap();
        let full = net.slice(&parameters, Width::ONE).unwrap();
        let logits = net.forward(&full, &input(net.network(), 4, 20), Norm::Batch).unwrap();
        let labels = Tensor::from_slice_i64(&[0, 1, 2, 3], &[4]).unwrap();
        logits.cross_entropy(&labels, 0.0).unwrap().backward().unwrap();
        let is_silenced = |p: &Parameter| ends.contains(&p.node) && p.kind != ParameterKind::Shift;
        let silenced = parameters.list().iter().zip(full.tensors()).filter(|(p, _)| is_silenced(p));
        let mut n = 0;
        for (parameter, leaf) in silenced {
            assert!(leaf.to_vec_f32().unwrap().iter().all(|&x| x == 0.0), "{name}: {}", parameter.name);
            let gradient = leaf.grad().unwrap().unwrap().to_vec_f32().unwrap();
            assert!(gradient.iter().any(|&g| g != 0.0), "{name}: {} gets no gradient", parameter.name);
            n += 1;
        }
        assert_eq!(n, ends.len(), "{name}");
    }
}

#[test]
fn a_slice_is_the_narrow_network() {
    for name in mutualnet_zoo::samples(Task::Classify) {
        let net = Net::new(network(name));
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        let slice = net.slice(&parameters, width(0.5)).unwrap();
        let narrow = Net::new(net.network().narrowed(width(0.5)).unwrap());
        let named = parameters.name(slice.tensors()).unwrap();
        let narrow_parameters = Parameters::from_weights(narrow.network(), &named, Device::Cpu).unwrap();
        let whole = narrow.slice(&narrow_parameters, width(0.5)).unwrap();
        let input = input(net.network(), 3, 24);
        let ours = net.forward(&slice, &input, Norm::Batch).unwrap().to_vec_f32().unwrap();
        let theirs = narrow.forward(&whole, &input, Norm::Batch).unwrap().to_vec_f32().unwrap();
        // libtorch may sum in a different order if the weights are further apart in memory.
        let scale = theirs.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let difference = ours.iter().zip(&theirs).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(difference <= 1e-5 * scale, "{name}: {} relative", difference / scale);
    }
}

#[test]
fn gradients_reach_the_channels_of_their_slice_only() {
    let net = Net::new(network("mobilenet_v2"));
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let mut gradients = Gradients::none(&parameters);
    let mut inside = Vec::new();
    for _ in 0..2 {
        let slice = net.slice(&parameters, width(0.5)).unwrap();
        let loss = net.forward(&slice, &batch(2, 20), Norm::Batch).unwrap().mean().unwrap();
        loss.backward().unwrap();
        inside = slice.tensors().iter().map(|leaf| leaf.grad().unwrap().unwrap().copy().unwrap()).collect();
        gradients.add(&parameters, slice).unwrap();
    }
    let sums = gradients.into_tensors(&parameters).unwrap();
    for ((sum, once), parameter) in sums.iter().zip(inside).zip(parameters.list()) {
        let prefix = sum.prefix(&once.shape()).unwrap();
        let twice = once.scale(2.0).unwrap().to_vec_f32().unwrap();
        assert!(prefix.to_vec_f32().unwrap() == twice, "{}", parameter.name);
        let non_zero = |tensor: &Tensor| tensor.to_vec_f32().unwrap().iter().filter(|&&v| v != 0.0).count();
        assert_eq!(non_zero(sum), non_zero(&prefix), "{}", parameter.name);
    }
}

#[test]
fn calibrated_over_one_batch_is_that_batch() {
    let net = Net::new(network("mobilenet_v1"));
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let slice = net.slice(&parameters, width(0.5)).unwrap();
    let mut statistics = Statistics::new(net.network(), width(0.5), Device::Cpu).unwrap();
    let input = batch(32, 32);
    let collect = Norm::Collect { statistics: &mut statistics, momentum: 1.0 };
    let own = net.forward(&slice, &input, collect).unwrap().to_vec_f32().unwrap();
    let fixed = net.forward(&slice, &input, Norm::Fixed(&statistics)).unwrap().to_vec_f32().unwrap();
    // The fixed variance is the unbiased one, which makes a small difference at the last layers with 32 images.
    let scale = own.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    assert!(own.iter().zip(&fixed).all(|(a, b)| (a - b).abs() < 0.1 * scale), "{own:?} {fixed:?}");
    assert_ne!(own, fixed);
}

#[test]
fn the_first_layer_that_breaks_is_named() {
    let net = Net::new(network("mobilenet_v2"));
    let named = Parameters::init(net.network(), 1, Device::Cpu).unwrap().to_weights().unwrap();
    let mut broken = named.clone();
    broken.get_mut("features.3.body.3.weight").unwrap().data[0] = f32::NAN;
    for (weights, path) in [(&named, None), (&broken, Some("features.3.body.3"))] {
        let parameters = Parameters::from_weights(net.network(), weights, Device::Cpu).unwrap();
        let slice = net.slice(&parameters, Width::ONE).unwrap();
        assert_eq!(net.first_non_finite(&slice, &[&batch(2, 20)]).unwrap(), path);
    }
}

#[test]
fn weights_are_matched_by_name_and_shape() {
    let net = network("mobilenet_v2");
    let named = Parameters::init(&net, 1, Device::Cpu).unwrap().to_weights().unwrap();
    let error = |change: fn(&mut Weights)| {
        let mut named = named.clone();
        change(&mut named);
        Parameters::from_weights(&net, &named, Device::Cpu).unwrap_err().to_string()
    };
    assert!(error(|named| drop(named.remove("classifier.0.bias"))).contains("missing"));
    assert!(
        error(|named| drop(named.insert("x".to_owned(), Default::default()))).contains("does not belong")
    );
    assert!(error(|named| named.get_mut("classifier.0.bias").unwrap().shape = vec![8]).contains("[8]"));
}

#[test]
fn dropout_leaves_out_a_share_and_keeps_the_mean() {
    let key = Key::new(1, Purpose::Dropout);
    let features = Tensor::ones(&[40, 50, 1, 1], Device::Cpu).unwrap();
    let dropped = |share, key| Dropout { share, key }.apply(&[&features]).unwrap()[0].to_vec_f32().unwrap();
    let values = dropped(0.2, key);
    let zeros = values.iter().filter(|v| **v == 0.0).count();
    assert!((320..480).contains(&zeros), "{zeros} of 2000");
    assert!(values.iter().all(|v| *v == 0.0 || *v == 1.25));
    assert_eq!(values, dropped(0.2, key));
    assert_ne!(values, dropped(0.2, key.step(1)));

    let net = Net::new(network("mobilenet_v2"));
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let slice = net.slice(&parameters, Width::ONE).unwrap();
    let input = batch(2, 20);
    let logits = |share| {
        let dropout = Some(Dropout { share, key });
        net.forward_with_dropout(&slice, &input, Norm::Batch, dropout).unwrap().to_vec_f32().unwrap()
    };
    assert_eq!(logits(0.0), net.forward(&slice, &input, Norm::Batch).unwrap().to_vec_f32().unwrap());
    assert_ne!(logits(0.0), logits(0.5));
}

/// The two nodes have equal features, of which different ones are left out.
#[test]
fn dropout_reaches_all_that_a_classifier_reads() {
    const FEATURES: usize = 40;
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    let mut list = NetworkBuilder::new("two", Rank::Image, widths);
    let inputs = ["a", "b"].map(|path| list.stream(path, FEATURES as u32, None));
    let pools = [0, 1].map(|n| list.global_pool(&format!("pool{n}"), inputs[n]));
    list.linear_over("fc", &pools, 2);
    let net = Net::new(list.finish().unwrap());
    // The first class counts the features of the first node, and the second those of the second.
    let weight = (0..4 * FEATURES).map(|i| f32::from(u8::from(i / (2 * FEATURES) == i / FEATURES % 2)));
    let tensor = |shape: &[usize], data| mutualnet_core::Tensor { shape: shape.to_vec(), data };
    let weights = Weights::from([
        ("fc.weight".to_owned(), tensor(&[2, 2 * FEATURES], weight.collect())),
        ("fc.bias".to_owned(), tensor(&[2], vec![0.0; 2])),
    ]);
    let parameters = Parameters::from_weights(net.network(), &weights, Device::Cpu).unwrap();
    let slice = net.slice(&parameters, Width::ONE).unwrap();
    let ones = Tensor::ones(&[8, FEATURES, 1, 1], Device::Cpu).unwrap();
    let dropout = Dropout { share: 0.5, key: Key::new(1, Purpose::Dropout) };
    let main = (net.network().main(), &[&ones, &ones][..]);
    let counts = net.run_list(&slice, main, Norm::Batch, Some(dropout)).unwrap()[0].to_vec_f32().unwrap();
    let [first, second] = [0, 1].map(|n| counts.iter().skip(n).step_by(2).copied().collect::<Vec<_>>());
    for of in [&first, &second] {
        assert!(of.iter().any(|&count| count != FEATURES as f32), "{counts:?}");
    }
    assert_ne!(first, second);
}

/// A point-wise convolution, a batch norm, two activations with what `between` puts between them, and a classifier.
fn two_activations(between: fn(&mut NetworkBuilder, NodeId) -> NodeId) -> Net {
    let widths = WidthRange::new(width(0.25), Width::ONE).unwrap();
    let mut list = NetworkBuilder::new("two_activations", Rank::Image, widths);
    let x = list.input(3);
    let conv = Conv {
        out: ChannelRule::whole(8),
        kernel: [1; 3],
        stride: [1; 3],
        padding: [0; 3],
        dilation: Conv::NO_DILATION,
        groups: Groups::Dense,
        bias: false,
    };
    let x = list.conv("conv", x, conv);
    let x = list.batch_norm("bn", x);
    let x = list.activation("first", x, Activation::HardSigmoid);
    let x = between(&mut list, x);
    let x = list.activation("second", x, Activation::Swish);
    let x = list.global_pool("pool", x);
    list.linear("fc", x, 7);
    Net::new(list.finish().unwrap())
}

#[test]
fn two_activations_behind_a_batch_norm_both_count() {
    let adjacent = two_activations(|_, x| x);
    // A pool over single pixels changes nothing, but keeps the nodes apart.
    let apart = two_activations(|list, x| {
        list.max_pool("nothing", x, MaxPool { kernel: [1; 3], stride: [1; 3], padding: [0; 3] })
    });
    let logits = |net: &Net| {
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        let slice = net.slice(&parameters, Width::ONE).unwrap();
        net.forward(&slice, &batch(2, 8), Norm::Batch).unwrap().to_vec_f32().unwrap()
    };
    assert_eq!(logits(&adjacent), logits(&apart));
}
