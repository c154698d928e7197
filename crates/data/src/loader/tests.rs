//! Order, damage and ends of loading.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mutualnet_core::{Fit, Resolution};
use sha2::{Digest, Sha256};

use mutualnet_image::{Image, encode_jpeg, encode_png};

use super::*;
use crate::augment::PadMode;
use crate::{SecondLabels, TrainCrop};

mod clips;
mod masks;
mod mixing;
mod parts;
mod whole;

/// `n` small images in three classes, every second one a PNG.
fn data(n: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..n {
        let class = dir.path().join(["ant", "bee", "cat"][i % 3]);
        fs::create_dir_all(&class).unwrap();
        let pixels = (0..3 * 20 * 14).map(|p| ((p * (i + 3)) % 251) as u8).collect();
        let image = Image::new(20, 14, pixels);
        if i % 2 == 0 {
            fs::write(class.join(format!("{i:03}.jpg")), encode_jpeg(&image, 90)).unwrap();
        } else {
            fs::write(class.join(format!("{i:03}.png")), encode_png(&image)).unwrap();
        }
    }
    dir
}

fn config(workers: usize) -> LoaderConfig {
    LoaderConfig { batch_size: 4, part: Part::default(), workers, prefetch: 3, seed: 11, broken_limit: 0.1 }
}

fn loader(dir: &Path, config: LoaderConfig) -> Loader {
    Loader::new(Arc::new(Dataset::open(dir).unwrap()), config).unwrap()
}

fn preprocess() -> Preprocess {
    Preprocess::center_crop(Resolution::new(8).unwrap(), [0.5; 3], [0.25; 3])
}

fn transform() -> TrainTransform {
    TrainTransform {
        color_jitter: 0.4,
        lighting: 0.1,
        rand_augment: Some(crate::augment::RandAugment::default()),
        random_erasing: 0.25,
        ..TrainTransform::default()
    }
}

/// What a batch holds, without the buffer's way home.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    epoch: u32,
    step: usize,
    indices: Vec<u32>,
    labels: Vec<i64>,
    second: Option<SecondLabels>,
    images: Vec<f32>,
}

fn contents(batches: Batches) -> Vec<Content> {
    batches
        .map(|batch| {
            let batch = batch.unwrap();
            let (labels, second) = batch.targets.classes().unwrap();
            assert_eq!((batch.n, batch.images.len()), (labels.len(), batch.n * 3 * 8 * 8));
            assert_eq!(batch.size, [8, 8]);
            Content {
                epoch: batch.epoch,
                step: batch.step,
                indices: batch.indices.clone(),
                labels: labels.to_vec(),
                second: second.cloned(),
                images: batch.images.to_vec(),
            }
        })
        .collect()
}

fn train(loader: &Loader, from: Position) -> Vec<Content> {
    contents(loader.train(transform(), &preprocess(), from, 3).unwrap())
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    let dir = data(26);
    let one = loader(dir.path(), config(1));
    for workers in [2, 4] {
        let many = loader(dir.path(), config(workers));
        assert_eq!(train(&one, Position::default()), train(&many, Position::default()));
        let evaluated = |loader: &Loader| contents(loader.evaluate(&preprocess()).unwrap());
        assert_eq!(evaluated(&one), evaluated(&many));
    }
}

/// A run that goes on with a newer program must see what it would have seen.
///
/// Images are PNGs of the right size, so that no decoder and no resampling takes part.
#[test]
fn batches_are_those_of_earlier_versions() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..10 {
        let class = dir.path().join(["ant", "bee"][i % 2]);
        fs::create_dir_all(&class).unwrap();
        let pixels = (0..3 * 8 * 8).map(|p| ((p * (i + 3)) % 251) as u8).collect();
        fs::write(class.join(format!("{i}.png")), encode_png(&Image::new(8, 8, pixels))).unwrap();
    }
    let loader = loader(dir.path(), config(2));
    let crop = TrainCrop::Pad { pad: 2, mode: PadMode::Reflect };
    let transform = TrainTransform { crop, color_jitter: 0.4, random_erasing: 0.5, ..Default::default() };
    let batches = loader.train(transform, &preprocess(), Position::default(), 2).unwrap();
    let mut hash = Sha256::new();
    for Content { epoch, step, indices, labels, second, images } in contents(batches) {
        assert_eq!(second, None);
        hash.update(epoch.to_le_bytes());
        hash.update((step as u64).to_le_bytes());
        indices.iter().for_each(|index| hash.update(index.to_le_bytes()));
        labels.iter().for_each(|label| hash.update(label.to_le_bytes()));
        images.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "00ce30cc4af6662eb7d414fd61365e73de75dcb916667153472339fc3e3c1edd");
}

