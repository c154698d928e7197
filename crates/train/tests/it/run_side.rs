//! A network of every family in the engine and, from a bundle, on the run side: the same logits.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::{Accuracy, BatchNormStats, Bundle, BundleParts, Provenance, QueryTable, Row};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Preprocess, Resolution, Subnet, Width};
use mutualnet_engine::{Device, Tensor, no_grad, set_threads};
use mutualnet_nn::{Net, Norm, Parameters, Slice, Statistics};
use mutualnet_runtime::{Model, Session};
use rand::Rng;

use crate::fixture::small_network;

/// Largest difference relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

const N: usize = 16;

/// Normalized pixels, `[n, side, side, 3]`.
fn pixels(seed: u64, side: usize) -> Vec<f32> {
    let mut rng = Key::new(seed, Purpose::Generate).stream();
    (0..N * side * side * 3).map(|_| rng.random_range(-1.5_f32..1.5)).collect()
}

fn images(seed: u64, side: usize) -> Tensor {
    Tensor::from_nhwc(&pixels(seed, side), [N, side, side, 3], Device::Cpu).unwrap()
}

/// Statistics of one batch.
fn calibrated(net: &Net, slice: &Slice, subnet: Subnet) -> Statistics {
    let mut statistics = Statistics::new(net.network(), subnet.width, Device::Cpu).unwrap();
    let batch = images(1, subnet.resolution.get() as usize);
    let collect = Norm::Collect { statistics: &mut statistics, momentum: 1.0 };
    no_grad(|| net.forward(slice, &batch, collect)).unwrap();
    statistics
}

/// Three sub-networks: the ends of the range and one between them.
fn subnets(net: &Net) -> Vec<Subnet> {
    let widths = net.network().widths();
    let [smallest, full] = [widths.smallest(), widths.full()].map(Width::fraction);
    let between = smallest + 0.45 * (full - smallest);
    let subnet = |(width, side)| Subnet::image(Width::new(width).unwrap(), Resolution::new(side).unwrap());
    [(full, 32), (between, 28), (smallest, 20)].map(subnet).to_vec()
}

fn bundle(net: &Net, parameters: &Parameters, statistics: &[(Subnet, Statistics)]) -> Bundle {
    let row = |(subnet, _): &(Subnet, Statistics)| {
        let macs = net.network().macs(*subnet).unwrap();
        Row::new(*subnet, macs, Accuracy::new(1, 2).unwrap(), Vec::new())
    };
    let stats = |(subnet, statistics): &(Subnet, Statistics)| {
        let layers = statistics.to_vecs().unwrap().into_iter();
        (*subnet, layers.map(|(mean, var)| BatchNormStats { mean, var }).collect())
    };
    Bundle::new(BundleParts {
        network: net.network().clone(),
        classes: (0..net.network().classes()).map(|class| class.to_string()).collect(),
        preprocess: Preprocess {
            resize: None,
            crop: Resolution::new(32).unwrap(),
            mean: [0.5; 3],
            std: [0.25; 3],
        },
        table: QueryTable::new(statistics.iter().map(row).collect()).unwrap(),
        weights: parameters.to_weights().unwrap(),
        stats: statistics.iter().map(stats).collect::<BTreeMap<_, _>>(),
        provenance: Provenance::default(),
    })
    .unwrap()
}

#[test]
fn every_family_gives_the_engines_logits_on_the_run_side() {
    set_threads(1).unwrap();
    let finer = small_network("mobilenet_v2").with_channel_divisor(1).unwrap();
    for network in mutualnet_zoo::samples().map(small_network).chain([finer]) {
        let net = Net::new(network);
        let name = net.network().name();
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        let slices = subnets(&net).into_iter();
        let slices: Vec<_> = slices.map(|row| (row, net.slice(&parameters, row.width).unwrap())).collect();
        let statistics = slices.iter().map(|(row, slice)| (*row, calibrated(&net, slice, *row)));
        let statistics: Vec<_> = statistics.collect();
        let model = Arc::new(Model::new(&bundle(&net, &parameters, &statistics)).unwrap());
        let mut session = Session::new(model, NonZeroUsize::new(2).unwrap()).unwrap();
        for ((row, slice), (_, statistics)) in slices.iter().zip(&statistics) {
            let side = row.resolution.get() as usize;
            let engine = no_grad(|| net.forward(slice, &images(2, side), Norm::Fixed(statistics))).unwrap();
            let engine = engine.to_vec_f32().unwrap();
            session.switch(*row).unwrap();
            let ours = session.run(&pixels(2, side), N).unwrap();
            let scale = engine.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            let difference = ours.iter().zip(&engine).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
            assert!(difference <= TOLERANCE * scale, "{name} {row}: {} relative", difference / scale);
        }
    }
}
