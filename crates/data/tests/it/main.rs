//! Real photographs through the public interface.

#![allow(clippy::unwrap_used)]

mod large;

use std::path::Path;
use std::sync::Arc;

use mutualnet_core::{Preprocess, Resolution};
use mutualnet_data::{Dataset, Loader, LoaderConfig, Part, Position, Split, TrainTransform, check};
use mutualnet_testkit::extract;

fn preprocess(resize: Option<u32>, crop: u32) -> Preprocess {
    let side = |n| Resolution::new(n).unwrap();
    let usual = Preprocess::center_crop(side(crop), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    Preprocess { resize: resize.map(side), ..usual }
}

fn loader(dir: &Path, split: Split, batch_size: usize) -> Loader {
    let dataset = Dataset::open_split(dir, split).unwrap();
    let config = LoaderConfig {
        batch_size,
        part: Part::default(),
        workers: 2,
        prefetch: 2,
        seed: 1,
        broken_limit: 0.0,
    };
    Loader::new(Arc::new(dataset), config).unwrap()
}

#[test]
fn imagenet_photographs_are_decoded_and_augmented() {
    let Some(dir) = extract("imagenet-sample.tar") else { return };
    let report = check::check(dir.path()).unwrap();
    assert_eq!((report.n_images, report.broken.len()), (250, 0), "{:?}", report.broken);
    assert!(report.width_px[0] >= 50 && report.height_px[1] <= 5000, "{report:?}");

    let (train, class) = (dir.path().join("train"), dir.path().join("train/photograph"));
    std::fs::create_dir_all(&class).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|e| e == "JPEG") {
            std::fs::rename(entry.path(), class.join(entry.file_name())).unwrap();
        }
    }
    let loader = loader(train.parent().unwrap(), Split::Train, 50);
    let transform = TrainTransform { color_jitter: 0.4, lighting: 0.1, ..TrainTransform::default() };
    let preprocess = preprocess(Some(256), 224);
    let batches = loader.train(transform, &preprocess, Position::default(), 1).unwrap();
    let evaluated = loader.evaluate(&preprocess).unwrap();
    let means: Vec<f64> = batches
        .chain(evaluated)
        .map(|batch| {
            let batch = batch.unwrap();
            batch.images.iter().map(|&v| f64::from(v)).sum::<f64>() / batch.images.len() as f64
        })
        .collect();
    assert_eq!(means.len(), 10);
    // Normalized with ImageNet's statistics, fifty photographs have a mean near 0.
    assert!(means.iter().all(|mean| mean.abs() < 0.35), "{means:?}");
}

#[test]
fn cifar_is_indexed_and_loaded_whole() {
    let Some(dir) = extract("cifar10-jpeg.tar.xz") else { return };
    let train = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!((train.classes().len(), train.samples().len()), (10, 50_000));
    assert_eq!(train.classes()[0], "airplane");
    let test = loader(dir.path(), Split::held_out(dir.path()).unwrap(), 256);
    train.check_same_classes(test.dataset()).unwrap();
    let (mut n, mut by_class) = (0, [0; 10]);
    for batch in test.evaluate(&preprocess(None, 32)).unwrap() {
        let batch = batch.unwrap();
        n += batch.n;
        batch.targets.classes().unwrap().0.iter().for_each(|&label| by_class[label as usize] += 1);
    }
    assert_eq!((n, by_class), (10_000, [1000; 10]));
}
