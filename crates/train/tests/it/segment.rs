//! Segmentation from files to a prediction: scenes → train → calibrate → sweep → bundle → run.

use std::num::NonZeroUsize;
use std::path::Path;

use mutualnet_bundle::{Bundle, safetensors};
use mutualnet_core::network::Output;
use mutualnet_core::sample::StepSubnets;
use mutualnet_core::{Fit, Metric, Task, Weights, Width, WidthRange};
use mutualnet_data::IGNORE;
use mutualnet_data::scenes::{ScenesSpec, class_names, generate};
use mutualnet_engine::{Device, Filter, Tensor, no_grad};
use mutualnet_image::{Image, Preprocessed, encode_jpeg, preprocess_file};
use mutualnet_nn::{Net, Norm, Parameters, Statistics};
use mutualnet_predict::{Config, Predictor};
use mutualnet_train::Divergence;
use mutualnet_train::events::Event;
use mutualnet_train::mutual_step::mutual_step;
use mutualnet_train::plan::DataFacts;
use mutualnet_train::step_batch::{Images, StepBatch};
use mutualnet_train::step_rules::StepRules;
use mutualnet_train::task::{Objective, Pass, PixelLabels, RunList, Score, Segment, Staged};
use mutualnet_train::update::{Decay, Optimizer, OptimizerConfig, Rule};
use mutualnet_train::{Plan, Recipe, tabulate};
use mutualnet_zoo::NetworkConfig;

use crate::fixture::{events, train_in};

/// Largest difference relative to the largest score.
const TOLERANCE: f32 = 1e-4;

pub(crate) const RECIPE: &str = r#"
    seed = 3
    task = "segment"
    network = { name = "lraspp_mobilenet_v3_large", widths = [0.25, 0.5], resolutions = [64, 48] }
    data = { path = "data", augment = { crop = { kind = "random_short_side", shorter = [56, 96] } } }
    train = { epochs = 2, batch = 4, lr = 0.05, schedule = "poly", threads = 1, zero_init_residual = true }
    tabulate = { width_step = 0.25, calibration_batches = 2, latency_runs = 2 }
"#;

pub(crate) fn scenes(dir: &Path) {
    generate(dir, &ScenesSpec { seed: 5, train: 16, test: 6, side: 64, min_object: 16 }).unwrap();
}

#[test]
fn from_scenes_to_a_map() {
    let dir = tempfile::tempdir().unwrap();
    scenes(&dir.path().join("data"));
    let run = train_in(dir.path(), RECIPE, &[]);
    let plan = Plan::read(&run.plan()).unwrap();
    assert_eq!(plan.derived.classes, class_names());
    let table = tabulate(&run, "test", &mut ()).unwrap();
    assert_eq!((table.metric(), table.rows().len()), (Metric::MeanIou, 4));
    assert!(table.rows().iter().all(|row| row.quality.n == 6 && !row.latency.is_empty()));
    assert!(run.plot(Metric::MeanIou, "macs").exists());
    assert!(events(&run).iter().any(|event| matches!(event, Event::Start { task: Task::Segment, .. })));

    let bundle = Bundle::read(&run.bundle()).unwrap();
    assert_eq!((bundle.task(), bundle.preprocess().fit), (Task::Segment, Fit::Whole));
    let image = dir.path().join("data/test/images/00002.jpg");
    check_rows(&bundle, &image);
    let (wide, tall) = (dir.path().join("wide.jpg"), dir.path().join("tall.jpg"));
    for (path, [height, width]) in [(&wide, [64, 128]), (&tall, [100, 70])] {
        let pixels = (0..height * width * 3).map(|i| (i * 37 % 251) as u8).collect();
        std::fs::write(path, encode_jpeg(&Image::new(width, height, pixels), 95)).unwrap();
        check_rows(&bundle, path);
    }

    let mut predictor = Predictor::new(&bundle, NonZeroUsize::MIN, Config::default()).unwrap();
    let cheapest = table.rows()[0].subnet;
    predictor.session_mut().switch(cheapest).unwrap();
    let answer = predictor.predict(&image).unwrap();
    assert_eq!((answer.size, answer.macs), ([48, 48], table.rows()[0].macs));
    let (mask, _) = answer.prediction.mask([64, 64]).unwrap();
    // One of 2:1 costs twice as much, but for the parts that do not depend on the size.
    let answer = predictor.predict(&wide).unwrap();
    let ratio = answer.macs.0 as f64 / table.rows()[0].macs.0 as f64;
    assert!(answer.size == [48, 96] && (1.9..=2.0).contains(&ratio), "{:?} {ratio}", answer.size);
    assert!(mask.len() == 64 * 64 && mask.iter().all(|&class| usize::from(class) < class_names().len()));
}

