//! Detectors that look at regions: from files to boxes and masks, and what their recipes may say.

use std::path::Path;

use mutualnet_bundle::{Bundle, QueryTable};
use mutualnet_core::network::List;
use mutualnet_core::{Fit, Metric, Task};
use mutualnet_data::scenes::{ScenesSpec, generate};
use mutualnet_image::decode::decode_file;
use mutualnet_image::{Image, encode_png, preprocess_file};
use mutualnet_train::plan::DataFacts;
use mutualnet_train::{Plan, Recipe, tabulate};

use crate::detect::{check_rows, learned_by_heart};
use crate::fixture::train_in;

const RECIPE: &str = r#"
    seed = 3
    task = "detect"
    network = { name = "fasterrcnn_mobilenet_v3_large_fpn", widths = [0.25, 0.5], resolutions = [96, 64] }
    data = { path = "data", mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }
    train = { epochs = 1, batch = 4, lr = 0.0005, optimizer = "adamw", weight_decay = 0.0, threads = 1 }
    tabulate = { width_step = 0.25, calibration_batches = 2, latency_runs = 2 }
"#;

/// Trains, calibrates, evaluates and bundles, and finds the same on the run side: boxes, and masks.
#[test]
fn from_scenes_to_boxes_and_masks_with_regions() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    generate(&data, &ScenesSpec { seed: 5, train: 8, test: 2, side: 96, min_object: 24 }).unwrap();
    let sizes =
        "network.two_stage={ pyramid_channels = 64, regions = 64, box_features = 128, mask_layers = 1 }";
    let run = train_in(dir.path(), RECIPE, &["network.name=maskrcnn_mobilenet_v2_fpn", sizes]);
    let table = tabulate(&run, "test", &mut ()).unwrap();
    assert_eq!(table.regions(), &[("box".to_owned(), 64), ("mask".to_owned(), 100)].into());
    assert!(table.regions_in_words().unwrap().ends_with("64 for `box`, 100 for `mask`"));
    assert!(table.rows().iter().all(|row| row.backbone.is_some_and(|macs| macs < row.macs)));
    assert_eq!(QueryTable::read(&run.table()).unwrap(), table);
    assert_eq!((table.metric(), table.rows().len()), (Metric::BoxAp, 4));
    let others: Vec<_> = table.rows()[0].others.keys().copied().collect();
    assert_eq!(others, [Metric::BoxAp50, Metric::MaskAp, Metric::MaskAp50]);
    assert!(table.rows().iter().all(|row| row.quality.n == 2 && !row.latency.is_empty()));
    let bundle = Bundle::read(&run.bundle()).unwrap();
    assert_eq!(bundle.task(), Task::Detect);
    assert!(bundle.network().list(List::MASK).is_ok());
    check_rows(&bundle, &data);
}

/// Appends empty columns to the images of a split, so that they have these widths. Returns its annotations.
fn widened(split: &Path, widths: &[usize]) -> serde_json::Value {
    let file = split.join("instances.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (image, &width) in json["images"].as_array_mut().unwrap().iter_mut().zip(widths) {
        let path = split.join("images").join(image["file_name"].as_str().unwrap());
        let scene = decode_file(&path).unwrap();
        let mut pixels = vec![90; 3 * 96 * width];
        for (line, of_scene) in pixels.chunks_exact_mut(3 * width).zip(scene.pixels().chunks_exact(3 * 96)) {
            line[..of_scene.len()].copy_from_slice(of_scene);
        }
        std::fs::write(&path, encode_png(&Image::new(width as u32, 96, pixels))).unwrap();
        image["width"] = width.into();
    }
    std::fs::write(&file, json.to_string()).unwrap();
    json
}

