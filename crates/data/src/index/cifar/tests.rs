//! Small files in the published format: valid, damaged, loaded.

use std::path::PathBuf;

use mutualnet_core::network::Rank;
use mutualnet_core::{Preprocess, Resolution};

use std::fs;

use super::*;
use crate::check::{check, write_quarantine};
use crate::{Dataset, Loader, LoaderConfig, Notice, Part, Position, Split, TrainTransform};

/// A record whose red is its number, green 100 and blue 200, but for one pixel.
fn record(labels: &[u8], number: u8) -> Vec<u8> {
    let mut record = [labels, &[number; 1024], &[100; 1024], &[200; 1024]].concat();
    // Blue of column 3, row 1.
    record[labels.len() + 2048 + 32 + 3] = 7;
    record
}

/// Five files of four records in ten classes, and a test file of ten.
fn cifar_10() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, labels: &[u8]| {
        let records = labels.iter().zip(0..).flat_map(|(&label, number)| record(&[label], number));
        fs::write(dir.path().join(file), records.collect::<Vec<_>>()).unwrap();
    };
    for (file, first) in CIFAR_10.train.iter().zip([0, 4, 8, 2, 6]) {
        write(file, &[3, 2, 1, 0].map(|i| (first + i) % 10));
    }
    write(CIFAR_10.test[0], &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    fs::write(dir.path().join("batches.meta.txt"), names).unwrap();
    fs::write(dir.path().join("readme.html"), "").unwrap();
    dir
}

fn open(dir: &tempfile::TempDir, split: Split) -> Result<Dataset> {
    Dataset::open_split(dir.path(), split)
}

/// The error with its cause, without the directory.
fn message(dir: &tempfile::TempDir, error: Error) -> String {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}").replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn records_are_samples_in_the_order_of_classes() {
    let dir = cifar_10();
    let train = open(&dir, Split::Train).unwrap();
    assert_eq!((train.classes().len(), train.classes()[9].as_str()), (10, "truck"));
    assert_eq!(train.samples().len(), 20);
    let first: Vec<_> = train.samples()[..3].iter().map(|s| (s.place.name(), s.class())).collect();
    let expected = [("data_batch_1.bin/3", 0), ("data_batch_3.bin/1", 0), ("data_batch_1.bin/2", 1)];
    assert_eq!(first, expected.map(|(name, class)| (PathBuf::from(name), class)));
    assert!(train.samples().is_sorted_by_key(SampleRef::class));
    assert_eq!(train.class_range(0), 0..2);
    assert!(train.notices().is_empty());
    let test = open(&dir, Split::held_out(dir.path()).unwrap()).unwrap();
    assert_eq!(test.samples().len(), 10);
    train.check_same_classes(&test).unwrap();
    assert_eq!(train.share(0.5).unwrap().samples().len(), 10);
}

#[test]
fn planes_become_pixels() {
    let dir = cifar_10();
    let train = open(&dir, Split::Train).unwrap();
    let image = train.image(0).unwrap();
    assert_eq!((image.width(), image.height()), (32, 32));
    assert_eq!(
        [image.pixel(0, 0), image.pixel(3, 1), image.pixel(31, 31)],
        [[3, 100, 200], [3, 100, 7], [3, 100, 200]]
    );
}

#[test]
fn the_fine_label_of_cifar_100_is_the_class() {
    let dir = tempfile::tempdir().unwrap();
    let names: String = (0..100).map(|i| format!("fine{i:02}\n")).collect();
    fs::write(dir.path().join("fine_label_names.txt"), names).unwrap();
    fs::write(dir.path().join("coarse_label_names.txt"), "coarse\n").unwrap();
    fs::write(dir.path().join("train.bin"), [record(&[0, 99], 5), record(&[1, 42], 6)].concat()).unwrap();
    fs::write(dir.path().join("test.bin"), record(&[0, 7], 0)).unwrap();
    let train = open(&dir, Split::Train).unwrap();
    let found: Vec<_> =
        (0..2).map(|i| (train.samples()[i].class(), train.image(i).unwrap().pixel(3, 1))).collect();
    assert_eq!(found, [(42, [6, 100, 7]), (99, [5, 100, 7])]);
    assert_eq!(open(&dir, Split::Test).unwrap().samples()[0].class(), 7);
    let empty = Notice::EmptyClasses { rank: Rank::Image, n: 98, first: "fine00".into(), quarantined: 0 };
    assert_eq!(train.notices(), [empty]);
}

