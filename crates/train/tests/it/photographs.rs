//! Eight photographs of COCO are learned by heart, with the masks and with the boxes of their annotations.
//!
//! What a network cannot learn by heart, it cannot learn: these tests find targets that do not follow the pixels.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mutualnet_bundle::Row;
use mutualnet_core::Metric;
use mutualnet_data::IGNORE;
use mutualnet_detect::Extent;
use mutualnet_detect::coco::{Annotation, Instances};
use mutualnet_image::decode::decode_file;
use mutualnet_image::resize::{Rect, Resizer};
use mutualnet_image::{encode_palette_png, encode_png};
use mutualnet_testkit::extract;
use mutualnet_train::tabulate;

use crate::fixture::train_in;

const N: usize = 8;

const ARCHIVE: &str = "coco-tiny.tar";

/// Trains the full network alone, on the very images that it is evaluated with.
const RECIPE: &str = r#"
    seed = 3
    data = { path = "data", test = "train", augment = { crop = { kind = "center" }, flip = false } }
    train = { method = "plain", batch = 8, lr = 0.004, optimizer = "adamw", weight_decay = 0.0, threads = 1, checkpoint_steps = 1000 }
    tabulate = { width_step = 0.5, calibration_batches = 1, latency_runs = 1 }
"#;

