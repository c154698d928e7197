//! A network of every family in the engine and, from a bundle, on the run side: the same logits.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::{BatchNormStats, Bundle, BundleParts, Provenance, Quality, QueryTable, Row};
use mutualnet_core::network::{List, Rank};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{
    ClipSampling, Frames, InputSize, Network, Preprocess, Resolution, Subnet, Task, Width, WidthRange,
};
use mutualnet_engine::{Device, Tensor, no_grad, set_threads};
use mutualnet_nn::{Net, Norm, Parameters, Slice, Statistics};
use mutualnet_runtime::{Convolution, Model, ModelConfig, Session};
use mutualnet_zoo::{Head, NetworkConfig, Variant};
use rand::Rng;

use crate::fixture::small_network;

/// Largest difference relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

/// The same for networks whose random weights magnify rounding. Libtorch's own scores of DeepLabV3 and SSDlite are as much as
/// 1.1e-4 away from those in double precision, and how much depends on the processor.
const MAGNIFIED: f32 = 2e-4;

const N: usize = 16;

/// Normalized pixels of `n` images or clips, `[n, positions, 3]`: noise, with a contrast and a brightness for each image.
///
/// Of plain noise all images have nearly the same means. The branch of DeepLabV3 that sees the mean over the image would
/// then subtract what is the same and magnify what is left, rounding included: of such images libtorch's own scores are
/// 1.1e-4 away from those in double precision, and of these images half of that.
fn pixels(seed: u64, n: usize, positions: usize) -> Vec<f32> {
    let mut rng = Key::new(seed, Purpose::Generate).stream();
    let mut pixels = Vec::with_capacity(n * positions * 3);
    for _ in 0..n {
        let contrast = rng.random_range(0.1_f32..1.0);
        let brightness: [f32; 3] = [0; 3].map(|_| rng.random_range(-1.0..1.0));
        let noise =
            (0..positions * 3).map(|i| brightness[i % 3] + contrast * rng.random_range(-1.5_f32..1.5));
        pixels.extend(noise);
    }
    pixels
}

/// Statistics of one batch.
fn calibrated(net: &Net, slice: &Slice, subnet: Subnet) -> Statistics {
    let mut statistics = Statistics::new(net.network(), subnet.width, Device::Cpu).unwrap();
    let [side, frames] = [subnet.input.resolution.get(), subnet.input.frames.get()].map(|n| n as usize);
    let batch = tensor(net, &pixels(1, N, frames * side * side), [frames, side, side]);
    let collect = Norm::Collect { statistics: &mut statistics, momentum: 1.0 };
    no_grad(|| net.forward(slice, &batch, collect)).unwrap();
    statistics
}

/// Images, or clips if the network reads clips, of so many frames, height and width.
fn tensor(net: &Net, pixels: &[f32], [frames, height, width]: [usize; 3]) -> Tensor {
    let n = pixels.len() / (frames * height * width * 3);
    match net.network().rank() {
        Rank::Image => Tensor::from_nhwc(pixels, [n, height, width, 3], Device::Cpu).unwrap(),
        Rank::Clip => {
            Tensor::from_channels_last(pixels, &[n, frames, height, width, 3], Device::Cpu).unwrap()
        }
    }
}

