//! A toy of a two-stage detector: the list `main` makes a feature map, the objective cuts regions out of it, and the list
//! `box` classifies them. It is compared with the same computation composed of libtorch's operations by hand. And a list of
//! two inputs, in the engine and on the run side.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::{BatchNormStats, Bundle, BundleParts, Provenance, Quality, QueryTable, Row};
use mutualnet_core::network::{Activation, ChannelRule, Conv, Groups, NetworkBuilder, Rank, Resize};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::sample::StepSubnets;
use mutualnet_core::{Network, Preprocess, Subnet, Task, Width, WidthRange};
use mutualnet_data::Batch;
use mutualnet_engine::{Affine, ConvGeometry, Device, Filter, NormStatistics, Tensor, no_grad, set_threads};
use mutualnet_nn::{Net, Norm, Parameters, Statistics};
use mutualnet_runtime::{Model, Session};
use mutualnet_train::Divergence;
use mutualnet_train::calibrate::Calibration;
use mutualnet_train::mutual_step::mutual_step;
use mutualnet_train::step_batch::{Images, StepBatch};
use mutualnet_train::step_rules::StepRules;
use mutualnet_train::task::{Objective, Pass, Score, Staged};
use rand::Rng;

use crate::run_side::{assert_near, channels_last};

const CLASSES: usize = 5;
const N: usize = 4;
const SIDE: usize = 16;
/// Side of a region after it is resized.
const REGION: usize = 2;

fn conv(out: ChannelRule, size: u32) -> Conv {
    Conv {
        out,
        kernel: [1, size, size],
        stride: [1; 3],
        padding: [0, size / 2, size / 2],
        dilation: Conv::NO_DILATION,
        groups: Groups::Dense,
        bias: false,
    }
}

/// `main` gives logits of the whole image and a map of features; `box` gives logits of a region of that map.
fn network() -> Network {
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let mut main = NetworkBuilder::new("two lists", Rank::Image, widths);
    let x = main.input(3);
    let x = main.conv("stem", x, Conv { stride: [1, 2, 2], ..conv(ChannelRule::slim(32), 3) });
    let x = main.batch_norm("stem_bn", x);
    let x = main.activation("stem_relu", x, Activation::Relu);
    let features = main.conv("features", x, Conv { bias: true, ..conv(ChannelRule::whole(8), 3) });
    let pooled = main.global_pool("pool", features);
    let logits = main.linear("fc", pooled, CLASSES);
    main.output("logits", logits);
    main.output("features", features);
    let mut of_box = NetworkBuilder::new("box", Rank::Image, widths);
    let size = [1, REGION as u32, REGION as u32];
    let x = of_box.stream("box.input", 8, Some(size));
    let x = of_box.conv("box.conv", x, conv(ChannelRule::slim(32), 3));
    let x = of_box.batch_norm("box.bn", x);
    let x = of_box.activation("box.relu", x, Activation::Relu);
    let x = of_box.global_pool("box.pool", x);
    let x = of_box.linear("box.fc", x, CLASSES);
    of_box.output("box", x);
    let lists = BTreeMap::from([("box".to_owned(), of_box.finish().unwrap())]);
    main.finish().unwrap().with_lists(lists).unwrap()
}

/// The toy's objective.
#[derive(Debug)]
struct Regions;

#[derive(Debug)]
struct Answer {
    image: Tensor,
    regions: Tensor,
}

/// A quarter of every image, as the row and the column of its corner in fourths of the map, and one label for both.
#[derive(Debug)]
struct Targets {
    labels: Tensor,
    corners: Vec<[usize; 2]>,
}

#[derive(Debug, Default)]
struct NoScore;

impl Score for NoScore {
    fn n(&self) -> u64 {
        0
    }

    fn quality(&self) -> mutualnet_train::Result<Quality> {
        Ok(Quality::of_counts(0, 1)?)
    }
}

