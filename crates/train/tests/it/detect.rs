//! Detection from files to boxes: scenes → train → calibrate → sweep → bundle → run; and its losses against torchvision's.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use mutualnet_bundle::Bundle;
use mutualnet_core::network::Rank;
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Fit, Metric, Task};
use mutualnet_data::scenes::{ScenesSpec, class_names, generate};
use mutualnet_data::{Dataset, Objects, Targets};
use mutualnet_detect::coco::{Detection, Instances};
use mutualnet_detect::evaluate::{Compare, evaluate};
use mutualnet_detect::{Extent, Rle};
use mutualnet_engine::{Device, Tensor};
use mutualnet_image::preprocess_file;
use mutualnet_predict::{Config, Predictor};
use mutualnet_train::events::Event;
use mutualnet_train::task::{BoxAnswer, BoxTargets, Detect, Objective, Outputs};
use mutualnet_train::{Plan, Recipe, tabulate};
use serde::Deserialize;

use crate::fixture::{events, train_in};

const RECIPE: &str = r#"
    seed = 3
    task = "detect"
    network = { name = "ssdlite320_mobilenet_v3_large", widths = [0.25, 0.5], resolutions = [96, 64] }
    data = { path = "data", mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }
    train = { epochs = 2, batch = 4, lr = 0.005, optimizer = "adamw", weight_decay = 0.0, threads = 1 }
    tabulate = { width_step = 0.25, calibration_batches = 2, latency_runs = 2 }
"#;

#[test]
fn from_scenes_to_boxes() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    generate(&data, &ScenesSpec { seed: 5, train: 16, test: 6, side: 96, min_object: 24 }).unwrap();
    let run = train_in(dir.path(), RECIPE, &[]);
    assert_eq!(Plan::read(&run.plan()).unwrap().derived.classes, class_names());
    assert!(events(&run).iter().any(|event| matches!(event, Event::Start { task: Task::Detect, .. })));
    let table = tabulate(&run, "test", &mut ()).unwrap();
    assert_eq!((table.metric(), table.rows().len()), (Metric::BoxAp, 4));
    assert!(table.rows().iter().all(|row| row.quality.n == 6 && !row.latency.is_empty()));
    let bundle = Bundle::read(&run.bundle()).unwrap();
    assert_eq!((bundle.task(), bundle.preprocess().fit), (Task::Detect, Fit::Square));
    check_rows(&bundle, &data);
}

/// The run side finds the same in the test images: its AP is that of the table, at every row.
pub(crate) fn check_rows(bundle: &Bundle, data: &Path) {
    let truth = Instances::read(&data.join("test/instances.json")).unwrap();
    let mut predictor = Predictor::new(bundle, NonZeroUsize::MIN, Config::default()).unwrap();
    assert!(predictor.draws() && !predictor.has_masks());
    let mut n_found = 0;
    for row in bundle.table().rows() {
        predictor.session_mut().switch(row.subnet).unwrap();
        let mut found = Vec::new();
        for (image, info) in truth.images().iter().enumerate() {
            let path = data.join("test/images").join(&info.file_name);
            let input = preprocess_file(&path, bundle.preprocess()).unwrap();
            let answer = predictor.answer(&input).unwrap();
            let is_square = answer.size[0] == answer.size[1];
            assert!(!is_square || answer.macs <= row.macs, "{}: {} of {}", row.subnet, answer.macs, row.macs);
            let json = answer.prediction.json();
            let objects: Vec<FoundJson> = serde_json::from_value(json["objects"].clone()).unwrap();
            found.extend(objects.into_iter().map(|object| object.detection(image, info.extent)));
        }
        n_found += found.len();
        let ap =
            |compare| evaluate(&truth, &found, compare).unwrap().resampled_ap(&vec![1; truth.images().len()]);
        let of_boxes = (ap(Compare::Boxes), row.quality.value);
        let of_masks = row.others.get(&Metric::MaskAp).map(|&value| (ap(Compare::Masks), value));
        for (ours, table) in [of_boxes].into_iter().chain(of_masks) {
            assert!((ours - table).abs() < 0.02, "{}: {ours} and {table}", row.subnet);
        }
    }
    assert!(n_found > 0);
}