/// Every row's mIoU and scores on the run side are those of the engine.
fn check_rows(bundle: &Bundle, image: &Path) {
    let net = Net::new(bundle.network().clone());
    let parameters = Parameters::from_weights(net.network(), bundle.weights(), Device::Cpu).unwrap();
    let Preprocessed { size, pixels, .. } = preprocess_file(image, bundle.preprocess()).unwrap();
    let images = Tensor::from_nhwc(&pixels, [1, size[0], size[1], 3], Device::Cpu).unwrap();
    let mut predictor = Predictor::new(bundle, NonZeroUsize::MIN, Config::default()).unwrap();
    for row in bundle.table().rows() {
        let layers = bundle.stats(row.subnet).unwrap().iter();
        let layers: Vec<_> = layers.map(|layer| (layer.mean.clone(), layer.var.clone())).collect();
        let statistics = Statistics::from_vecs(&layers, Device::Cpu).unwrap();
        let slice = net.slice(&parameters, row.subnet.width).unwrap();
        // The sides shrink with the resolution of the row, rounded to the nearest pixel.
        let [of, to] =
            [bundle.preprocess().crop, row.subnet.input.resolution].map(|side| side.get() as usize);
        let sides = size.map(|side| (side * to + of / 2) / of);
        let resized = images.resize_bilinear_all(&[sides]).unwrap().remove(0);
        let map = no_grad(|| net.forward(&slice, &resized, Norm::Fixed(&statistics))).unwrap();
        let engine = map.by_pixel().unwrap().to_vec_f32().unwrap();

        let session = predictor.session_mut();
        session.switch(row.subnet).unwrap();
        session.run_whole(&pixels, 1, size).unwrap();
        let ours = session.output(0);
        assert_eq!(ours.name, Output::MAP);
        let scale = engine.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let difference = ours.data.iter().zip(&engine).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(difference <= TOLERANCE * scale, "{}: {}", row.subnet, difference / scale);
    }
}

/// The backbone of LR-ASPP starts from the weights of MobileNetV3, and everything else is random.
#[test]
fn a_backbone_starts_from_a_classifiers_weights() {
    let dir = tempfile::tempdir().unwrap();
    scenes(&dir.path().join("data"));
    let file = dir.path().join("classifier.safetensors");
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::new(0.5).unwrap()).unwrap();
    let config = NetworkConfig { classes: 7, widths, output_stride: None };
    let classifier = mutualnet_zoo::build("mobilenet_v3_large", &config).unwrap();
    let mut weights = Parameters::init(&classifier, 99, Device::Cpu).unwrap().to_weights().unwrap();
    safetensors::write(&weights, &file).unwrap();

    let init = format!("train.init={:?}", file.to_str().unwrap());
    let keys = [init.as_str(), "train.zero_init_residual=false", "train.max_steps=1", "train.lr=1e-9"];
    let run = train_in(dir.path(), RECIPE, &keys);
    let told = events(&run).into_iter().find_map(|event| match event {
        Event::Notice { text } => text.strip_prefix("train.init: ").map(str::to_owned),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told.starts_with("170 tensors of the backbone mobilenet_v3_large are taken from"), "{told}");
    assert!(told.ends_with("8 start random; 4 of the file are not used"), "{told}");
    let first = safetensors::read(&run.checkpoints().join("1/weights.safetensors")).unwrap();
    let near = |ours: &str, theirs: &str| {
        let [ours, theirs] = [&first[ours].data, &weights[theirs].data];
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5));
    };
    near("backbone.0.0.weight", "features.0.0.weight");
    near("backbone.16.1.bias", "features.16.1.bias");
    near("backbone.5.block.2.fc1.weight", "features.5.block.2.fc1.weight");

    // Part of a backbone is none.
    weights.remove("features.7.block.1.0.weight");
    safetensors::write(&weights, &file).unwrap();
    let data = format!("data.path={:?}", dir.path().join("data"));
    let recipe = Recipe::parse(RECIPE, &[data, init.clone(), keys[1].to_owned()]).unwrap();
    let error = Plan::start(&recipe).unwrap_err();
    let expected = "1 of the 170 weights of the backbone mobilenet_v3_large are not in the file: \
                    features.7.block.1.0.weight";
    assert!(error.to_string().contains(expected), "{error}");
}