/// The annotated images without crowds that `rank` puts first, by their indices.
fn chosen(truth: &Instances, rank: impl Fn(usize, &[Annotation]) -> Option<f64>) -> Vec<usize> {
    let ranked = (0..truth.images().len()).filter_map(|image| {
        let objects = truth.of_image(image);
        let is_usable = !objects.is_empty() && !objects.iter().any(|object| object.is_crowd);
        Some((is_usable.then(|| rank(image, objects))??, image))
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.truncate(N);
    ranked.into_iter().map(|(_, image)| image).collect()
}

/// Width and height of an image.
fn size(truth: &Instances, image: usize) -> [u32; 2] {
    let Extent { height, width } = truth.images()[image].extent;
    [width, height]
}

/// A square mask of the middle of an image, as its category's place in `categories`, from 1 on. An object that covers less
/// than 2 % of the image is ignored: at 128 pixels little is left of it.
fn mask(truth: &Instances, image: usize, categories: &[usize], side: u32) -> Vec<u8> {
    let extent = truth.images()[image].extent;
    let mut objects: Vec<_> = truth.of_image(image).iter().collect();
    objects.sort_by(|a, b| b.area.total_cmp(&a.area));
    let mut whole = vec![0; extent.pixels() as usize];
    for object in objects {
        let runs = object.shape.as_ref().unwrap().mask(extent).unwrap();
        let class = match categories.iter().position(|&category| category == object.category) {
            Some(at) if is_large(object, extent) => at as u8 + 1,
            _ => IGNORE,
        };
        for (pixel, _) in whole.iter_mut().zip(runs.decode()).filter(|(_, inside)| *inside != 0) {
            *pixel = class;
        }
    }
    let Rect { left, top, width, .. } = middle([extent.width, extent.height]);
    let source = |at: u32| (2 * at + 1) * width / (2 * side);
    let at = |y: u32, x: u32| whole[((top + source(y)) * extent.width + left + source(x)) as usize];
    (0..side * side).map(|i| at(i / side, i % side)).collect()
}

fn is_large(object: &Annotation, extent: Extent) -> bool {
    object.area >= 0.02 * extent.pixels() as f64
}

/// The largest square in the middle.
fn middle(size: [u32; 2]) -> Rect {
    let side = size[0].min(size[1]);
    Rect::center(size, side, side)
}

#[test]
fn masks_of_photographs_are_learned_by_heart() {
    const SIDE: u32 = 128;
    let Some(coco) = extract(ARCHIVE) else { return };
    let truth = Instances::read(&coco.path().join("annotations/instances_train2017.json")).unwrap();
    // Those that are covered most.
    let images = chosen(&truth, |image, objects| {
        let extent = truth.images()[image].extent;
        Some(objects.iter().map(|object| object.area).sum::<f64>() / extent.pixels() as f64)
    });
    let large = images.iter().flat_map(|&image| {
        let extent = truth.images()[image].extent;
        truth.of_image(image).iter().filter(move |object| is_large(object, extent))
    });
    let categories: Vec<_> =
        large.map(|object| object.category).collect::<BTreeSet<_>>().into_iter().collect();

    let dir = tempfile::tempdir().unwrap();
    let split = dir.path().join("data/train");
    for folder in ["images", "masks"] {
        fs::create_dir_all(split.join(folder)).unwrap();
    }
    let names = categories.iter().map(|&category| truth.categories()[category].name.clone());
    let names: Vec<_> = ["background".to_owned()].into_iter().chain(names).collect();
    fs::write(dir.path().join("data/classes.txt"), names.join("\n")).unwrap();
    for (n, &image) in images.iter().enumerate() {
        let photograph =
            decode_file(&coco.path().join("train2017").join(&truth.images()[image].file_name)).unwrap();
        let square = middle(size(&truth, image));
        let small = Resizer::default().crop_resize(photograph.view(), square, [SIDE; 2], Vec::new());
        fs::write(split.join(format!("images/{n}.png")), encode_png(&small)).unwrap();
        let mask = mask(&truth, image, &categories, SIDE);
        let palette = vec![[0; 3]; 256];
        fs::write(split.join(format!("masks/{n}.png")), encode_palette_png(&mask, [SIDE; 2], &palette))
            .unwrap();
    }
    let keys = [
        "task=segment",
        "network={ name = \"lraspp_mobilenet_v3_large\", widths = [0.5, 1.0], resolutions = [128] }",
        "train.epochs=200",
        "train.schedule=poly",
        "train.zero_init_residual=true",
    ];
    let run = train_in(dir.path(), RECIPE, &keys);
    let table = tabulate(&run, "train", &mut ()).unwrap();
    let quality = &table.rows()[0].quality;
    assert_eq!(quality.n, N as u64);
    assert!(quality.value >= 0.9, "mIoU {}", quality.value);
}

/// Trains a detector on photographs with several objects whose smallest one is largest, and returns the row that was trained.
fn row_of_detector(keys: &[&str]) -> Option<Row> {
    let coco = extract(ARCHIVE)?;
    let annotations = coco.path().join("annotations/instances_train2017.json");
    let truth = Instances::read(&annotations).unwrap();
    let images = chosen(&truth, |image, objects| {
        let [width, height] = size(&truth, image).map(f64::from);
        let sides = objects.iter().map(|object| (object.bounds[2] / width).min(object.bounds[3] / height));
        (objects.len() > 1).then(|| sides.fold(1.0, f64::min))
    });
    let dir = tempfile::tempdir().unwrap();
    restrict(&coco.path().join("train2017"), &annotations, (&truth, &images), &dir.path().join("data/train"));
    let run = train_in(dir.path(), RECIPE, keys);
    let table = tabulate(&run, "train", &mut ()).unwrap();
    let row = table.rows()[0].clone();
    assert_eq!(row.quality.n, N as u64);
    Some(row)
}

#[test]
fn boxes_of_photographs_are_learned_by_heart() {
    let keys = [
        "task=detect",
        "network={ name = \"ssdlite320_mobilenet_v3_large\", widths = [0.25, 0.5], resolutions = [320] }",
        "data.mean=[0.5, 0.5, 0.5]",
        "data.std=[0.5, 0.5, 0.5]",
        "train.epochs=100",
    ];
    let Some(row) = row_of_detector(&keys) else { return };
    let ap50 = row.others[&Metric::BoxAp50];
    assert!(row.quality.value >= 0.75 && ap50 >= 0.95, "AP {}, AP50 {ap50}", row.quality.value);
}

/// It takes minutes, so it runs with `MUTUALNET_SLOW=1` only.
#[test]
fn outlines_of_photographs_are_learned_by_heart() {
    if std::env::var_os("MUTUALNET_SLOW").is_none() {
        return;
    }
    let keys = [
        "task=detect",
        "network={ name = \"maskrcnn_mobilenet_v3_large_fpn\", widths = [0.25, 0.5], resolutions = [320] }",
        "data.mean=[0.5, 0.5, 0.5]",
        "data.std=[0.5, 0.5, 0.5]",
        "train.epochs=100",
        "train.lr=0.0005",
    ];
    let Some(row) = row_of_detector(&keys) else { return };
    let [of_boxes, of_masks] = [Metric::BoxAp50, Metric::MaskAp50].map(|metric| row.others[&metric]);
    assert!(of_boxes >= 0.9 && of_masks >= 0.9, "AP50 of boxes {of_boxes}, of masks {of_masks}");
}

/// Trained on squares of the photographs, and evaluated on all of each at its aspect ratio. It takes minutes, so it runs with
/// `MUTUALNET_SLOW=1` only.
#[test]
fn boxes_of_photographs_at_their_aspect_ratio_are_learned_by_heart() {
    if std::env::var_os("MUTUALNET_SLOW").is_none() {
        return;
    }
    let keys = [
        "task=detect",
        "network={ name = \"fasterrcnn_mobilenet_v2_fpn\", widths = [0.25, 0.5], resolutions = [192], \
         two_stage = { pyramid_channels = 64, regions = 128, box_features = 128 } }",
        "data.mean=[0.5, 0.5, 0.5]",
        "data.std=[0.5, 0.5, 0.5]",
        "data.longest_side=320",
        "data.augment.crop={ kind = \"random_short_side\", shorter = [192, 192] }",
        "train.epochs=200",
        "train.lr=0.001",
    ];
    let Some(row) = row_of_detector(&keys) else { return };
    let ap50 = row.others[&Metric::BoxAp50];
    assert!(row.quality.value >= 0.6 && ap50 >= 0.9, "AP {}, AP50 {ap50}", row.quality.value);
}

/// Writes a split with some of the images, and with the categories that they have.
fn restrict(photographs: &Path, annotations: &Path, (truth, images): (&Instances, &[usize]), split: &Path) {
    fs::create_dir_all(split.join("images")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(annotations).unwrap()).unwrap();
    let ids: BTreeSet<_> = images.iter().map(|&image| truth.images()[image].id).collect();
    let categories = images.iter().flat_map(|&image| truth.of_image(image));
    let categories: BTreeSet<_> = categories.map(|object| truth.categories()[object.category].id).collect();
    let mut keep = |list: &str, key: &str, ids: &BTreeSet<i64>| {
        json[list].as_array_mut().unwrap().retain(|entry| ids.contains(&entry[key].as_i64().unwrap()));
    };
    keep("images", "id", &ids);
    keep("annotations", "image_id", &ids);
    keep("categories", "id", &categories);
    fs::write(split.join("instances.json"), json.to_string()).unwrap();
    for &image in images {
        let name = &truth.images()[image].file_name;
        fs::copy(photographs.join(name), split.join("images").join(name)).unwrap();
    }
}
