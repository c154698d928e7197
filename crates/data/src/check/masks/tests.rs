//! Data sets with masks, whole and damaged in every way.

use std::fs;

use mutualnet_core::Task;
use mutualnet_core::network::Rank;
use mutualnet_image::{Image, encode_jpeg, encode_palette_png, encode_png};

use super::*;
use crate::check::{check, write_quarantine};
use crate::scenes::{ScenesSpec, generate};
use crate::{Dataset, Notice};

fn scenes() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let spec = ScenesSpec { seed: 1, train: 8, test: 2, side: 64, min_object: 16 };
    generate(dir.path(), &spec).unwrap();
    dir
}

fn mask(numbers: &[u8], size: [u32; 2]) -> Vec<u8> {
    encode_palette_png(numbers, size, &[[0; 3]; 256])
}

#[test]
fn scenes_pass_and_their_classes_are_counted() {
    let dir = scenes();
    assert!(has_masks(dir.path()));
    let report = check_masks(dir.path(), &Progress::default()).unwrap();
    assert_eq!((report.n_images, report.broken.len()), (10, 0), "{:?}", report.broken);
    assert_eq!((report.width_px, report.height_px), ([64, 64], [64, 64]));
    assert_eq!(report.others.n(), 0);
    assert_eq!(report.in_images[0], ClassCount { class: "background".to_owned(), images: 10 });
    let objects: usize = report.in_images[1..].iter().map(|count| count.images).sum();
    assert!(objects >= 10, "{:?}", report.in_images);
    // Without the task it is a folder of images.
    assert_eq!(check(dir.path()).unwrap().n_images, 20);
}

#[test]
fn masks_with_the_numbers_of_something_else_are_told() {
    let dir = scenes();
    let fill = |numbers: [u8; 2]| {
        for split in ["train", "test"] {
            for entry in fs::read_dir(dir.path().join(split).join("masks")).unwrap() {
                let numbers: Vec<_> = (0..64 * 64).map(|at| numbers[at % 2]).collect();
                fs::write(entry.unwrap().path(), mask(&numbers, [64; 2])).unwrap();
            }
        }
        check_masks(dir.path(), &Progress::default()).unwrap().problems
    };
    assert_eq!(fill([0, 1]), [""; 0]);
    assert_eq!(fill([0, 0]), [""; 0]);
    let binary = fill([0, 255]);
    assert!(
        binary[0].starts_with("`background` is the only class in the masks, beside the number 255"),
        "{binary:?}"
    );
    let none = fill([255, 255]);
    assert!(none[0].starts_with("no pixel of any mask has a class"), "{none:?}");
}

#[test]
fn every_damage_is_named_and_left_out_from_then_on() {
    let dir = scenes();
    let masks = dir.path().join("train/masks");
    fs::remove_file(masks.join("00000.png")).unwrap();
    fs::write(masks.join("00001.png"), mask(&[0; 64 * 63], [63, 64])).unwrap();
    fs::write(masks.join("00002.png"), mask(&[7; 64 * 64], [64; 2])).unwrap();
    fs::write(masks.join("00003.png"), encode_png(&Image::new(64, 64, vec![0; 3 * 64 * 64]))).unwrap();
    fs::write(masks.join("00004.png"), mask(&[255; 64 * 64], [64; 2])).unwrap();
    fs::write(masks.join("alone.png"), b"").unwrap();
    fs::write(dir.path().join("train/images/00005.jpg"), b"").unwrap();
    let report = check_masks(dir.path(), &Progress::default()).unwrap();
    let told: Vec<_> = report.broken.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "train/images/00000.jpg: mask train/masks/00000.png: there is no such file",
            "train/images/00001.jpg: mask train/masks/00001.png: 64x63 pixels, but the image has 64x64",
            "train/images/00002.jpg: mask train/masks/00002.png: has the value 7, but classes have 0 to 4 (255 is no class)",
            "train/images/00003.jpg: mask train/masks/00003.png: RGB of 8 bits; a mask is a PNG with a palette, or in \
             grey of at most 8 bits",
            "train/images/00005.jpg: the file is empty",
        ]
    );
    assert_eq!(report.in_images[0].images, 4, "an image that is ignored as a whole has no class");
    write_quarantine(dir.path(), &report).unwrap();
    let train = Dataset::open_for(Task::Segment, Rank::Image, dir.path(), "train").unwrap();
    assert_eq!(train.samples().len(), 3);
    assert!(train.notices().contains(&Notice::Quarantined { rank: Rank::Image, files: 5 }));
    assert!(train.notices().iter().any(|notice| matches!(notice, Notice::MasksAlone { masks: 1, .. })));
}

#[test]
fn lists_are_checked_and_what_is_no_data_set_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| check_masks(path, &Progress::default()).unwrap_err().to_string();
    assert!(error(&dir.path().join("gone")).starts_with("no such directory"));
    assert!(error(dir.path()).starts_with("no names of classes in "));
    fs::write(dir.path().join("classes.txt"), "a\nb\n").unwrap();
    assert!(error(dir.path()).starts_with("no split `train` in "));
    fs::create_dir_all(dir.path().join("val/images")).unwrap();
    assert!(error(dir.path()).starts_with("no folder `masks` in "));
    fs::remove_dir_all(dir.path().join("val")).unwrap();
    fs::write(dir.path().join("1.jpg"), encode_jpeg(&Image::new(3, 2, vec![9; 18]), 90)).unwrap();
    fs::write(dir.path().join("1.png"), mask(&[0, 1, 255, 1, 1, 1], [2, 3])).unwrap();
    fs::write(dir.path().join("train.txt"), "1.jpg a\n").unwrap();
    assert!(!has_masks(dir.path()), "a list of classes");
    // The same pair in two splits counts once.
    fs::write(dir.path().join("train.txt"), "1.jpg 1.png\n").unwrap();
    fs::write(dir.path().join("val.txt"), "1.jpg 1.png\n2.jpg 2.png\n").unwrap();
    assert!(has_masks(dir.path()));
    let report = check_masks(dir.path(), &Progress::default()).unwrap();
    assert_eq!((report.n_images, report.in_images[1].images), (2, 1));
    assert!(report.broken[0].to_string().starts_with("2.jpg: No such file"), "{:?}", report.broken);
}