/// Three sub-networks: the ends of the range and one between them, at the given sides and frames.
fn subnets(net: &Net, sides: [u32; 3], frames: [u32; 3]) -> Vec<Subnet> {
    let widths = net.network().widths();
    let [smallest, full] = [widths.smallest(), widths.full()].map(Width::fraction);
    let between = smallest + 0.45 * (full - smallest);
    let subnet = |((width, side), frames)| {
        let width = Width::new(width).unwrap();
        let input =
            InputSize { resolution: Resolution::new(side).unwrap(), frames: Frames::new(frames).unwrap() };
        Subnet { width, input }
    };
    [full, between, smallest].into_iter().zip(sides).zip(frames).map(subnet).collect()
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
    let task = Task::ALL.into_iter().find(|task| task.check(net.network()).is_ok());
    let task = task.unwrap();
    let frames = rows.iter().map(|row| row.subnet.input.frames).max();
    Bundle::new(BundleParts {
        task,
        network: net.network().clone(),
        classes: (0..net.network().classes()).map(|class| class.to_string()).collect(),
        preprocess: Preprocess {
            fit: task.sees(),
            clip: ClipSampling::every_frame(net.network(), frames.unwrap()),
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
    for network in mutualnet_zoo::samples_of(Task::Classify, Rank::Image).map(small_network).chain([finer]) {
        let both = BothSides::new(network, [32, 28, 20]);
        for (at, row) in both.rows.iter().enumerate() {
            both.assert_equal(at, [row.subnet.input.resolution.get() as usize; 2], TOLERANCE);
        }
    }
}

/// The second width of each has other frames, and a clip need not be square.
#[test]
fn networks_for_clips_give_the_engines_logits_on_the_run_side() {
    set_threads(1).unwrap();
    for network in mutualnet_zoo::samples_of(Task::Classify, Rank::Clip).map(small_network) {
        let both = BothSides::of_clips(network, [32, 28, 20], [4, 3, 5]);
        for at in 0..both.rows.len() {
            let side = both.rows[at].subnet.input.resolution.get() as usize;
            both.assert_equal(at, [side, side], TOLERANCE);
            both.assert_equal(at, [side, side + 7], TOLERANCE);
        }
    }
}

/// At rows whose lateral connections are resized not at all, in time, and in time and space. The list is run by name, with
/// any two clips; that a row sees a part of a whole clip is tested where clips are trained on.
#[test]
fn two_pathways_give_the_engines_logits_on_the_run_side() {
    set_threads(1).unwrap();
    const FAST: [usize; 3] = [32, 32, 32];
    const N: usize = 4;
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let config = NetworkConfig { classes: 7, widths, output_stride: None };
    let network = mutualnet_zoo::build("slowfast_r14_4x16", &config).unwrap();
    let net = Net::new(network.with_whole_clip(FAST.map(|n| n as u32)).unwrap());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let clips = |seed, subnet: Subnet| {
        let [side, frames] = [subnet.input.resolution.get(), subnet.input.frames.get()].map(|n| n as usize);
        [[frames, side, side], FAST].map(|extent| (pixels(seed, N, extent.iter().product()), extent))
    };
    let run = |slice: &Slice, subnet: Subnet, seed, norm: Norm<'_>| {
        let clips = clips(seed, subnet).map(|(pixels, extent)| tensor(&net, &pixels, extent));
        let inputs = clips.each_ref();
        no_grad(|| net.run_list(slice, (net.network().main(), &inputs), norm, None)).unwrap().remove(0)
    };
    let row = |subnet: Subnet| {
        let slice = net.slice(&parameters, subnet.width).unwrap();
        let mut statistics = Statistics::new(net.network(), subnet.width, Device::Cpu).unwrap();
        run(&slice, subnet, 1, Norm::Collect { statistics: &mut statistics, momentum: 1.0 });
        EngineRow { subnet, slice, statistics }
    };
    let rows: Vec<_> = subnets(&net, [32, 32, 20], [4, 3, 2]).into_iter().map(row).collect();
    let model = Arc::new(Model::new(&bundle(&net, &parameters, &rows)).unwrap());
    for EngineRow { subnet, slice, statistics } in &rows {
        let mut session = Session::new(model.clone(), NonZeroUsize::new(2).unwrap()).unwrap();
        session.switch(*subnet).unwrap();
        let clips = clips(2, *subnet);
        let ours = session.run_list(List::MAIN, &clips.each_ref().map(|(pixels, _)| &pixels[..]), N).unwrap();
        let engine = run(slice, *subnet, 2, Norm::Fixed(statistics)).to_vec_f32().unwrap();
        assert_near(ours, &engine, &subnet.to_string());
        let error = session.run(&clips[0].0, N).unwrap_err().to_string();
        assert!(error.contains("does not read one image or clip"), "{error}");

        // All of the Fast pathway's clips; then too few frames, or none, or frames of another shape.
        let whole = &clips[1].0;
        let [frames, height, width] = FAST;
        session.run_clips(whole, (N, FAST)).unwrap();
        for extent in [[frames / 2, 2 * height, width], [0, height, width], [frames - 1, height, width]] {
            assert!(session.run_clips(whole, (N, extent)).is_err(), "{extent:?}");
        }
        assert!(session.run_clips(&[], (N, [0, height, width])).is_err());
    }
}

/// All samples of a task, with every head.
fn with_heads(task: Task) -> impl Iterator<Item = Network> {
    let of_task = mutualnet_zoo::FAMILIES.iter().filter(move |family| family.task == task);
    of_task.flat_map(|family| family.samples).flat_map(|sample| {
        let widths = sample.widths.map(|width| Width::new(width).unwrap());
        let widths = WidthRange::new(widths[0], widths[1]).unwrap();
        let config = NetworkConfig { classes: 5, widths, output_stride: None };
        [Head::Whole, Head::Slim].map(|head| {
            let variant = Variant { head, ..Variant::from(mutualnet_zoo::Purpose::Training) };
            mutualnet_zoo::build_for(variant, sample.name, &config).unwrap()
        })
    })
}

#[test]
fn segmentation_gives_the_engines_scores_at_every_row_and_three_aspects() {
    set_threads(1).unwrap();
    for network in with_heads(Task::Segment) {
        let both = BothSides::new(network, [96, 64, 48]);
        for at in 0..both.rows.len() {
            let side = both.rows[at].subnet.input.resolution.get() as usize;
            // A square, 4:3, and an upright image whose sides are no multiples of anything.
            for size in [[side, side], [side, side * 4 / 3], [side * 3 / 2 + 1, side]] {
                both.assert_equal(at, size, MAGNIFIED);
            }
        }
    }
}

/// Their maps; and of those that look at regions, what they answer about some.
#[test]
fn detection_gives_the_engines_maps_and_answers_at_every_row() {
    set_threads(1).unwrap();
    for network in with_heads(Task::Detect) {
        let both = BothSides::new(network, [128, 64, 96]);
        let of_regions = &both.net.network().lists()[1..];
        let tolerance = if of_regions.is_empty() { MAGNIFIED } else { TOLERANCE };
        for at in 0..both.rows.len() {
            let side = both.rows[at].subnet.input.resolution.get() as usize;
            both.assert_equal(at, [side; 2], tolerance);
            of_regions.iter().for_each(|list| assert_equal_of_regions(&both, at, list));
        }
    }
}

/// What a list that reads regions answers about some.
fn assert_equal_of_regions(both: &BothSides, row: usize, list: &List) {
    const N_REGIONS: usize = 5;
    let EngineRow { subnet, slice, statistics } = &both.rows[row];
    let network = both.net.network();
    let input = network.inputs(list).next().unwrap();
    let input = network.costs(*subnet).unwrap()[input.0].shape;
    let [_, height, width] = input.extent.map(|n| n as usize);
    let shape = [N_REGIONS, height, width, input.channels];
    let mut rng = Key::new(3, Purpose::Generate).stream();
    let regions: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0_f32..1.0)).collect();
    let tensor = Tensor::from_nhwc(&regions, shape, Device::Cpu).unwrap();
    let run = || both.net.run_list(slice, (list, &[&tensor]), Norm::Fixed(statistics), None);
    let mut session = Session::new(both.models[0].0.clone(), NonZeroUsize::new(2).unwrap()).unwrap();
    session.switch(*subnet).unwrap();
    session.run_list(list.name(), &[&regions], N_REGIONS).unwrap();
    for (idx, engine) in no_grad(run).unwrap().iter().enumerate() {
        let output = session.output(idx);
        let is_map = engine.shape().len() == 4;
        let engine = if is_map { channels_last(engine) } else { engine.to_vec_f32().unwrap() };
        assert_near(output.data, &engine, output.name);
    }
}