/// Cuts a region out of every map `[n, c, h, w]`, at whatever resolution it has: `[n, c, 2, 2]`.
fn regions(features: &Tensor, corners: &[[usize; 2]]) -> Tensor {
    let side = features.shape()[2];
    let cut = |(n, [y, x]): (usize, &[usize; 2])| {
        let map = features.narrow(0, n, 1).unwrap().narrow(2, y * side / 4, side / 2).unwrap();
        let map = map.narrow(3, x * side / 4, side / 2).unwrap();
        map.resize_to(&[REGION; 2], Filter::Bilinear).unwrap()
    };
    let cuts: Vec<_> = corners.iter().enumerate().map(cut).collect();
    Tensor::concatenate(&cuts.iter().collect::<Vec<_>>(), 0).unwrap()
}

fn quarters() -> Vec<[usize; 2]> {
    vec![[0, 1], [2, 2], [1, 0], [2, 1]]
}

impl Objective for Regions {
    const TASK: Task = Task::Classify;
    type Targets = Targets;
    type Answer = Answer;
    type Score = NoScore;

    fn targets(_: &Batch, _: Device) -> mutualnet_train::Result<Targets> {
        panic!("the test makes its batch itself")
    }

    fn answer(mut pass: Pass<'_>, targets: &Targets, _: Option<&Answer>) -> mutualnet_train::Result<Answer> {
        let main = pass.run()?;
        let cut = regions(main.get("features"), &targets.corners);
        let regions = pass.run_list("box", &[&cut])?.get("box").alias();
        Ok(Answer { image: main.get("logits").alias(), regions })
    }

    fn calibrate(pass: &mut Pass<'_>) -> mutualnet_train::Result<()> {
        let main = pass.run()?;
        pass.run_list("box", &[&regions(main.get("features"), &quarters())])?;
        Ok(())
    }

    fn supervised_loss(
        answer: &Answer,
        targets: &Targets,
        smoothing: f64,
    ) -> mutualnet_train::Result<Tensor> {
        let image = answer.image.cross_entropy(&targets.labels, smoothing)?;
        Ok(image.add(&answer.regions.cross_entropy(&targets.labels, smoothing)?)?)
    }

    fn student_loss(
        student: &Answer,
        teacher: &Answer,
        _: &Targets,
        _: Divergence,
    ) -> mutualnet_train::Result<Tensor> {
        let image = student.image.kl_divergence(&teacher.image)?;
        Ok(image.add(&student.regions.kl_divergence(&teacher.regions)?)?)
    }

    fn detached(answer: &Answer) -> mutualnet_train::Result<Answer> {
        Ok(Answer { image: answer.image.detach()?, regions: answer.regions.detach()? })
    }

    fn mean(answers: &[Answer], _: &Targets) -> mutualnet_train::Result<Answer> {
        Self::detached(&answers[0])
    }

    fn accuracy(answer: &Answer, targets: &Targets) -> mutualnet_train::Result<f64> {
        Ok(answer.image.top1_correct(&targets.labels)? as f64 / N as f64)
    }

    fn most_frequent_answer(answer: &Answer, _: &Targets) -> mutualnet_train::Result<Tensor> {
        Ok(answer.image.detach()?.most_frequent_answer()?)
    }

    fn information(answer: &Answer, _: &Targets) -> mutualnet_train::Result<Tensor> {
        Ok(answer.image.information()?)
    }

    fn count(_: &mut NoScore, _: Staged<'_>, _: &Targets) -> mutualnet_train::Result<()> {
        Ok(())
    }
}

fn images(seed: u64) -> Tensor {
    let mut rng = Key::new(seed, Purpose::Generate).stream();
    let pixels: Vec<f32> = (0..N * SIDE * SIDE * 3).map(|_| rng.random_range(-1.5_f32..1.5)).collect();
    Tensor::from_nhwc(&pixels, [N, SIDE, SIDE, 3], Device::Cpu).unwrap()
}

fn batch() -> StepBatch<Regions> {
    let labels = Tensor::from_slice_i64(&[0, 3, 1, 4], &[N]).unwrap();
    StepBatch { images: Images::with_full_sides(images(1)), targets: Targets { labels, corners: quarters() } }
}

fn subnet(text: &str) -> Subnet {
    text.parse().unwrap()
}