#[derive(Deserialize)]
struct FoundJson {
    class: String,
    score: f64,
    bbox: [f64; 4],
    segmentation: Option<Segmentation>,
}

#[derive(Deserialize)]
struct Segmentation {
    counts: String,
}

impl FoundJson {
    fn detection(self, image: usize, extent: Extent) -> Detection {
        let Self { class, score, bbox: bounds, segmentation } = self;
        let mask = segmentation.map(|runs| Rle::from_text(extent, &runs.counts).unwrap());
        let category = class_names().iter().position(|name| **name == class).unwrap() - 1;
        Detection { image, category, score, bounds, area: bounds[2] * bounds[3], mask }
    }
}

/// AP and AP50 of a recipe's full network on the eight scenes that it was trained with.
pub(crate) fn learned_by_heart(recipe: &str, epochs: u32) -> [f64; 2] {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    generate(&data, &ScenesSpec { seed: 5, train: 8, test: 1, side: 128, min_object: 32 }).unwrap();
    let epochs = format!("train.epochs={epochs}");
    let keys = [
        "network.resolutions=[128]",
        "data.augment={ crop = { kind = \"center\" }, flip = false }",
        "data.test=train",
        "train.method=plain",
        &epochs,
        "train.batch=8",
        "train.checkpoint_steps=1000",
        "tabulate.calibration_batches=1",
    ];
    let run = train_in(dir.path(), recipe, &keys);
    let table = tabulate(&run, "train", &mut ()).unwrap();
    let row = &table.rows()[0];
    [row.quality.value, row.others[&Metric::BoxAp50]]
}

/// The row that was trained finds every object, with tight boxes.
#[test]
fn a_few_scenes_are_learned_by_heart() {
    let [ap, ap50] = learned_by_heart(RECIPE, 200);
    assert!(ap >= 0.75 && ap50 >= 0.95, "AP {ap}, AP50 {ap50}");
}

#[test]
fn what_a_detector_cannot_have_is_refused() {
    for (key, says) in [
        ("train.divergence=alpha", "students of a detector learn from the objects alone, unless"),
        ("train.teacher=ensemble", "students of a detector learn from the objects alone, unless"),
        ("train.dropout=0.1", "a detector has no dropout"),
        ("data.augment={ cutmix = 1.0 }", "boxes cannot follow it"),
        ("data.augment={ crop = { kind = \"pad\", pad = 4, mode = \"zero\" } }", "stretched to a square"),
    ] {
        let error = Recipe::parse(RECIPE, &[key.to_owned()]).unwrap_err().to_string();
        assert!(error.contains(says), "{key}: {error}");
    }
}

#[test]
fn a_split_without_objects_is_refused() {
    for (split, missing) in [("train", "nothing to learn"), ("test", "nothing to measure")] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        generate(&data, &ScenesSpec { seed: 5, train: 4, test: 4, side: 64, min_object: 16 }).unwrap();
        let file = data.join(split).join("instances.json");
        let mut truth: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        truth["annotations"] = serde_json::json!([]);
        fs::write(&file, truth.to_string()).unwrap();
        let recipe = Recipe::parse(RECIPE, &[format!("data.path={data:?}")]).unwrap();
        let error = Plan::make(&recipe).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains(split), "{error}");
    }
}

/// What `golden/detect/make.py` wrote.
#[derive(Deserialize)]
struct Golden {
    classes: usize,
    side: u32,
    sides: Vec<usize>,
    boxes: Vec<Vec<[f32; 4]>>,
    labels: Vec<Vec<u32>>,
    /// The sum, that of the scores, and that of the boxes.
    loss: [f64; 3],
    gradients: BTreeMap<String, Vec<f32>>,
    sums: BTreeMap<String, f64>,
}

/// The script's `fill`: uniform numbers in [-1, 1) out of an integer hash of seed and position.
pub(crate) fn fill(seed: u32, n: usize) -> Vec<f32> {
    let number = |i: u32| {
        let mut x =
            i.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503)).wrapping_add(12_345);
        x = (x ^ (x >> 15)).wrapping_mul(0x2C1B_3C6D);
        x = (x ^ (x >> 12)).wrapping_mul(0x297A_2D39);
        x ^= x >> 15;
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n as u32).map(number).collect()
}

