//! `predict`: which images it classifies, and what it says about those that it cannot.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use mutualnet_bundle::{Bundle, BundleParts};
use mutualnet_core::{Fit, Metric, Preprocess, Task, Width, WidthRange};
use mutualnet_image::decode::decode;
use mutualnet_image::{Image, Mask, encode_jpeg};
use mutualnet_zoo::{Head, NetworkConfig, Purpose, Variant};

use crate::bundle::program;
use crate::program::Program;

/// `images` with two images, one of them in a folder, and a text.
fn with_images() -> Program {
    let program = program();
    fs::create_dir_all(program.path("images/more/.git")).unwrap();
    let image = program.path(&program.image());
    for copy in ["images/b.jpg", "images/more/a.jpg", "images/.hidden.jpg", "images/more/.git/x.jpg"] {
        fs::copy(&image, program.path(copy)).unwrap();
    }
    fs::write(program.path("images/notes.txt"), "no image").unwrap();
    program
}

/// What was printed on stdout, without probabilities and times.
fn answered(told: &str) -> Vec<&str> {
    let stdout = told.split("-- stdout\n").nth(1).unwrap().split("-- stderr").next().unwrap();
    stdout.lines().map(|line| line.split(": ").next().unwrap()).collect()
}

#[test]
fn a_broken_image_does_not_cost_the_others() {
    let program = with_images();
    let whole = fs::read(program.path("images/b.jpg")).unwrap();
    fs::write(program.path("broken.jpg"), &whole[..whole.len() / 3]).unwrap();
    let args = ["predict", "model.mnb", "images/b.jpg", "broken.jpg", "gone.jpg", "images/more/a.jpg"];
    let told = program.told(&args);
    assert!(told.starts_with("exit 1"), "{told}");
    assert_eq!(answered(&told), ["images/b.jpg", "images/more/a.jpg"], "{told}");
    assert_eq!(told.matches("error: ").count(), 2, "{told}");
    assert!(told.contains("broken.jpg") && told.contains("gone.jpg"), "{told}");
    assert!(told.ends_with("\n2 of 4 images failed\n"), "{told}");

    let output = program.run(&[args.as_slice(), &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let images = report["images"].as_array().unwrap();
    let has_error: Vec<_> = images.iter().map(|image| image["error"].is_string()).collect();
    assert_eq!(has_error, [false, true, true, false]);
    assert_eq!(images[1]["path"], "broken.jpg");
    assert!(images[1].get("top").is_none() && images[0]["top"].is_array());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.matches("error: ").count(), 2, "{stderr}");
}

#[test]
fn an_image_has_no_views() {
    let program = with_images();
    let told = program.told(&["predict", "model.mnb", "images/b.jpg", "--views", "3"]);
    assert!(told.contains("error: --views is for videos, and this network reads images"), "{told}");
}

#[test]
fn winograd_can_be_turned_off() {
    let program = with_images();
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    let config = NetworkConfig { classes: 12, widths, output_stride: None };
    let network = mutualnet_zoo::build("wide_resnet10_1", &config).unwrap();
    mutualnet_testkit::bundle(network, &["1.0-32".parse().unwrap()])
        .write(&program.path("wide.mnb"))
        .unwrap();
    let args = ["predict", "wide.mnb", "images/b.jpg", "--json", "--top", "12"];
    let answer = |args: &[&str]| {
        let report = program.json(args);
        let top = report["images"][0]["top"].as_array().unwrap().clone();
        let pair = |class: &serde_json::Value| {
            (class["class"].as_str().unwrap().to_owned(), class["probability"].as_f64().unwrap())
        };
        top.iter().map(pair).collect::<BTreeMap<_, _>>()
    };
    let (fast, direct) = (answer(&args), answer(&[args.as_slice(), &["--no-winograd"]].concat()));
    assert_eq!(fast.keys().collect::<Vec<_>>(), direct.keys().collect::<Vec<_>>());
    assert_ne!(fast, direct, "they round differently");
    assert!(fast.iter().all(|(class, probability)| (probability - direct[class]).abs() < 1e-3));
}

#[test]
fn one_missing_image_is_one_error() {
    let told = with_images().told(&["predict", "model.mnb", "gone.jpg"]);
    let row = told.lines().position(|line| line.starts_with("row ")).unwrap();
    let stderr: Vec<_> = told.lines().skip(row + 1).collect();
    assert!(told.starts_with("exit 1"), "{told}");
    assert!(stderr[0].starts_with("error: ") && stderr[0].contains("gone.jpg"), "{told}");
    assert!(stderr[1..].iter().all(|line| line.starts_with("hint: ")), "{told}");
}

#[test]
fn a_folder_means_the_images_below_it() {
    let program = with_images();
    let told = program.told(&["predict", "model.mnb", "images"]);
    assert!(told.starts_with("exit 0"), "{told}");
    assert_eq!(answered(&told), ["images/b.jpg", "images/more/a.jpg"], "{told}");
    assert!(told.contains("note: 1 file is not JPEG, PNG or WebP and was skipped in images\n"), "{told}");
    fs::create_dir(program.path("empty")).unwrap();
    let told = program.told(&["predict", "model.mnb", "empty", "images/b.jpg"]);
    assert!(told.starts_with("exit 1") && told.contains("error: ") && told.contains("empty"), "{told}");
    assert_eq!(answered(&told), ["images/b.jpg"], "{told}");
}

#[test]
fn a_pattern_that_no_shell_expanded_is_expanded() {
    let program = with_images();
    let told = program.told(&["predict", "model.mnb", "images/*/?.jpg", "images/*.jpg"]);
    assert_eq!(answered(&told), ["images/more/a.jpg", "images/b.jpg"], "{told}");
    let told = program.told(&["predict", "model.mnb", "images/*.png"]);
    assert!(told.starts_with("exit 1"), "{told}");
    assert!(told.contains("error: no file matches the pattern images/*.png\nhint: "), "{told}");
}

#[test]
fn a_run_directory_means_its_bundle() {
    let program = with_images();
    fs::create_dir(program.path("run")).unwrap();
    assert_snapshot!(program.told(&["predict", "run", "images"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the directory has no model.mnb: run
    hint: give a run directory, a bundle (.mnb) or, for `table` and `compare`, a table.json
    "#);
    fs::copy(program.path("model.mnb"), program.path("run/model.mnb")).unwrap();
    for args in [
        ["predict", "run", "images"].as_slice(),
        &["table", "run"],
        &["inspect", "bundle", "run"],
        &["export", "run", "-o", "row.safetensors"],
        &["compare", "a=run"],
    ] {
        let told = program.told(args);
        assert!(told.starts_with("exit 0"), "{told}");
    }
}

#[test]
fn swapped_arguments_are_refused() {
    let program = with_images();
    let told = program.told(&["predict", "images/b.jpg", "model.mnb"]);
    assert!(told.starts_with("exit 1") && told.contains("not a bundle: this is a JPEG image"), "{told}");
    assert!(told.contains("hint: the bundle comes first"), "{told}");
    let told = program.told(&["predict", "model.mnb", "model.mnb"]);
    assert!(told.starts_with("exit 1") && told.contains("a MutualNet bundle"), "{told}");
    assert!(told.contains("hint: the bundle comes first"), "{told}");
}

#[test]
fn a_classifier_has_nothing_to_draw() {
    let program = with_images();
    let output = program.run(&["predict", "model.mnb", "images", "--save", "drawn", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    // Nothing was begun, so nothing is left half-written.
    assert!(output.stdout.is_empty() && !program.path("drawn").exists());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("nothing to draw") && stderr.contains("hint: --save and --mask"), "{stderr}");
}

/// Writes a bundle of a task for three classes.
fn write(parts: BundleParts, (task, fit, metric): (Task, Fit, Metric), to: &Path) {
    let bundle = Bundle::new(BundleParts {
        task,
        classes: ["background", "cat", "dog"].map(str::to_owned).to_vec(),
        preprocess: Preprocess { fit, ..parts.preprocess },
        table: parts.table.clone().measuring(metric),
        ..parts
    });
    bundle.unwrap().write(to).unwrap();
}

/// A detector that draws masks, with random weights.
fn with_detector() -> Program {
    let program = with_images();
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::new(0.25).unwrap()).unwrap();
    let config = NetworkConfig { classes: 3, widths, output_stride: None };
    let variant = Variant { head: Head::Slim, ..Variant::from(Purpose::Inference) };
    let network = mutualnet_zoo::build_for(variant, "maskrcnn_mobilenet_v3_large_fpn", &config).unwrap();
    let mut parts = mutualnet_testkit::parts(network, &["0.25-64".parse().unwrap()]);
    // Boxes stay near their anchors, and scores are alike, so that something is found.
    for (name, tensor) in &mut parts.weights {
        if ["bbox_pred", "cls_logits", "cls_score"].iter().any(|layer| name.contains(layer)) {
            tensor.data.iter_mut().for_each(|number| *number *= 0.01);
        }
    }
    write(parts, (Task::Detect, Fit::Square, Metric::BoxAp), &program.path("detector.mnb"));
    program
}

/// What `--coco` prints is read as results for that ground truth, and has the objects of `--json`.
#[test]
fn objects_are_printed_in_cocos_format() {
    let program = with_detector();
    let truth = r#"{"images": [{"id": 9, "file_name": "images/b.jpg", "height": 32, "width": 32}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 70, "name": "cat"}], "annotations": []}"#;
    fs::write(program.path("truth.json"), truth).unwrap();
    let args = ["predict", "detector.mnb", "images/b.jpg"];
    let json = program.json(&[args.as_slice(), &["--json"]].concat());
    let coco = program.json(&[args.as_slice(), &["--coco", "truth.json"]].concat());
    let (json, coco) = (json["images"][0]["objects"].as_array().unwrap(), coco.as_array().unwrap());
    assert!(!json.is_empty() && json.len() == coco.len(), "{json:?}");
    for (object, entry) in json.iter().zip(coco) {
        let category = if object["class"] == "dog" { 3 } else { 70 };
        assert_eq!((&entry["image_id"], &entry["category_id"]), (&9.into(), &category.into()));
        assert_eq!(entry["segmentation"], object["segmentation"]);
        assert!(entry["segmentation"]["size"].is_array() && entry["bbox"].is_array());
    }

    // An image without an id is named, and the list is complete.
    let args = ["predict", "detector.mnb", "images/more/a.jpg", "images/b.jpg", "--coco", "truth.json"];
    let output = program.run(&args);
    assert_eq!(output.status.code(), Some(1));
    let printed: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed.len(), coco.len());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("images/more/a.jpg is not exactly one of the images of truth.json"), "{stderr}");

    let told = program.told(&["predict", "model.mnb", "images/b.jpg", "--coco", "truth.json"]);
    assert!(told.contains("error: --coco is for objects, and this network finds none"), "{told}");
}

#[test]
fn masks_are_drawn_over_the_image() {
    let program = with_detector();
    let told = program.told(&["predict", "detector.mnb", "images/b.jpg", "--save", "drawn.png"]);
    assert!(told.starts_with("exit 0"), "{told}");
    assert!(fs::metadata(program.path("drawn.png")).unwrap().len() > 100);
}

/// What is printed, drawn and written of an image that is no square.
#[test]
fn pixels_get_classes() {
    let program = Program::new();
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::new(0.25).unwrap()).unwrap();
    let config = NetworkConfig { classes: 3, widths, output_stride: None };
    let network = mutualnet_zoo::build("lraspp_mobilenet_v3_large", &config).unwrap();
    let parts = mutualnet_testkit::parts(network, &["0.25-64".parse().unwrap()]);
    write(parts, (Task::Segment, Fit::Whole, Metric::MeanIou), &program.path("model.mnb"));
    let pixels = (0..90 * 60 * 3).map(|i| (i * 37 % 251) as u8).collect();
    fs::write(program.path("wide.jpg"), encode_jpeg(&Image::new(90, 60, pixels), 90)).unwrap();

    let args = ["predict", "model.mnb", "wide.jpg", "--save", "drawn.png", "--mask", "mask.png", "--json"];
    let report = program.json(&args);
    let shares = report["images"][0]["pixels"].as_array().unwrap();
    let sum: f64 = shares.iter().map(|class| class["share"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{shares:?}");
    // The cost is that of 96 × 64 pixels, while the row's is that of a square.
    let [macs, of_row] = [&report["images"][0]["macs"], &report["row"]["macs"]].map(|n| n.as_f64().unwrap());
    assert!((1.4..=1.55).contains(&(macs / of_row)), "{report}");

    let drawn = decode(&fs::read(program.path("drawn.png")).unwrap()).unwrap();
    assert!(drawn.width() >= 90 && drawn.height() > 60, "a legend is below");
    let mask = Mask::decode(&fs::read(program.path("mask.png")).unwrap()).unwrap();
    assert_eq!(mask.size(), [90, 60]);
    let share =
        |class: usize| mask.numbers().iter().filter(|&&n| usize::from(n) == class).count() as f64 / 5400.0;
    assert!(shares.iter().all(|told| {
        let class = ["background", "cat", "dog"].iter().position(|name| told["class"] == *name).unwrap();
        (share(class) - told["share"].as_f64().unwrap()).abs() < 0.2
    }));
}