/// What the table says is what torchvision's evaluation counts: scores resized to the mask, all pixels with a class.
#[test]
fn the_tables_miou_is_that_of_the_masks() {
    let dir = tempfile::tempdir().unwrap();
    scenes(&dir.path().join("data"));
    let run = train_in(dir.path(), RECIPE, &["train.max_steps=3", "network.widths=[0.5, 0.5]"]);
    let table = tabulate(&run, "test", &mut ()).unwrap();
    let bundle = Bundle::read(&run.bundle()).unwrap();
    let n_classes = class_names().len();
    let row = table.rows().iter().find(|row| row.subnet.input.resolution.get() == 48).unwrap();
    let mut session = Predictor::new(&bundle, NonZeroUsize::MIN, Config::default()).unwrap();
    session.session_mut().switch(row.subnet).unwrap();

    let mut confusion = vec![vec![0_u64; n_classes]; n_classes];
    for i in 0..6 {
        let image = dir.path().join(format!("data/test/images/{i:05}.jpg"));
        let Preprocessed { size, pixels, .. } = preprocess_file(&image, bundle.preprocess()).unwrap();
        session.session_mut().run_whole(&pixels, 1, size).unwrap();
        let map = session.session().output(0);
        let map = Tensor::from_nhwc(map.data, [1, map.size[0], map.size[1], n_classes], Device::Cpu).unwrap();
        let answers = map.resize_to(&size, Filter::Bilinear).unwrap().by_pixel().unwrap().argmax().unwrap();
        let spec = ScenesSpec { seed: 5, train: 16, test: 6, side: 64, min_object: 16 };
        let mask = mutualnet_data::scenes::scene(&spec, mutualnet_data::Split::Test, i).mask;
        for (answer, &label) in answers.to_vec_i64().unwrap().into_iter().zip(&mask) {
            confusion[usize::from(label)][answer as usize] += 1;
        }
    }
    let iou = |class: usize| {
        let labelled: u64 = confusion[class].iter().sum();
        let answered: u64 = confusion.iter().map(|line| line[class]).sum();
        let union = labelled + answered - confusion[class][class];
        (union > 0).then(|| confusion[class][class] as f64 / union as f64)
    };
    let ious: Vec<f64> = (0..n_classes).filter_map(iou).collect();
    let expected = ious.iter().sum::<f64>() / ious.len() as f64;
    assert!((row.quality.value - expected).abs() < 1e-3, "{} {expected}", row.quality.value);
    assert!(row.quality.low <= row.quality.value && row.quality.value <= row.quality.high);
    let correct: u64 = (0..n_classes).map(|class| confusion[class][class]).sum();
    let expected = correct as f64 / (6 * 64 * 64) as f64;
    assert!((row.others[&Metric::PixelAccuracy] - expected).abs() < 1e-3, "{:?} {expected}", row.others);
}

#[test]
fn mistakes_are_told_before_training() {
    let dir = tempfile::tempdir().unwrap();
    scenes(&dir.path().join("data"));
    let told = |overrides: &[&str]| {
        let mut keys = vec![format!("data.path={:?}", dir.path().join("data"))];
        keys.extend(overrides.iter().map(|&key| key.to_owned()));
        match Recipe::parse(RECIPE, &keys).map(|recipe| Plan::start(&recipe)) {
            Err(error) | Ok(Err(error)) => error.to_string(),
            Ok(Ok(_)) => panic!("{overrides:?} was accepted"),
        }
    };
    assert!(told(&["network.name=resnet18"]).contains("network `resnet18` cannot segment"));
    assert!(told(&["data.resize=72"]).contains("data.resize"));
    assert!(told(&["network.slim_head=true", "task=classify"]).contains("network.slim_head"));
    assert!(told(&["data.augment.mixup=0.2"]).contains("mixup"));
    assert!(told(&["task=classify", "data.augment.crop={kind=\"center\"}"]).contains("cannot classify"));
}

#[test]
fn a_slimmed_head_makes_narrow_rows_cheaper() {
    let plan = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
        let recipe = Recipe::parse(RECIPE, &keys).unwrap();
        let classes = ["sky", "tree"].map(str::to_owned).to_vec();
        let facts = DataFacts { classes, n_train: 16, ..DataFacts::default() };
        Plan::of(&recipe, facts).unwrap().0.derived
    };
    let (whole, slim) = (plan(&[]), plan(&["network.slim_head=true"]));
    assert!(slim.smallest_macs < whole.smallest_macs, "{} {}", slim.smallest_macs, whole.smallest_macs);
}