/// A key for each of `n` images.
pub(crate) fn keys(n: usize) -> Vec<Key> {
    (0..n as u64).map(|image| Key::new(1, Purpose::Regions).sample(image)).collect()
}

#[test]
fn losses_and_gradients_are_torchvisions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/detect/ssd.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let extent = Extent { height: golden.side, width: golden.side };
    let images = golden.boxes.iter().zip(&golden.labels);
    let images: Vec<_> = images
        .map(|(boxes, classes)| Objects {
            boxes: boxes.clone(),
            classes: classes.clone(),
            ..Objects::default()
        })
        .collect();
    let n = images.len();
    let truth = Instances::from_json(br#"{"images":[],"annotations":[],"categories":[]}"#).unwrap();
    let targets = BoxTargets::new(Arc::new(truth), (images, keys(n)), extent, Device::Cpu);
    let mut maps = Vec::new();
    for (seed, per_box) in [(50, golden.classes), (60, 4)] {
        for (idx, &side) in (0..).zip(&golden.sides) {
            let shape = [n, 6 * per_box, side, side];
            let values: Vec<_> =
                fill(seed + idx, shape.iter().product()).into_iter().map(|x| 2.0 * x).collect();
            maps.push(Tensor::from_slice(&values, &shape).unwrap().require_grad().unwrap());
        }
    }
    let names =
        ["scores", "boxes"].into_iter().flat_map(|kind| (0..6).map(move |idx| format!("{kind}.{idx}")));
    let names: Vec<_> = names.collect();
    let outputs = Outputs::new(names.iter().map(String::as_str).zip(maps.iter().map(Tensor::alias)));
    let answer = BoxAnswer::new(&outputs, extent, &targets).unwrap();
    let loss = Detect::supervised_loss(&answer, &targets, 0.0).unwrap();
    let value = loss.scalar().unwrap();
    assert!((golden.loss[1] + golden.loss[2] - golden.loss[0]).abs() < 1e-9);
    assert!((value / golden.loss[0] - 1.0).abs() < 1e-5, "{value} and {}", golden.loss[0]);
    loss.backward().unwrap();
    for (name, map) in names.iter().zip(&maps) {
        let gradient = map.grad().unwrap().unwrap().to_vec_f32().unwrap();
        let sum: f64 = gradient.iter().map(|x| f64::from(x.abs())).sum();
        assert!((sum - golden.sums[name]).abs() <= 1e-5 * golden.sums[name].max(0.1), "{name}: {sum}");
        let step = (gradient.len() / 64).max(1);
        for (ours, theirs) in gradient.iter().step_by(step).zip(&golden.gradients[name]) {
            assert!((ours - theirs).abs() <= 1e-5, "{name}: {ours} and {theirs}");
        }
    }
}

/// Boxes that were made up for a benchmark can be learned from.
#[test]
fn made_up_objects_are_inside_of_their_images() {
    let Targets::Objects { images, .. } = Targets::made_up(Task::Detect, 3, [64, 80], 2) else {
        panic!("made up for another task");
    };
    for objects in images {
        assert_eq!(objects.classes, [1, 1]);
        assert!(objects.boxes.iter().all(|[left, top, right, bottom]| {
            0.0 <= *left && left < right && *right <= 80.0 && 0.0 <= *top && top < bottom && *bottom <= 64.0
        }));
    }
}

#[test]
fn the_data_set_says_what_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), &ScenesSpec { seed: 1, train: 2, test: 1, side: 64, min_object: 16 }).unwrap();
    let dataset = Dataset::open_for(Task::Detect, Rank::Image, dir.path(), "train").unwrap();
    assert_eq!((dataset.task(), dataset.truth().unwrap().images().len()), (Task::Detect, 2));
    let again = Dataset::open_for(Task::Detect, Rank::Image, dir.path(), "train").unwrap();
    assert_eq!(dataset.hash(), again.hash());
    // A box that is moved makes it another data set.
    let file = dir.path().join("train/instances.json");
    let json = std::fs::read_to_string(&file).unwrap().replacen("\"bbox\":[", "\"bbox\":[1", 1);
    std::fs::write(&file, json).unwrap();
    let moved = Dataset::open_for(Task::Detect, Rank::Image, dir.path(), "train").unwrap();
    assert_ne!(dataset.hash(), moved.hash());
}
