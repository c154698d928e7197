//! The same few images for the tests of every layout, and what training sees of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mutualnet_core::{Preprocess, Resolution};

use mutualnet_image::{Image, encode_jpeg, encode_png};

use crate::check::{check, write_quarantine};
use crate::{Dataset, Loader, LoaderConfig, Part, Position, TrainTransform};

pub(crate) const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

/// Names below a split, numbers of their classes and contents: JPEG and PNG files that all differ.
pub(crate) fn images() -> Vec<(String, usize, Vec<u8>)> {
    let image = |i: usize| {
        let class = i % 3;
        let image = Image::new(20, 14, (0..3 * 20 * 14).map(|p| ((p * (i + 3)) % 251) as u8).collect());
        let (bytes, ending) =
            if i.is_multiple_of(2) { (encode_jpeg(&image, 90), "jpg") } else { (encode_png(&image), "png") };
        (format!("{}/{i:03}.{ending}", CLASSES[class]), class, bytes)
    };
    (0..13).map(image).collect()
}

/// The images as `train` of an image folder.
pub(crate) fn folder() -> (tempfile::TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    for (name, _, bytes) in images() {
        let path = dir.path().join("train").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let dataset = Dataset::open_named(dir.path(), "train").unwrap();
    (dir, dataset)
}

/// Labels and pixels of two epochs of training and one of evaluation.
pub(crate) fn batches(dataset: &Dataset) -> Vec<(Vec<i64>, Vec<f32>)> {
    let config = LoaderConfig {
        batch_size: 4,
        workers: 3,
        prefetch: 2,
        seed: 11,
        broken_limit: 0.0,
        part: Part::default(),
    };
    let loader = Loader::new(Arc::new(dataset.clone()), config).unwrap();
    let preprocess = Preprocess::center_crop(Resolution::new(8).unwrap(), [0.5; 3], [0.25; 3]);
    let train = loader.train(TrainTransform::default(), &preprocess, Position::default(), 2).unwrap();
    let batches = train.chain(loader.evaluate(&preprocess).unwrap()).map(|batch| {
        let batch = batch.unwrap();
        (batch.targets.classes().unwrap().0.to_vec(), batch.images.to_vec())
    });
    batches.collect()
}

/// What a check finds broken, one per line; it is on the quarantine list then, unless it is everything.
pub(crate) fn quarantined(dir: &Path) -> Vec<String> {
    let report = check(dir).unwrap();
    if report.all_broken().is_none() {
        write_quarantine(dir, &report).unwrap();
    }
    report.broken.iter().map(ToString::to_string).collect()
}

/// Names and numbers of the classes of all samples.
pub(crate) fn samples(dataset: &Dataset) -> Vec<(String, u32)> {
    dataset.samples().iter().map(|s| (s.place.name().display().to_string(), s.class())).collect()
}