#[test]
fn ignored_pixels_change_neither_loss_nor_score() {
    let quarter = Width::new(0.25).unwrap();
    let widths = WidthRange::new(quarter, quarter).unwrap();
    let config = NetworkConfig { classes: 2, widths, output_stride: None };
    let net = Net::new(mutualnet_zoo::build("lraspp_mobilenet_v3_large", &config).unwrap());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let slice = net.slice(&parameters, net.network().widths().full()).unwrap();
    let pixels: Vec<f32> = (0..2 * 64 * 64 * 3).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let images = Tensor::from_nhwc(&pixels, [2, 64, 64, 3], Device::Cpu).unwrap();
    let inputs = [&images];
    let pass = || Pass { net: &net, slice: &slice, inputs: &inputs, norm: Norm::Batch, dropout: None };
    let all: Vec<u8> = (0..2 * 64 * 64).map(|i| u8::from(i % 3 == 0)).collect();
    let partly: Vec<u8> = all.iter().enumerate().map(|(i, &c)| if i % 5 == 0 { IGNORE } else { c }).collect();
    let labels = PixelLabels::new(&partly, [64, 64], Device::Cpu).unwrap();
    // The network's own map, which it resizes to its input.
    let scores = net.forward(&slice, &images, Norm::Batch).unwrap().by_pixel().unwrap().to_vec_f32().unwrap();
    let labelled: Vec<_> =
        scores.chunks_exact(2).zip(&partly).filter(|(_, class)| **class != IGNORE).collect();
    let cross_entropy = |scores: &[f32], class: u8| {
        let [a, b] = [f64::from(scores[0]), f64::from(scores[1])];
        (a.exp() + b.exp()).ln() - [a, b][usize::from(class)]
    };
    let mean = |sum: f64| sum / labelled.len() as f64;
    let expected = mean(labelled.iter().map(|(scores, class)| cross_entropy(scores, **class)).sum());
    let answer = Segment::answer(pass(), &labels, None).unwrap();
    let loss = Segment::supervised_loss(&answer, &labels, 0.0).unwrap().scalar().unwrap();
    assert!((loss - expected).abs() < 1e-4, "{loss} {expected}");
    let is_right = |(scores, class): &&(&[f32], &u8)| (scores[1] > scores[0]) == (**class == 1);
    let expected = mean(labelled.iter().filter(is_right).count() as f64);
    assert!((Segment::accuracy(&answer, &labels).unwrap() - expected).abs() < 1e-3);
    let mut score = <Segment as Objective>::Score::default();
    let seen = mutualnet_detect::Extent { height: 64, width: 64 };
    let run: &mut RunList<'_> = &mut |_, _| panic!("there is one list");
    let network = Staged { outputs: pass().run().unwrap(), seen, network: net.network(), run };
    Segment::count(&mut score, network, &labels).unwrap();
    assert_eq!(score.n(), 2);
}

/// Such a batch teaches nothing and spoils nothing.
#[test]
fn a_batch_without_any_class_has_no_loss_and_no_gradient() {
    let quarter = Width::new(0.25).unwrap();
    let config = NetworkConfig {
        classes: 3,
        widths: WidthRange::new(quarter, Width::ONE).unwrap(),
        output_stride: None,
    };
    let net = Net::new(mutualnet_zoo::build("lraspp_mobilenet_v3_large", &config).unwrap());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let pixels: Vec<f32> = (0..2 * 64 * 64 * 3).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let batch = StepBatch::<Segment> {
        images: Images::with_full_sides(Tensor::from_nhwc(&pixels, [2, 64, 64, 3], Device::Cpu).unwrap()),
        targets: PixelLabels::new(&[IGNORE; 2 * 64 * 64], [64, 64], Device::Cpu).unwrap(),
    };
    let subnets = StepSubnets {
        full: "1.0-64".parse().unwrap(),
        students: vec!["0.5-48".parse().unwrap(), "0.25-64".parse().unwrap()],
    };
    for divergence in [Divergence::Kl, Divergence::Alpha] {
        let rules = StepRules { divergence, ..StepRules::default() };
        let (gradients, losses) = mutual_step(&net, &parameters, &batch, &subnets, &rules).unwrap();
        assert_eq!((losses.full, losses.full_accuracy), (0.0, 0.0));
        assert!(losses.students.iter().all(|student| student.loss == 0.0), "{:?}", losses.students);
        assert!(gradients.iter().all(|gradient| gradient.norm().unwrap().scalar().unwrap() == 0.0));
    }
}