#[test]
fn what_is_missing_is_named() {
    let dir = cifar_10();
    let error = open(&dir, Split::Val).unwrap_err();
    assert!(error.to_string().starts_with("no split `val` in "));
    fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
    let error = message(&dir, open(&dir, Split::Train).unwrap_err());
    assert!(error.starts_with("cannot read data_batch_4.bin: "), "{error}");
    let dir = cifar_10();
    fs::remove_file(dir.path().join("batches.meta.txt")).unwrap();
    let error = message(&dir, open(&dir, Split::Train).unwrap_err());
    assert!(error.starts_with("cannot read batches.meta.txt: "), "{error}");
    for file in CIFAR_10.all() {
        fs::write(dir.path().join(file), "").unwrap();
    }
    fs::write(dir.path().join("batches.meta.txt"), "cat\n").unwrap();
    assert!(open(&dir, Split::Train).unwrap_err().to_string().contains("of the only class in "));
}

#[test]
fn damage_names_file_and_record_and_can_be_quarantined() {
    let dir = cifar_10();
    let path = dir.path().join("data_batch_2.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * 3073] = 10;
    bytes.truncate(4 * 3073 - 1000);
    fs::write(&path, bytes).unwrap();
    let error = open(&dir, Split::Train).unwrap_err();
    assert!(error.hint().unwrap().contains("data check"));
    assert_eq!(
        message(&dir, error),
        "cannot use data_batch_2.bin/2: label 10 is not a class: they are numbered from 0 to 9"
    );
    open(&dir, Split::Test).unwrap();

    let report = check(dir.path()).unwrap();
    assert_eq!(report.others.n(), 1, "records and names of classes are what they should be");
    assert_eq!((report.n_images, report.width_px, report.height_px), (30, [32, 32], [32, 32]));
    let broken: Vec<_> = report.broken.iter().map(ToString::to_string).collect();
    assert_eq!(
        broken,
        [
            "data_batch_2.bin/2: label 10 is not a class: they are numbered from 0 to 9",
            "data_batch_2.bin/3: the record ends after 2073 of 3073 bytes"
        ]
    );
    write_quarantine(dir.path(), &report).unwrap();
    let train = open(&dir, Split::Train).unwrap();
    assert_eq!(
        (train.samples().len(), train.notices()),
        (18, [Notice::Quarantined { rank: Rank::Image, files: 2 }].as_slice())
    );
}

#[test]
fn the_hash_is_of_content_classes_and_share() {
    let (dir, same) = (cifar_10(), cifar_10());
    let hash = |dir| open(dir, Split::Train).unwrap().hash();
    assert_eq!(hash(&dir), hash(&same));
    assert_ne!(hash(&dir), open(&dir, Split::Test).unwrap().hash());
    assert_ne!(hash(&dir), open(&dir, Split::Train).unwrap().share(0.5).unwrap().hash());
    let path = dir.path().join("data_batch_5.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_ne!(hash(&dir), hash(&same));
}

#[test]
fn batches_are_the_same_for_any_number_of_workers_and_a_file_that_shrinks_is_noticed() {
    let dir = cifar_10();
    let mean = 0.5;
    let preprocess = Preprocess::center_crop(Resolution::new(32).unwrap(), [mean; 3], [1.0; 3]);
    let load = |workers| {
        let dataset = Arc::new(open(&dir, Split::Train).unwrap());
        let config = LoaderConfig {
            batch_size: 5,
            part: Part::default(),
            workers,
            prefetch: 2,
            seed: 3,
            broken_limit: 0.1,
        };
        Loader::new(dataset, config).unwrap()
    };
    let train = |loader: &Loader| {
        let transform = TrainTransform { color_jitter: 0.4, ..TrainTransform::default() };
        let batches = loader.train(transform, &preprocess, Position::default(), 2).unwrap();
        batches
            .map(|batch| {
                batch.map(|batch| (batch.targets.classes().unwrap().0.to_vec(), batch.images.to_vec()))
            })
            .collect::<Vec<_>>()
    };
    let whole = |loader: &Loader| train(loader).into_iter().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(whole(&load(1)).len(), 8);
    assert_eq!(whole(&load(1)), whole(&load(3)));

    let loader = load(2);
    let path = dir.path().join("data_batch_1.bin");
    fs::write(&path, &fs::read(&path).unwrap()[..4 * 3073 - 1]).unwrap();
    assert_eq!(whole(&loader).len(), 8);
    let broken: Vec<_> = loader.broken_files().iter().map(ToString::to_string).collect();
    assert_eq!(broken, ["data_batch_1.bin/3: the record ends after 3072 of 3073 bytes"]);
}

#[test]
fn a_folder_of_the_same_split_is_no_silent_choice() {
    let dir = cifar_10();
    fs::create_dir_all(dir.path().join("train/cat")).unwrap();
    let error = open(&dir, Split::Train).unwrap_err();
    let both = "the split exists twice: data_batch_1.bin and train";
    assert_eq!(message(&dir, error).replace(&dir.path().display().to_string(), ""), both);
    assert_eq!(open(&dir, Split::Test).unwrap().samples().len(), 10);
    assert!(matches!(open(&dir, Split::Val), Err(Error::NoSplit { .. })));
}
