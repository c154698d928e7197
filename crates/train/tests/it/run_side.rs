//! A network of every family in the engine and, from a bundle, on the run side: the same logits.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::{BatchNormStats, Bundle, BundleParts, Provenance, Quality, QueryTable, Row};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Network, Preprocess, Resolution, Subnet, Task, Width, WidthRange};
use mutualnet_engine::{Device, Tensor, no_grad, set_threads};
use mutualnet_nn::{Net, Norm, Parameters, Slice, Statistics};
use mutualnet_runtime::{Model, Session};
use mutualnet_zoo::{NetworkConfig, segment};
use rand::Rng;

use crate::fixture::small_network;

/// Largest difference relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

const N: usize = 16;

/// Normalized pixels, `[n, 3]`.
fn pixels(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = Key::new(seed, Purpose::Generate).stream();
    (0..n * 3).map(|_| rng.random_range(-1.5_f32..1.5)).collect()
}

/// Statistics of one batch.
fn calibrated(net: &Net, slice: &Slice, subnet: Subnet) -> Statistics {
    let mut statistics = Statistics::new(net.network(), subnet.width, Device::Cpu).unwrap();
    let side = subnet.input.resolution.get() as usize;
    let batch = Tensor::from_nhwc(&pixels(1, N * side * side), [N, side, side, 3], Device::Cpu).unwrap();
    let collect = Norm::Collect { statistics: &mut statistics, momentum: 1.0 };
    no_grad(|| net.forward(slice, &batch, collect)).unwrap();
    statistics
}

/// Three sub-networks: the ends of the range and one between them, at the given sides.
fn subnets(net: &Net, sides: [u32; 3]) -> Vec<Subnet> {
    let widths = net.network().widths();
    let [smallest, full] = [widths.smallest(), widths.full()].map(Width::fraction);
    let between = smallest + 0.45 * (full - smallest);
    let subnet = |(width, side)| Subnet::image(Width::new(width).unwrap(), Resolution::new(side).unwrap());
    [full, between, smallest].into_iter().zip(sides).map(subnet).collect()
}

fn bundle(net: &Net, parameters: &Parameters, rows: &[EngineRow]) -> Bundle {
    let row = |EngineRow { subnet, .. }: &EngineRow| {
        let macs = net.network().macs(*subnet).unwrap();
        Row::new(*subnet, macs, Quality::of_counts(1, 2).unwrap(), Vec::new())
    };
    let stats = |EngineRow { subnet, statistics, .. }: &EngineRow| {
        let layers = statistics.to_vecs().unwrap().into_iter();
        (*subnet, layers.map(|(mean, var)| BatchNormStats { mean, var }).collect())
    };
    let task = [Task::Classify, Task::Segment].into_iter().find(|task| task.check(net.network()).is_ok());
    let task = task.unwrap();
    Bundle::new(BundleParts {
        task,
        network: net.network().clone(),
        classes: (0..net.network().classes()).map(|class| class.to_string()).collect(),
        preprocess: Preprocess {
            fit: task.sees(),
            ..Preprocess::center_crop(rows[0].subnet.input.resolution, [0.5; 3], [0.25; 3])
        },
        table: QueryTable::new(rows.iter().map(row).collect()).unwrap().measuring(task.metric()),
        weights: parameters.to_weights().unwrap(),
        stats: rows.iter().map(stats).collect::<BTreeMap<_, _>>(),
        provenance: Provenance::default(),
    })
    .unwrap()
}

#[test]
fn every_family_gives_the_engines_logits_on_the_run_side() {
    set_threads(1).unwrap();
    let finer = small_network("mobilenet_v2").with_channel_divisor(1).unwrap();
    for network in mutualnet_zoo::samples().map(small_network).chain([finer]) {
        let both = BothSides::new(network, [32, 28, 20]);
        for (at, row) in both.rows.iter().enumerate() {
            both.assert_equal(at, [row.subnet.input.resolution.get() as usize; 2], TOLERANCE);
        }
    }
}

#[test]
fn segmentation_gives_the_engines_scores_at_any_aspect() {
    set_threads(1).unwrap();
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let config = NetworkConfig { classes: 5, widths, output_stride: None };
    for name in segment::NAMES {
        let network = segment::segment(name, &config, mutualnet_zoo::Purpose::Training).unwrap().unwrap();
        let both = BothSides::new(network, [96, 64, 48]);
        for at in 0..both.rows.len() {
            for size in [[96, 96], [72, 96], [75, 50]] {
                // Both sides round: of random weights, DeepLabV3's scores differ by 1.02e-4 at most.
                both.assert_equal(at, size, 2.0 * TOLERANCE);
            }
        }
    }
}

/// A row in the engine.
struct EngineRow {
    subnet: Subnet,
    slice: Slice,
    statistics: Statistics,
}

/// A network with random weights in the engine and on the run side.
struct BothSides {
    net: Net,
    rows: Vec<EngineRow>,
    model: Arc<Model>,
}

impl BothSides {
    fn new(network: Network, sides: [u32; 3]) -> Self {
        let net = Net::new(network);
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        let row = |subnet: Subnet| {
            let slice = net.slice(&parameters, subnet.width).unwrap();
            let statistics = calibrated(&net, &slice, subnet);
            EngineRow { subnet, slice, statistics }
        };
        let rows: Vec<_> = subnets(&net, sides).into_iter().map(row).collect();
        let model = Arc::new(Model::new(&bundle(&net, &parameters, &rows)).unwrap());
        Self { net, rows, model }
    }

    /// Asserts that all outputs of a row are the same on both sides, for images of a size.
    fn assert_equal(&self, row: usize, size: [usize; 2], tolerance: f32) {
        let EngineRow { subnet, slice, statistics } = &self.rows[row];
        let n = if size[0] > 32 { 2 } else { N };
        let pixels = pixels(2, n * size[0] * size[1]);
        let images = Tensor::from_nhwc(&pixels, [n, size[0], size[1], 3], Device::Cpu).unwrap();
        let engine = no_grad(|| self.net.run_all(slice, &images, Norm::Fixed(statistics), None)).unwrap();
        let mut session = Session::new(self.model.clone(), NonZeroUsize::new(2).unwrap()).unwrap();
        session.switch(*subnet).unwrap();
        session.run_at(&pixels, n, size).unwrap();
        for (idx, engine) in engine.iter().enumerate() {
            let ours = session.output(idx);
            let engine = channels_last(engine);
            let scale = engine.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            assert_eq!(ours.data.len(), engine.len());
            let difference =
                ours.data.iter().zip(&engine).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
            let (name, off) = (self.net.network().name(), difference / scale);
            assert!(off <= tolerance, "{name} {subnet} {size:?} {}: {off} relative", ours.name);
        }
    }
}

/// The numbers of `[n, c]` or `[n, c, h, w]` as `[n, h, w, c]`.
fn channels_last(tensor: &Tensor) -> Vec<f32> {
    let (shape, values) = (tensor.shape(), tensor.to_vec_f32().unwrap());
    let [c, positions] = [shape[1], shape[2..].iter().product()];
    let image = |image: &[f32]| {
        let at = |i: usize| image[i % c * positions + i / c];
        (0..c * positions).map(at).collect::<Vec<_>>()
    };
    values.chunks_exact(c * positions).flat_map(image).collect()
}