/// Both lists of one sub-network, written out: which parameters there are, and what is computed from them.
struct ByHand {
    leaves: BTreeMap<String, Tensor>,
}

impl ByHand {
    /// `c` channels in the stem, and as many in `box.conv`.
    fn new(full: &BTreeMap<String, Tensor>, c: usize) -> Self {
        let shapes: [(&str, &[usize]); 12] = [
            ("stem.weight", &[c, 3, 3, 3]),
            ("stem_bn.weight", &[c]),
            ("stem_bn.bias", &[c]),
            ("features.weight", &[8, c, 3, 3]),
            ("features.bias", &[8]),
            ("fc.weight", &[CLASSES, 8]),
            ("fc.bias", &[CLASSES]),
            ("box.conv.weight", &[c, 8, 3, 3]),
            ("box.bn.weight", &[c]),
            ("box.bn.bias", &[c]),
            ("box.fc.weight", &[CLASSES, c]),
            ("box.fc.bias", &[CLASSES]),
        ];
        let leaf =
            |(name, shape): (&str, &[usize])| (name.to_owned(), full[name].leaf_prefix(shape).unwrap());
        Self { leaves: shapes.into_iter().map(leaf).collect() }
    }

    fn block(&self, x: &Tensor, [conv, norm]: [&str; 2], stride: usize) -> Tensor {
        let geometry = ConvGeometry { stride: &[stride; 2], padding: &[1; 2], dilation: &[1; 2], groups: 1 };
        let x = x.convolution(&self.leaves[&format!("{conv}.weight")], None, &geometry).unwrap();
        let [weight, bias] = ["weight", "bias"].map(|what| &self.leaves[&format!("{norm}.{what}")]);
        x.batch_norm(Affine { weight, bias, eps: 1e-5 }, NormStatistics::Batch).unwrap().relu().unwrap()
    }

    fn linear(&self, x: &Tensor, path: &str) -> Tensor {
        let x = x.global_average().unwrap();
        let x = x.reshape(&[x.shape()[0], x.shape()[1]]).unwrap();
        let [weight, bias] = ["weight", "bias"].map(|what| &self.leaves[&format!("{path}.{what}")]);
        x.linear(weight, Some(bias)).unwrap()
    }

    fn answer(&self, images: &Tensor) -> Answer {
        let x = self.block(images, ["stem", "stem_bn"], 2);
        let geometry = ConvGeometry { stride: &[1; 2], padding: &[1; 2], dilation: &[1; 2], groups: 1 };
        let [weight, bias] = ["features.weight", "features.bias"].map(|name| &self.leaves[name]);
        let features = x.convolution(weight, Some(bias), &geometry).unwrap();
        let x = self.block(&regions(&features, &quarters()), ["box.conv", "box.bn"], 1);
        Answer { image: self.linear(&features, "fc"), regions: self.linear(&x, "box.fc") }
    }

    fn add_gradients(self, sums: &mut BTreeMap<String, Tensor>) {
        for (name, leaf) in self.leaves {
            let gradient = leaf.grad().unwrap().unwrap_or_else(|| panic!("no gradient reaches {name}"));
            sums.get_mut(&name).unwrap().add_prefix_(&gradient).unwrap();
        }
    }
}

