//! Bundles with arbitrary but reproducible numbers.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::{BatchNormStats, Bundle, BundleParts, Provenance, Quality, QueryTable, Row, RowStats};
use mutualnet_core::network::{
    Activation, AvgPool, ChannelRule, Conv, Extent, Groups, MaxPool, NetworkBuilder, Rank,
};
use mutualnet_core::{
    ClipSampling, InputSize, Network, NodeId, Preprocess, Resolution, Subnet, Task, Tensor, Weights, Width,
    WidthRange,
};
use mutualnet_runtime::{Convolution, Isa, Model, ModelConfig, Precision, Session};
use mutualnet_zoo::{NetworkConfig, OutputStride};

/// Numbers in (-1, 1), the same for the same name.
pub(crate) fn numbers(name: &str, len: usize) -> Vec<f32> {
    let seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn widths(smallest: f64) -> WidthRange {
    WidthRange::new(Width::new(smallest).unwrap(), Width::ONE).unwrap()
}

/// Rows of images, or of clips of three frames if the network reads clips.
pub(crate) fn rows_of<const N: usize>(network: &Network, rows: [&str; N]) -> [String; N] {
    let frames = if network.rank() == Rank::Clip { "-3" } else { "" };
    rows.map(|row| format!("{row}{frames}"))
}

pub(crate) fn subnet(text: &str) -> Subnet {
    text.parse().unwrap()
}

/// A network of the zoo for 32 pixels.
pub(crate) fn zoo(name: &str) -> Network {
    let config = NetworkConfig { classes: 10, widths: widths(0.25), output_stride: Some(OutputStride::S8) };
    mutualnet_zoo::build_small(name, &config).unwrap()
}

/// Everything that mobile networks do not have: a strided 5×5 without padding, 1×1 at stride 2 as a shortcut, a batch
/// norm and a non-linearity by themselves, a node read twice, an unused branch, odd channels, two linear layers.
pub(crate) fn odd_network() -> Network {
    let conv = |out, [size, stride, padding]: [u32; 3], groups| Conv {
        out,
        kernel: [1, size, size],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        dilation: Conv::NO_DILATION,
        groups,
        bias: false,
    };
    let mut net = NetworkBuilder::new("odd", Rank::Image, widths(0.25));
    let x = net.input(3);
    let stem = net.conv("stem", x, conv(ChannelRule::slim(24), [5, 2, 0], Groups::Dense));
    let x = net.activation("stem_act", stem, Activation::Relu);
    let x = net.batch_norm("alone", x);
    net.conv("unused", x, conv(ChannelRule::whole(4), [1, 1, 0], Groups::Dense));
    let a = net.conv("a", x, conv(ChannelRule::slim(40), [3, 2, 1], Groups::Dense));
    let a = net.batch_norm("a_bn", a);
    let b = net.conv("b", x, conv(ChannelRule::slim(40), [1, 2, 0], Groups::Dense));
    let b = net.batch_norm("b_bn", b);
    let x = net.add("sum", a, b);
    let x = net.activation("sum_act", x, Activation::Relu);
    let x = net.add("twice", x, x);
    let y = net.conv("wide", x, conv(ChannelRule::slim(40), [5, 1, 2], Groups::Depthwise));
    let y = net.activation("wide_act", y, Activation::Relu6);
    let x = net.add("shortcut", x, y);
    let x = net.conv("whole", x, conv(ChannelRule::whole(13), [3, 1, 2], Groups::Dense));
    let x = net.activation("late_act", x, Activation::Relu);
    let x = net.global_pool("pool", x);
    let x = net.linear("hidden", x, 21);
    let x = net.activation("hidden_act", x, Activation::Relu);
    let x = net.batch_norm("hidden_bn", x);
    net.linear("fc", x, 5);
    net.finish().unwrap()
}

/// The input goes to layers that are not dense convolutions.
pub(crate) fn network_without_stem() -> Network {
    let mut net = NetworkBuilder::new("no_stem", Rank::Image, widths(1.0));
    let x = net.input(3);
    let depthwise = Conv {
        out: ChannelRule::whole(3),
        kernel: [1, 3, 3],
        stride: [1, 1, 1],
        padding: [0, 1, 1],
        dilation: Conv::NO_DILATION,
        groups: Groups::Depthwise,
        bias: false,
    };
    let y = net.conv("dw", x, depthwise);
    let x = net.add("sum", x, y);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 4);
    net.finish().unwrap()
}

fn weights(network: &Network) -> Weights {
    let shapes = network.parameter_shapes(network.widths().full()).unwrap();
    let tensor = |name: &str, shape: Vec<usize>| {
        let mut data = numbers(name, shape.iter().product());
        // As large at the end of the network as at its beginning.
        let fan_in: usize = shape[1..].iter().product();
        let scale = if shape.len() > 1 { (6.0 / fan_in as f32).sqrt() } else { 0.5 };
        let center = if shape.len() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
        data.iter_mut().for_each(|x| *x = *x * scale + center);
        Tensor { shape, data }
    };
    let parameters = network.parameters().into_iter().zip(shapes);
    parameters.map(|(parameter, shape)| (parameter.name.clone(), tensor(&parameter.name, shape))).collect()
}