/// A row in the engine.
pub(crate) struct EngineRow {
    pub(crate) subnet: Subnet,
    pub(crate) slice: Slice,
    statistics: Statistics,
}

/// A network with random weights in the engine and on the run side.
pub(crate) struct BothSides {
    pub(crate) net: Net,
    pub(crate) rows: Vec<EngineRow>,
    pub(crate) bundle: Bundle,
    /// With direct convolutions, and with those by Winograd's method, which may be ten times as far off.
    pub(crate) models: [(Arc<Model>, f32); 2],
}

/// All outputs of a sub-network in the engine, for images or clips of so many frames, height and width.
pub(crate) fn outputs_of(
    net: &Net,
    (slice, statistics): (&Slice, &Statistics),
    pixels: &[f32],
    extent: [usize; 3],
) -> Vec<Tensor> {
    let images = tensor(net, pixels, extent);
    no_grad(|| net.run_all(slice, &[&images], Norm::Fixed(statistics), None)).unwrap()
}

impl BothSides {
    pub(crate) fn new(network: Network, sides: [u32; 3]) -> Self {
        Self::of_clips(network, sides, [1; 3])
    }

    pub(crate) fn of_clips(network: Network, sides: [u32; 3], frames: [u32; 3]) -> Self {
        let net = Net::new(network);
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        let row = |subnet: Subnet| {
            let slice = net.slice(&parameters, subnet.width).unwrap();
            let statistics = calibrated(&net, &slice, subnet);
            EngineRow { subnet, slice, statistics }
        };
        let rows: Vec<_> = subnets(&net, sides, frames).into_iter().map(row).collect();
        let bundle = bundle(&net, &parameters, &rows);
        let models = [(Convolution::Direct, 1.0), (Convolution::Fast, 10.0)].map(|(convolution, factor)| {
            let config = ModelConfig { convolution, ..ModelConfig::choose().unwrap() };
            (Arc::new(Model::with_config(&bundle, config).unwrap()), factor)
        });
        Self { net, rows, bundle, models }
    }