/// Training sees squares of images, or whole ones of one ratio at a time; test images are oblong, and one of them is too long
/// for its shorter side to have the resolution.
#[test]
fn images_may_keep_their_aspect_ratio() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    generate(&data, &ScenesSpec { seed: 5, train: 8, test: 3, side: 96, min_object: 24 }).unwrap();
    widened(&data.join("train"), &[96, 192, 132, 96, 198, 192, 132, 96]);
    let json = widened(&data.join("test"), &[96, 132, 192]);
    let keys = [
        "network.name=fasterrcnn_mobilenet_v2_fpn",
        "network.two_stage={ pyramid_channels = 32, regions = 32, box_features = 64 }",
        "data.longest_side=144",
        "data.augment={ crop = { kind = 'random_short_side', shorter = [96, 120] } }",
    ];
    let whole = ["data.augment.crop={ kind = 'whole' }", "train.batch=2", "tabulate.calibration_batch=2"];
    let run = train_in(dir.path(), RECIPE, &[&keys[..3], &whole].concat());
    assert_eq!(tabulate(&run, "test", &mut ()).unwrap().rows()[0].quality.n, 3);
    std::fs::remove_dir_all(dir.path().join("run")).unwrap();
    let run = train_in(dir.path(), RECIPE, &keys);
    let table = tabulate(&run, "test", &mut ()).unwrap();
    assert!(table.rows().iter().all(|row| row.quality.n == 3));
    let bundle = Bundle::read(&run.bundle()).unwrap();
    assert_eq!(bundle.preprocess().fit, Fit::Whole);
    let seen = json["images"].as_array().unwrap().iter().map(|image| {
        let path = data.join("test/images").join(image["file_name"].as_str().unwrap());
        preprocess_file(&path, bundle.preprocess()).unwrap().size
    });
    assert_eq!(seen.collect::<Vec<_>>(), [[96, 96], [96, 132], [72, 144]]);
    check_rows(&bundle, &data);
    let center = ["data.longest_side=144", "data.augment={ crop = { kind = 'center' } }"].map(str::to_owned);
    let error = Recipe::parse(RECIPE, &center).unwrap_err().to_string();
    assert!(error.contains("data.augment.crop.kind") && error.contains("random_short_side"), "{error}");
    let one_stage = ["network.name=ssdlite320_mobilenet_v3_large", keys[2], keys[3]].map(str::to_owned);
    let path = [format!("data.path={data:?}")];
    let error = Plan::make(&Recipe::parse(RECIPE, &[&one_stage[..], &path].concat()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("does not look at regions, but data.longest_side is set"), "{error}");
}

#[test]
fn a_network_that_draws_masks_needs_outlines() {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), &ScenesSpec { seed: 5, train: 8, test: 2, side: 96, min_object: 24 }).unwrap();
    let file = dir.path().join("train/instances.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for annotation in json["annotations"].as_array_mut().unwrap() {
        annotation.as_object_mut().unwrap().remove("segmentation");
    }
    std::fs::write(&file, json.to_string()).unwrap();
    let make = |network: &str| {
        let keys = [format!("network.name={network}"), format!("data.path={:?}", dir.path())];
        Plan::make(&Recipe::parse(RECIPE, &keys).unwrap())
    };
    let error = make("maskrcnn_mobilenet_v3_large_fpn").unwrap_err().to_string();
    assert!(error.contains("draws masks, and no training annotation has a segmentation"), "{error}");
    make("fasterrcnn_mobilenet_v3_large_fpn").unwrap();
}

/// It takes four minutes, so it runs with `MUTUALNET_SLOW=1` only.
#[test]
fn a_few_scenes_are_learned_by_heart_with_regions() {
    if std::env::var_os("MUTUALNET_SLOW").is_none() {
        return;
    }
    let [ap, ap50] = learned_by_heart(RECIPE, 160);
    assert!(ap >= 0.6 && ap50 >= 0.9, "AP {ap}, AP50 {ap50}");
}

/// Images of COCO 2017, its 80 classes and the background; the backbone costs what the paper counts: 109.8 billion MACs.
#[test]
fn the_recipe_of_coco_has_the_papers_rows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/coco_maskrcnn_vgg16.toml");
    let classes = (0..81).map(|class| class.to_string()).collect();
    let facts = DataFacts { classes, n_train: 118_287, n_test: 5000, ..DataFacts::default() };
    let Plan { derived, .. } = Plan::of(&Recipe::load(&path, &[]).unwrap(), facts).unwrap().0;
    assert_eq!((derived.steps_per_epoch, derived.rows), (7392, 64));
    assert_eq!(derived.full_macs.0 / 100_000_000, 2138);
}

#[test]
fn only_networks_with_regions_have_sizes_for_them() {
    let told = |keys: &[&str]| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/scenes_maskrcnn.toml");
        let keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
        let facts =
            || DataFacts { classes: vec![String::new(); 4], n_train: 80, n_test: 20, ..DataFacts::default() };
        let plan = Recipe::load(&path, &keys).and_then(|recipe| Plan::of(&recipe, facts()));
        plan.unwrap_err().to_string()
    };
    let error = told(&["network.name=ssdlite320_mobilenet_v3_large"]);
    assert!(error.contains("does not look at regions, but network.two_stage is set"), "{error}");
    for (key, values) in [
        ("network.two_stage.regions", ["0", "10001"]),
        ("network.two_stage.pyramid_channels", ["0", "4097"]),
        ("network.two_stage.mask_layers", ["65", "-1"]),
    ] {
        for value in values {
            let error = told(&[&format!("{key}={value}")]);
            assert!(error.contains(key), "{error}");
        }
    }
}