fn row_stats(network: &Network, row: Subnet) -> RowStats {
    let channels = network.channels(row.width).unwrap();
    let of = |id: NodeId| {
        let name = format!("{row} {}", network.node(id).path);
        let mean = numbers(&name, channels[id.0]).iter().map(|x| x * 0.3).collect();
        let var = numbers(&format!("{name} var"), channels[id.0]).iter().map(|x| 1.0 + 0.8 * x).collect();
        BatchNormStats { mean, var }
    };
    network.batch_norms().map(of).collect()
}

/// A bundle of a network at some rows; the crop is the first row's resolution.
pub(crate) fn bundle(network: &Network, rows: &[&str]) -> Bundle {
    let subnets: Vec<_> = rows.iter().map(|text| subnet(text)).collect();
    let row = |&subnet: &Subnet| {
        let macs = network.macs(subnet).unwrap();
        Row::new(subnet, macs, Quality::of_counts(macs.0 % 100, 100).unwrap(), Vec::new())
    };
    let frames = subnets.iter().map(|subnet| subnet.input.frames).max();
    let stats: BTreeMap<_, _> = subnets.iter().map(|&row| (row, row_stats(network, row))).collect();
    let task = Task::ALL.into_iter().find(|task| task.check(network).is_ok()).unwrap_or_default();
    Bundle::new(BundleParts {
        task,
        network: network.clone(),
        classes: (0..network.classes()).map(|class| format!("class {class}")).collect(),
        preprocess: Preprocess {
            clip: ClipSampling::every_frame(network, frames.unwrap()),
            fit: task.sees(),
            ..Preprocess::center_crop(subnets[0].input.resolution, [0.5; 3], [0.25; 3])
        },
        table: QueryTable::new(subnets.iter().map(row).collect()).unwrap().measuring(task.metric()),
        weights: weights(network),
        stats,
        provenance: Provenance::default(),
    })
    .unwrap()
}

pub(crate) fn session(model: &Arc<Model>, threads: usize) -> Session {
    Session::new(model.clone(), NonZeroUsize::new(threads).unwrap()).unwrap()
}

pub(crate) fn model_of(bundle: &Bundle, isa: Isa, convolution: Convolution) -> Arc<Model> {
    let precisions = vec![Precision::F32];
    Arc::new(Model::with_config(bundle, ModelConfig { isa, convolution, precisions }).unwrap())
}

/// A single-threaded session of a bundle.
pub(crate) fn session_of(bundle: &Bundle, isa: Isa) -> Session {
    session(&model_of(bundle, isa, Convolution::Fast), 1)
}

/// Normalized pixels, `[n, r, r, 3]`.
pub(crate) fn images(n: usize, resolution: Resolution) -> Vec<f32> {
    let side = resolution.get() as usize;
    numbers("images", n * side * side * 3)
}

/// Normalized pixels of clips, `[n, frames, r, r, 3]`.
pub(crate) fn clips(n: usize, InputSize { resolution, frames }: InputSize) -> Vec<f32> {
    images(n * frames.get() as usize, resolution)
}

/// What networks for clips in the zoo do not have: a kernel over time and space with a stride along both, a pool along time,
/// a dilation along time, a node that is read twice, odd channels.
pub(crate) fn odd_clip_network() -> Network {
    let conv = |out, groups, [kernel, stride, padding]: [Extent; 3]| Conv {
        out,
        kernel,
        stride,
        padding,
        dilation: Conv::NO_DILATION,
        groups,
        bias: true,
    };
    let mut net = NetworkBuilder::new("odd clips", Rank::Clip, widths(0.25));
    let x = net.input(3);
    let whole = [[3; 3], [2; 3], [1; 3]];
    let x = net.conv("stem", x, conv(ChannelRule::slim(24), Groups::Dense, whole));
    let x = net.activation("stem_act", x, Activation::Relu);
    let (kernel, stride, padding) = ([2, 3, 3], [1, 2, 2], [1, 1, 1]);
    let x = net.max_pool("pool", x, MaxPool { kernel, stride, padding });
    let rule = ChannelRule { divisor: 1, ..ChannelRule::slim(21) };
    let over_time = Conv { dilation: [2, 1, 1], ..conv(rule, Groups::Dense, [[3, 1, 1], [1; 3], [2, 0, 0]]) };
    let x = net.conv("time", x, over_time);
    let x = net.batch_norm("bn", x);
    let y = net.conv("dw", x, conv(rule, Groups::Depthwise, [[3; 3], [1; 3], [1; 3]]));
    let y = net.activation("dw_act", y, Activation::Swish);
    let x = net.add("sum", x, y);
    let tall = Conv { bias: false, ..conv(rule, Groups::Depthwise, [[5, 2, 1], [2, 1, 1], [2, 1, 0]]) };
    let x = net.conv("tall", x, tall);
    let kernel = [2, 2, 1];
    let x = net.avg_pool("mean", x, AvgPool { kernel, stride: [1; 3], padding: [1, 0, 0] });
    let pooled = net.global_pool("gate", x);
    let x = net.multiply("scale", x, pooled);
    let map = net.conv("map", x, conv(ChannelRule::whole(5), Groups::Dense, [[1, 3, 3], [1; 3], [0, 1, 1]]));
    let x = net.global_pool("global", x);
    let logits = net.linear("fc", x, 7);
    net.output("logits", logits);
    net.output("map", map);
    net.finish().unwrap()
}