    /// Frames of a row, and height and width.
    fn extent(&self, row: usize, [height, width]: [usize; 2]) -> [usize; 3] {
        [self.rows[row].subnet.input.frames.get() as usize, height, width]
    }

    /// Some images of a size, or clips of the row's frames.
    pub(crate) fn pixels(&self, row: usize, size: [usize; 2]) -> Vec<f32> {
        let n = if size[0] > 32 { 2 } else { N };
        pixels(2, n, self.extent(row, size).iter().product())
    }

    /// The outputs of a row in the engine, for [`Self::pixels`].
    pub(crate) fn engine(&self, row: usize, size: [usize; 2]) -> Vec<Tensor> {
        let EngineRow { slice, statistics, .. } = &self.rows[row];
        outputs_of(&self.net, (slice, statistics), &self.pixels(row, size), self.extent(row, size))
    }

    /// Asserts that all outputs of a row are the same on both sides, for images of a size or clips of the row's frames.
    pub(crate) fn assert_equal(&self, row: usize, size: [usize; 2], tolerance: f32) {
        let subnet = &self.rows[row].subnet;
        let (pixels, engine) = (self.pixels(row, size), self.engine(row, size));
        let n = pixels.len() / (self.extent(row, size).iter().product::<usize>() * 3);
        for (model, factor) in &self.models {
            let mut session = Session::new(model.clone(), NonZeroUsize::new(2).unwrap()).unwrap();
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
                let what = format!("{name} {subnet} {size:?} {} {:?}", ours.name, model.config());
                assert!(off <= tolerance * factor, "{what}: {off} relative");
            }
        }
    }
}

/// Asserts that numbers are equal up to rounding, relative to the largest one.
pub(crate) fn assert_near(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-6_f32, |max, value| max.max(value.abs()));
    let off = got.iter().zip(expected).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs())) / scale;
    assert!(off <= TOLERANCE, "{what}: {off} relative");
}

/// The numbers of `[n, c]` or `[n, c, (t,) h, w]` as `[n, (t,) h, w, c]`.
pub(crate) fn channels_last(tensor: &Tensor) -> Vec<f32> {
    let (shape, values) = (tensor.shape(), tensor.to_vec_f32().unwrap());
    let [c, positions] = [shape[1], shape[2..].iter().product()];
    let image = |image: &[f32]| {
        let at = |i: usize| image[i % c * positions + i / c];
        (0..c * positions).map(at).collect::<Vec<_>>()
    };
    values.chunks_exact(c * positions).flat_map(image).collect()
}