/// The auxiliary classifier of DeepLabV3 is trained, but neither tabulated nor shipped.
#[test]
fn auxiliary_outputs_end_with_training() {
    let dir = tempfile::tempdir().unwrap();
    scenes(&dir.path().join("data"));
    let keys = ["network.name=deeplabv3_resnet50", "train.max_steps=2", "network.resolutions=[64]"];
    let run = train_in(dir.path(), RECIPE, &keys);
    let trained = safetensors::read(&run.checkpoints().join("2/weights.safetensors")).unwrap();
    let table = tabulate(&run, "test", &mut ()).unwrap();
    let bundle = Bundle::read(&run.bundle()).unwrap();
    let has_auxiliary = |weights: &Weights| weights.keys().any(|name| name.starts_with("aux_classifier."));
    assert!(has_auxiliary(&trained) && !has_auxiliary(bundle.weights()));
    assert_eq!(bundle.network().outputs().len(), 1);
    let plan = Plan::read(&run.plan()).unwrap();
    assert_eq!(table.rows().last().unwrap().macs, plan.derived.full_macs);
    check_rows(&bundle, &dir.path().join("data/test/images/00001.jpg"));
}

/// Images of VOC 2012, and torchvision's number of parameters with the auxiliary classifier.
#[test]
fn the_recipe_of_voc_has_torchvisions_size() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/voc_deeplabv3_resnet50.toml");
    let recipe = Recipe::load(&path, &[]).unwrap();
    let classes = (0..21).map(|class| class.to_string()).collect();
    let facts = DataFacts { classes, n_train: 1464, n_test: 1449, ..DataFacts::default() };
    let Plan { derived, .. } = Plan::of(&recipe, facts).unwrap().0;
    assert_eq!((derived.params, derived.steps_per_epoch, derived.rows), (42_004_074, 45, 16));
}

#[test]
fn auxiliary_outputs_count_in_the_loss_of_guessing() {
    let full = Width::new(1.0).unwrap();
    let config =
        NetworkConfig { classes: 4, widths: WidthRange::new(full, full).unwrap(), output_stride: None };
    let guessing = |name: &str| Segment::guessing_loss(&mutualnet_zoo::build(name, &config).unwrap());
    assert!((guessing("lraspp_mobilenet_v3_large") - 4.0_f64.ln()).abs() < 1e-12);
    assert!((guessing("deeplabv3_resnet50") - 1.5 * 4.0_f64.ln()).abs() < 1e-12);
}

/// As `torchvision/references/segmentation` has it: a group of its own for the auxiliary classifier.
#[test]
fn layers_of_auxiliary_outputs_have_a_learning_rate_of_their_own() {
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::new(0.25).unwrap()).unwrap();
    let config = NetworkConfig { classes: 2, widths, output_stride: None };
    let network = mutualnet_zoo::build("deeplabv3_resnet50", &config).unwrap();
    let moved = |auxiliary_lr_factor: f64| {
        let parameters = Parameters::init(&network, 1, Device::Cpu).unwrap();
        let rule = Rule::Sgd { momentum: 0.9, nesterov: false };
        let config = OptimizerConfig { rule, weight_decay: 0.0, decay: Decay::Weights, auxiliary_lr_factor };
        let before = parameters.to_weights().unwrap();
        let gradients: Vec<_> = parameters
            .tensors()
            .iter()
            .map(|tensor| Tensor::ones(&tensor.shape(), Device::Cpu).unwrap())
            .collect();
        Optimizer::new(&parameters, &config).unwrap().step(&parameters, &gradients, 0.01).unwrap();
        let after = parameters.to_weights().unwrap();
        before
            .into_iter()
            .map(|(name, tensor)| {
                let moved = tensor.data[0] - after[&name].data[0];
                (name, moved)
            })
            .collect::<Vec<_>>()
    };
    let (same, faster) = (moved(1.0), moved(10.0));
    for ((name, same), (_, faster)) in same.into_iter().zip(faster) {
        let factor = if name.starts_with("aux_classifier") { 10.0 } else { 1.0 };
        assert!(
            (same - 0.01).abs() < 1e-6 && (faster - factor * 0.01).abs() < 1e-6,
            "{name}: {same} {faster}"
        );
    }
}