#[test]
fn gradients_of_a_mutual_step_flow_through_both_lists() {
    set_threads(1).unwrap();
    let net = Net::new(network());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let (full, student) = (subnet("1.0-16"), subnet("0.5-12"));
    let subnets = StepSubnets { full, students: vec![student] };
    let (gradients, losses) =
        mutual_step(&net, &parameters, &batch(), &subnets, &StepRules::default()).unwrap();

    let tensors = parameters.list().iter().zip(parameters.tensors());
    let tensors: BTreeMap<_, _> = tensors.map(|(p, tensor)| (p.name.clone(), tensor.alias())).collect();
    let mut sums: BTreeMap<_, _> =
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.zeros_like().unwrap())).collect();
    let StepBatch { images, targets } = batch();
    let wide = ByHand::new(&tensors, 32);
    let answer = wide.answer(&images.pixels);
    let full_loss = Regions::supervised_loss(&answer, &targets, 0.0).unwrap();
    full_loss.backward().unwrap();
    let teacher = Regions::detached(&answer).unwrap();
    wide.add_gradients(&mut sums);
    let narrow = ByHand::new(&tensors, 16);
    let answer = narrow.answer(&images.pixels.resize_bilinear(12).unwrap());
    let student_loss = Regions::student_loss(&answer, &teacher, &targets, Divergence::default()).unwrap();
    student_loss.backward().unwrap();
    narrow.add_gradients(&mut sums);

    assert!((losses.full - full_loss.scalar().unwrap()).abs() < 1e-5, "{}", losses.full);
    assert!((losses.students[0].loss - student_loss.scalar().unwrap()).abs() < 1e-5);
    assert_eq!(parameters.list().len(), sums.len());
    for (parameter, gradient) in parameters.list().iter().zip(&gradients) {
        let expected = sums[&parameter.name].to_vec_f32().unwrap();
        assert_near(&gradient.to_vec_f32().unwrap(), &expected, &parameter.name);
    }
}

/// Regions of a map `[n, h, w, c]` that need not be resized.
fn corners_of(map: &[f32], [side, c]: [usize; 2]) -> Vec<f32> {
    let images = map.chunks_exact(side * side * c);
    let rows = images.flat_map(|image| image.chunks_exact(side * c).take(REGION));
    rows.flat_map(|row| row[..REGION * c].to_vec()).collect()
}

fn bundle(net: &Net, parameters: &Parameters, statistics: &BTreeMap<Subnet, Statistics>) -> Bundle {
    let stats = statistics.iter().map(|(&row, statistics)| {
        let layers = statistics.to_vecs().unwrap().into_iter();
        (row, layers.map(|(mean, var)| BatchNormStats { mean, var }).collect())
    });
    let table = statistics.keys().map(|&row| {
        Row::new(row, net.network().macs(row).unwrap(), Quality::of_counts(1, 2).unwrap(), Vec::new())
    });
    let largest = statistics.keys().map(|row| row.input.resolution).max().unwrap();
    Bundle::new(BundleParts {
        task: Task::Classify,
        network: net.network().clone(),
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        preprocess: Preprocess::center_crop(largest, [0.5; 3], [0.25; 3]),
        table: QueryTable::new(table.collect()).unwrap(),
        weights: parameters.to_weights().unwrap(),
        stats: stats.collect(),
        provenance: Provenance::default(),
    })
    .unwrap()
}

#[test]
fn a_bundle_of_two_lists_runs_both_at_every_row() {
    set_threads(1).unwrap();
    let net = Net::new(network());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let rows = ["1.0-16", "0.5-12", "0.25-16"].map(subnet);
    let mut calibration = Calibration::new(&net, &rows, Device::Cpu).unwrap();
    for seed in [2, 3] {
        calibration.add::<Regions>(&net, &parameters, &Images::with_full_sides(images(seed))).unwrap();
    }
    let statistics = calibration.finish();
    let bundle = bundle(&net, &parameters, &statistics);
    let read = Bundle::from_bytes(&bundle.to_bytes().unwrap()).unwrap();
    assert_eq!(read, bundle);

    let mut session = Session::new(Arc::new(Model::new(&read).unwrap()), NonZeroUsize::MIN).unwrap();
    for row in rows {
        let slice = net.slice(&parameters, row.width).unwrap();
        let images = images(4).resize_bilinear(row.input.resolution.get() as usize).unwrap();
        let of_list = |name: &str, input: &Tensor| {
            let list = net.network().list(name).unwrap();
            let norm = Norm::Fixed(&statistics[&row]);
            no_grad(|| net.run_list(&slice, (list, &[input]), norm, None)).unwrap()
        };
        let main = of_list("main", &images);
        let cut = main[1].narrow(2, 0, REGION).unwrap().narrow(3, 0, REGION).unwrap();
        let regions = of_list("box", &cut.channels_last().unwrap());

        session.switch(row).unwrap();
        session.run(&channels_last(&images), N).unwrap();
        assert_near(session.output(0).data, &channels_last(&main[0]), &format!("logits at {row}"));
        let features = session.output(1);
        assert_near(features.data, &channels_last(&main[1]), &format!("features at {row}"));
        let cut = corners_of(features.data, [features.size[0], features.channels]);
        session.run_list("box", &[&cut], N).unwrap();
        let ours = session.output(0);
        assert_eq!((ours.name, ours.size, ours.channels), ("box", [1, 1], CLASSES));
        assert_near(ours.data, &channels_last(&regions[0]), &format!("regions at {row}"));
    }
    let wrong = [session.run_list("mask", &[], 1).unwrap_err(), session.run_list("box", &[], 1).unwrap_err()];
    assert_eq!(
        wrong.map(|error| error.to_string()),
        ["the network has no list `mask`", "list `box` reads 1 inputs, got 0"]
    );
    let short = session.run_list("box", &[&[0.0; 31]], 1).unwrap_err().to_string();
    assert_eq!(short, "input 0 of list `box` must have 32 numbers, got 31");
}