#[test]
fn starting_in_the_middle_is_skipping() {
    let dir = data(26);
    let loader = loader(dir.path(), config(2));
    let straight = train(&loader, Position::default());
    assert_eq!((loader.steps_per_epoch(), straight.len()), (6, 18));
    assert_eq!(train(&loader, Position { epoch: 1, step: 4 }), straight[10..]);
    assert!(train(&loader, Position { epoch: 3, step: 0 }).is_empty());
}

#[test]
fn every_epoch_augments_anew_and_every_calibration_alike() {
    let dir = data(26);
    let loader = loader(dir.path(), config(2));
    let batches = train(&loader, Position::default());
    let image = |epoch: usize, sample: u32| {
        batches[6 * epoch..6 * (epoch + 1)].iter().find_map(|Content { indices, images, .. }| {
            let at = indices.iter().position(|&i| i == sample)?;
            Some(images[at * 192..][..192].to_vec())
        })
    };
    let both = (0..26).filter_map(|sample| Some((image(0, sample)?, image(1, sample)?)));
    assert!(both.clone().count() >= 20);
    for (first, second) in both {
        assert_ne!(first, second);
    }
    let calibrate = || contents(loader.calibrate(transform(), &preprocess(), 3).unwrap());
    assert_eq!(calibrate().len(), 3);
    assert_eq!(calibrate(), calibrate());
}

#[test]
fn copies_of_a_sample_are_augmented_differently_and_share_a_batch() {
    let dir = data(26);
    let loader = loader(dir.path(), LoaderConfig { batch_size: 12, ..config(2) });
    let transform = TrainTransform { repeats: 3, ..transform() };
    let batches = |from| contents(loader.train(transform, &preprocess(), from, 2).unwrap());
    let straight = batches(Position::default());
    assert_eq!((loader.steps_per_epoch(), straight.len()), (2, 4));
    for Content { indices, images, .. } in &straight {
        for (two, images) in indices.chunks(6).zip(images.chunks(6 * 192)) {
            assert_eq!(two, [two[0], two[1], two[0], two[1], two[0], two[1]]);
            let copies: Vec<_> = images.chunks(192).collect();
            assert!((0..6).all(|i| (0..i).all(|k| copies[i] != copies[k])));
        }
    }
    let samples: std::collections::BTreeSet<_> =
        straight[..2].iter().flat_map(|b| b.indices.clone()).collect();
    assert_eq!(samples.len(), 8, "a third of the places of an epoch");
    assert_eq!(batches(Position { epoch: 0, step: 1 }), straight[1..]);
    let calibrated = contents(loader.calibrate(transform, &preprocess(), 1).unwrap());
    let samples: std::collections::BTreeSet<_> = calibrated[0].indices.iter().collect();
    assert_eq!(samples.len(), 12, "calibration repeats nothing");
}

#[test]
fn evaluation_sees_every_image_once_with_its_label() {
    let dir = data(26);
    let loader = loader(dir.path(), config(2));
    let batches = contents(loader.evaluate(&preprocess()).unwrap());
    let indices: Vec<u32> = batches.iter().flat_map(|b| b.indices.clone()).collect();
    assert_eq!(indices, (0..26).collect::<Vec<_>>());
    let labels: Vec<i64> = batches.iter().flat_map(|b| b.labels.clone()).collect();
    let expected: Vec<i64> = loader.dataset().samples().iter().map(|s| s.class().into()).collect();
    assert_eq!(labels, expected);
    let image = loader.dataset().image(5).unwrap();
    assert_eq!(
        batches[1].images[192..384],
        mutualnet_image::preprocess_test(&image, &preprocess()).unwrap().pixels
    );
}

