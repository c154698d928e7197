//! Makes bundles of any network: random weights, plausible statistics, and a table whose accuracy rises with the cost.

use std::collections::BTreeMap;

use mutualnet_bundle::{
    BatchNormStats, Bundle, BundleParts, Latency, Provenance, Quality, QueryTable, Row, RowStats,
};
use mutualnet_core::network::{Activation, ChannelRule, Conv, Groups, NetworkBuilder, ParameterKind, Rank};
use mutualnet_core::rng::{Key, Purpose, RngStream};
use mutualnet_core::{
    ClipSampling, Network, Preprocess, Resolution, Subnet, Task, Tensor, Weights, Width, WidthRange,
};
use rand::Rng;

/// Parses a sub-network such as `0.75-192`.
///
/// # Panics
/// Panics if the text is not a sub-network.
pub fn subnet(text: &str) -> Subnet {
    text.parse().expect("the test names a sub-network")
}

/// A network with the parts that MobileNets have: a stem, a depthwise convolution, a residual sum and a head. It has widths
/// from 0.25 to 1 and 5 classes.
pub fn small_network() -> Network {
    let smallest = Width::new(0.25).expect("0.25 is a width");
    let widths = WidthRange::new(smallest, Width::ONE).expect("0.25 is below 1");
    let conv = |out, kernel: u32, stride, groups| {
        let padding = [0, kernel / 2, kernel / 2];
        let dilation = Conv::NO_DILATION;
        Conv {
            out,
            kernel: [1, kernel, kernel],
            stride: [1, stride, stride],
            padding,
            dilation,
            groups,
            bias: false,
        }
    };
    let slim = ChannelRule::slim(32);
    let mut net = NetworkBuilder::new("small", Rank::Image, widths);
    let x = net.input(3);
    let x = net.conv("features.0.0", x, conv(slim, 3, 2, Groups::Dense));
    let x = net.batch_norm("features.0.1", x);
    let x = net.activation("features.0.2", x, Activation::Relu6);
    let y = net.conv("features.1.body.0", x, conv(slim, 3, 1, Groups::Depthwise));
    let y = net.batch_norm("features.1.body.1", y);
    let y = net.activation("features.1.body.2", y, Activation::Relu);
    let y = net.conv("features.1.body.3", y, conv(slim, 1, 1, Groups::Dense));
    let y = net.batch_norm("features.1.body.4", y);
    let x = net.add("features.1", x, y);
    let x = net.conv("features.2.0", x, conv(ChannelRule::whole(48), 1, 1, Groups::Dense));
    let x = net.batch_norm("features.2.1", x);
    let x = net.activation("features.2.2", x, Activation::Relu6);
    let x = net.global_pool("pool", x);
    net.linear("classifier.0", x, 5);
    net.finish().expect("the small network is one")
}

/// The parts of [`bundle`], for tests that change them before they are put together.
///
/// # Panics
/// Panics if the network has no such sub-network.
pub fn parts(network: Network, subnets: &[Subnet]) -> BundleParts {
    let stats =
        subnets.iter().zip(0..).map(|(&subnet, idx)| (subnet, row_stats(&network, subnet.width, idx)));
    let crop = subnets.iter().map(|subnet| subnet.input.resolution).max();
    let frames = subnets.iter().map(|subnet| subnet.input.frames).max();
    let clip = ClipSampling::every_frame(&network, frames.unwrap_or_default());
    BundleParts {
        task: Task::Classify,
        classes: (0..network.classes()).map(|idx| format!("class {idx}")).collect(),
        preprocess: Preprocess {
            clip,
            ..Preprocess::center_crop(
                crop.unwrap_or(Resolution::new(32).expect("32 is a resolution")),
                [0.485, 0.456, 0.406],
                [0.229, 0.224, 0.225],
            )
        },
        table: table(&network, subnets),
        weights: weights(&network),
        stats: stats.collect(),
        provenance: Provenance { seed: SEED, commit: "none".to_owned(), ..Provenance::default() },
        network,
    }
}

/// A valid bundle of any network with the given rows, which is the same each time.
///
/// # Panics
/// Panics in the same cases as [`parts`], or if there are no rows.
pub fn bundle(network: Network, subnets: &[Subnet]) -> Bundle {
    Bundle::new(parts(network, subnets)).expect("the parts of a fixture fit together")
}

const SEED: u64 = 7;

fn draw(rng: &mut RngStream, n: usize, from: f32, to: f32) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(from..to)).collect()
}

/// Weights of a size that keeps activations near 1 from layer to layer.
fn weights(network: &Network) -> Weights {
    let shapes = network.parameter_shapes(network.widths().full()).expect("the full width is a width");
    let tensors = network.parameters().into_iter().zip(shapes).zip(0..).map(|((parameter, shape), idx)| {
        let mut rng = Key::new(SEED, Purpose::Init).sample(idx).stream();
        let n = shape.iter().product();
        let fan_in: usize = match parameter.kind {
            ParameterKind::TransposedConvWeight => n / shape[1],
            _ => shape[1..].iter().product(),
        };
        let bound = match parameter.kind {
            ParameterKind::Scale => return (parameter.name, tensor(shape, draw(&mut rng, n, 0.5, 1.5))),
            ParameterKind::Shift | ParameterKind::Bias => 0.3,
            _ => (6.0 / fan_in as f32).sqrt(),
        };
        (parameter.name, tensor(shape, draw(&mut rng, n, -bound, bound)))
    });
    tensors.collect()
}

fn tensor(shape: Vec<usize>, data: Vec<f32>) -> Tensor {
    Tensor { shape, data }
}

fn row_stats(network: &Network, width: Width, row_idx: u64) -> RowStats {
    let channels = network.channels(width).expect("the rows are of the network's widths");
    let mut rng = Key::new(SEED, Purpose::Calibrate).sample(row_idx).stream();
    let stats = network.batch_norms().map(|id| BatchNormStats {
        mean: draw(&mut rng, channels[id.0], -0.5, 0.5),
        var: draw(&mut rng, channels[id.0], 0.5, 1.5),
    });
    stats.collect()
}

/// A table in which accuracy and latency rise with the MACs.
fn table(network: &Network, subnets: &[Subnet]) -> QueryTable {
    const N: u64 = 1000;
    let mut costs = BTreeMap::new();
    for &subnet in subnets {
        costs.insert((network.macs(subnet).expect("the rows are the network's"), subnet), ());
    }
    let rows = costs.into_keys().zip(1..).map(|((macs, subnet), rank)| {
        let accuracy = Quality::of_counts(N - N / (rank + 1), N).expect("not more right than there are");
        let latency = [1, 2].map(|threads| {
            let p50_ms = macs.as_f64() * 1e-6 / threads as f64;
            Latency { threads, p50_ms, p99_ms: 1.25 * p50_ms, n: 100 }
        });
        Row::new(subnet, macs, accuracy, latency.to_vec())
    });
    QueryTable::new(rows.collect()).expect("the rows of a fixture are valid")
}