/// Two streams: one has the size of the row, and the other one is the same at every row.
#[test]
fn a_list_reads_several_inputs() {
    set_threads(1).unwrap();
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let mut list = NetworkBuilder::new("streams", Rank::Image, widths);
    let image = list.stream("image", 3, None);
    let map = list.stream("map", 8, Some([1, 6, 6]));
    let x = list.conv("image_conv", image, conv(ChannelRule::slim(32), 3));
    let y = list.conv("map_conv", map, conv(ChannelRule::slim(16), 1));
    let y = list.resize_like("resized", y, x, Resize::Bilinear);
    let x = list.conv_over("joined", &[x, y], conv(ChannelRule::slim(32), 3));
    let x = list.batch_norm("bn", x);
    let x = list.global_pool("pool", x);
    list.linear("fc", x, CLASSES);
    let net = Net::new(list.finish().unwrap());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let rows = ["1.0-16", "0.5-12", "0.25-8"].map(subnet);
    let main = net.network().main();
    let inputs = |row: Subnet| {
        let images = images(1).resize_bilinear(row.input.resolution.get() as usize).unwrap();
        let map: Vec<f32> = (0..N * 6 * 6 * 8).map(|i| (i as f32 * 0.37).sin()).collect();
        [images, Tensor::from_nhwc(&map, [N, 6, 6, 8], Device::Cpu).unwrap()]
    };
    let statistics = rows.map(|row| {
        let mut statistics = Statistics::new(net.network(), row.width, Device::Cpu).unwrap();
        let slice = net.slice(&parameters, row.width).unwrap();
        let norm = Norm::Collect { statistics: &mut statistics, momentum: 1.0 };
        no_grad(|| net.run_list(&slice, (main, &inputs(row).each_ref()), norm, None)).unwrap();
        (row, statistics)
    });
    let statistics = BTreeMap::from(statistics);
    let bundle = bundle(&net, &parameters, &statistics);
    let mut session = Session::new(Arc::new(Model::new(&bundle).unwrap()), NonZeroUsize::MIN).unwrap();
    for row in rows {
        let slice = net.slice(&parameters, row.width).unwrap();
        let inputs = inputs(row);
        let norm = Norm::Fixed(&statistics[&row]);
        let engine = no_grad(|| net.run_list(&slice, (main, &inputs.each_ref()), norm, None)).unwrap();
        session.switch(row).unwrap();
        let [image, map] = inputs.each_ref().map(channels_last);
        let ours = session.run_list("main", &[&image, &map], N).unwrap();
        assert_near(ours, &channels_last(&engine[0]), &row.to_string());
        assert!(session.run(&image, N).unwrap_err().to_string().contains("or its lists by name"));
    }
    let slice = net.slice(&parameters, Width::ONE).unwrap();
    let one = net.forward(&slice, &images(1), Norm::Batch).unwrap_err().to_string();
    assert_eq!(one, "list `main` reads 2 inputs, got 1");
}