#[test]
fn whole_images_are_evaluated_one_by_one() {
    let dir = data(26);
    let loader = loader(dir.path(), config(2));
    let whole = Preprocess { fit: Fit::Whole, ..preprocess() };
    let batches: Vec<_> = loader.evaluate(&whole).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 26);
    for (i, batch) in batches.iter().enumerate() {
        let expected = mutualnet_image::preprocess_test(&loader.dataset().image(i).unwrap(), &whole).unwrap();
        assert_eq!((batch.size, batch.n, batch.step), ([8, 11], 1, i));
        assert_eq!(batch.images.to_vec(), expected.pixels);
        assert_eq!(batch.targets.classes().unwrap().0, [i64::from(loader.dataset().samples()[i].class())]);
    }
}

#[test]
fn a_broken_file_is_left_out_of_evaluation_and_replaced_in_training() {
    let dir = data(26);
    let dataset = Dataset::open(dir.path()).unwrap();
    let last_bee = dataset.class_range(1).end - 1;
    fs::write(dir.path().join(dataset.samples()[last_bee].place.name()), b"").unwrap();
    for workers in [1, 4] {
        let loader = loader(dir.path(), config(workers));
        let batches = contents(loader.evaluate(&preprocess()).unwrap());
        let indices: Vec<usize> =
            batches.iter().flat_map(|b| b.indices.iter().map(|&i| i as usize)).collect();
        assert_eq!(indices, (0..26).filter(|&i| i != last_bee).collect::<Vec<_>>());
        let labels: Vec<i64> = batches.iter().flat_map(|b| b.labels.clone()).collect();
        assert_eq!(
            labels,
            indices.iter().map(|&i| i64::from(dataset.samples()[i].class())).collect::<Vec<_>>()
        );
        let images: Vec<f32> = batches.iter().flat_map(|b| b.images.clone()).collect();
        let last = dataset.image(25).unwrap();
        assert_eq!(
            images[24 * 192..],
            mutualnet_image::preprocess_test(&last, &preprocess()).unwrap().pixels
        );
        let broken = loader.broken_files();
        assert_eq!(broken.len(), 1);
        assert_eq!(broken[0].reason, "the file is empty");
        assert_eq!(broken[0].path, dataset.samples()[last_bee].place.name());
        let trained = train(&loader, Position::default());
        assert_eq!(trained.len(), 18);
        let first_bee = dataset.class_range(1).start as u32;
        let times = |sample: u32| trained.iter().flat_map(|b| &b.indices).filter(|&&i| i == sample).count();
        assert_eq!(times(last_bee as u32), 0);
        assert!(times(first_bee) > 3, "the class begins anew after its last file");
        assert_eq!(loader.broken_files().len(), 1, "counted once");
    }
}

#[test]
fn too_many_broken_files_stop_with_the_list() {
    let dir = data(26);
    let dataset = Dataset::open(dir.path()).unwrap();
    for sample in dataset.samples().iter().step_by(5) {
        fs::write(dir.path().join(sample.place.name()), b"not an image").unwrap();
    }
    let loader = loader(dir.path(), config(2));
    let mut batches = loader.evaluate(&preprocess()).unwrap();
    let error = batches.find_map(Result::err).unwrap();
    assert!(matches!(&error, Error::TooManyBroken { limit: 2, files } if files.len() >= 3), "{error}");
    assert!(error.to_string().contains("a text file, not an image"), "{error}");
    assert!(batches.next().is_none(), "an error ends the iteration");
    let strict = self::loader(dir.path(), LoaderConfig { broken_limit: 0.0, ..config(2) });
    assert!(strict.evaluate(&preprocess()).unwrap().any(|batch| batch.is_err()));
}

#[test]
fn a_class_without_a_readable_file_is_named() {
    let dir = data(26);
    fs::create_dir(dir.path().join("bat")).unwrap();
    fs::write(dir.path().join("bat/1.jpg"), b"no").unwrap();
    let loader = loader(dir.path(), config(2));
    let mut batches = loader.train(transform(), &preprocess(), Position::default(), 3).unwrap();
    let error = batches.find_map(Result::err).unwrap();
    assert_eq!(error.to_string(), "no image of class `bat` can be decoded");
}

#[test]
fn dropping_the_iterator_early_does_not_hang() {
    let dir = data(26);
    for prefetch in [0, 1, 2, 7] {
        let loader = loader(dir.path(), LoaderConfig { prefetch, ..config(3) });
        let begun = Instant::now();
        for taken in 0..4 {
            let mut batches =
                loader.train(transform(), &preprocess(), Position::default(), u32::MAX).unwrap();
            for _ in 0..taken {
                batches.next().unwrap().unwrap();
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

/// Counts what is asked of it, and gives some.
#[derive(Debug)]
struct Scarce(Mutex<usize>);

impl BatchMemory for Scarce {
    fn floats(
        &self,
        len: usize,
    ) -> std::result::Result<Box<dyn Floats>, Box<dyn std::error::Error + Send + Sync>> {
        let mut left = self.0.lock().unwrap();
        *left = left.checked_sub(1).ok_or("none left")?;
        Ok(Box::new(vec![f32::NAN; len + 7]))
    }
}

#[test]
fn batches_lie_in_the_memory_they_are_given_use_it_again_and_say_when_there_is_none() {
    let dir = data(26);
    let plain = train(&loader(dir.path(), config(2)), Position::default());
    let memory = Arc::new(Scarce(Mutex::new(6)));
    let given = loader(dir.path(), config(2)).with_memory(Arc::clone(&memory) as Arc<dyn BatchMemory>);
    assert_eq!(train(&given, Position::default()), plain);
    assert!(*memory.0.lock().unwrap() < 6);

    let none = loader(dir.path(), config(2)).with_memory(Arc::new(Scarce(Mutex::new(0))));
    let mut batches = none.train(transform(), &preprocess(), Position::default(), 1).unwrap();
    let error = batches.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot allocate a batch of 768 values");
}

#[test]
fn a_panic_in_a_worker_comes_out_as_an_error() {
    let dir = data(26);
    let loader = loader(dir.path(), config(2));
    let mut batches = loader.start(Work::Panic, Order::sequential(26, 1, 4), &preprocess()).unwrap();
    let error = batches.next().unwrap().unwrap_err();
    assert!(error.is_internal());
    assert!(error.to_string().ends_with("is a test of panics"), "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn a_read_that_hangs_is_named_and_does_not_hold_up_the_end() {
    let dir = data(26);
    let loader = loader(dir.path(), config(2));
    let disk = Arc::new(Mutex::new(()));
    let stuck = disk.lock().unwrap();
    let mut batches =
        loader.start(Work::Hang(Arc::clone(&disk)), Order::sequential(26, 1, 4), &preprocess()).unwrap();
    batches.patience = Duration::from_millis(20);
    let long = |(_, time): &(_, Duration)| *time > Duration::from_millis(20);
    // The threads may take a while to start.
    let (path, _) = loop {
        assert!(!batches.wait(Duration::from_millis(50)));
        if let Some(read) = loader.longest_read().filter(long) {
            break read;
        }
    };
    let names = loader.dataset().samples().iter().map(|sample| sample.place.name());
    assert!(names.collect::<Vec<_>>().contains(&path), "{path:?}");
    drop(batches);

    let mut batches =
        loader.start(Work::Hang(Arc::clone(&disk)), Order::sequential(26, 1, 4), &preprocess()).unwrap();
    drop(stuck);
    assert!(batches.wait(Duration::from_secs(60)));
    assert_eq!((batches.next().unwrap().unwrap().n, batches.count()), (4, 6));
    assert_eq!(loader.longest_read(), None);
}

#[test]
fn settings_that_cannot_work_are_errors() {
    let dir = data(6);
    let error = |batch_size| {
        let loader = Loader::new(
            Arc::new(Dataset::open(dir.path()).unwrap()),
            LoaderConfig { batch_size, ..config(1) },
        )?;
        loader.train(transform(), &preprocess(), Position::default(), 1).map(drop)
    };
    assert_eq!(error(0).unwrap_err().to_string(), "batch: must be at least 1");
    assert_eq!(error(7).unwrap_err().to_string(), "a batch of 7 needs more images than the 6 there are");
    error(6).unwrap();
}
