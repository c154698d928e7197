//! Batches of images with masks.

use mutualnet_core::network::Rank;
use mutualnet_core::{Fit, Task};
use mutualnet_image::{Mask, encode_palette_png};

use super::*;
use crate::scenes::{ScenesSpec, generate, scene};
use crate::{IGNORE, Split, Targets};

const SPEC: ScenesSpec = ScenesSpec { seed: 5, train: 10, test: 3, side: 64, min_object: 16 };

fn scenes() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), &SPEC).unwrap();
    dir
}

fn open(dir: &Path, split: Split, config: LoaderConfig) -> Loader {
    let dataset = Dataset::open_for(Task::Segment, Rank::Image, dir, split.folder()).unwrap();
    Loader::new(Arc::new(dataset), config).unwrap()
}

fn preprocess(crop: u32, fit: Fit) -> Preprocess {
    Preprocess { fit, ..Preprocess::center_crop(Resolution::new(crop).unwrap(), [0.5; 3], [0.25; 3]) }
}

fn transform() -> TrainTransform {
    let crop = TrainCrop::RandomShortSide { shorter: [16, 64] };
    TrainTransform { crop, color_jitter: 0.4, ..TrainTransform::default() }
}

/// What a batch of masks holds.
#[derive(Debug, Clone, PartialEq)]
struct Masked {
    indices: Vec<u32>,
    size: [usize; 2],
    masks: Vec<u8>,
    images: Vec<f32>,
}

fn masked(batches: Batches) -> Vec<Masked> {
    batches
        .map(|batch| {
            let batch = batch.unwrap();
            let Targets::Masks(masks) = &batch.targets else { panic!("{:?}", batch.targets) };
            let pixels = batch.n * batch.size[0] * batch.size[1];
            assert_eq!((batch.indices.len(), batch.images.len(), masks.len()), (batch.n, 3 * pixels, pixels));
            let (indices, images) = (batch.indices.clone(), batch.images.to_vec());
            Masked { indices, size: batch.size, masks: masks.clone(), images }
        })
        .collect()
}

fn train_masks(loader: &Loader) -> Vec<Masked> {
    let preprocess = preprocess(32, Fit::Whole);
    masked(loader.train(transform(), &preprocess, Position::default(), 2).unwrap())
}

#[test]
fn training_batches_of_masks_do_not_depend_on_the_number_of_workers() {
    let dir = scenes();
    let batches = train_masks(&open(dir.path(), Split::Train, config(1)));
    assert_eq!(batches.len(), 4);
    assert!(batches.iter().all(|batch| batch.size == [32, 32]));
    let numbers: std::collections::BTreeSet<u8> = batches.iter().flat_map(|b| b.masks.clone()).collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, IGNORE]);
    for workers in [2, 4] {
        assert_eq!(train_masks(&open(dir.path(), Split::Train, config(workers))), batches);
    }
    let loader = open(dir.path(), Split::Train, config(2));
    let calibrate = || masked(loader.calibrate(transform(), &preprocess(32, Fit::Whole), 2).unwrap());
    assert_eq!((calibrate().len(), calibrate()), (2, calibrate()));
}

#[test]
fn evaluation_gives_every_image_with_its_own_mask() {
    let dir = scenes();
    let loader = open(dir.path(), Split::Test, config(2));
    for (fit, in_batches) in [(Fit::CenterCrop, vec![3]), (Fit::Whole, vec![1, 1, 1])] {
        let batches = masked(loader.evaluate(&preprocess(64, fit)).unwrap());
        assert_eq!(batches.iter().map(|batch| batch.indices.len()).collect::<Vec<_>>(), in_batches);
        let masks: Vec<u8> = batches.iter().flat_map(|batch| batch.masks.clone()).collect();
        let drawn: Vec<u8> = (0..3).flat_map(|i| scene(&SPEC, Split::Test, i).mask).collect();
        assert_eq!(masks, drawn);
    }
}

/// Two images of 30 x 20 and 10 x 25 pixels, whose masks are 1 in the left half and 2 in the right one.
fn two_shapes() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["test/images", "test/masks"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("classes.txt"), "a\nb\nc\n").unwrap();
    for (name, columns, rows) in [("1", 30u32, 20u32), ("2", 10, 25)] {
        let numbers: Vec<u8> =
            (0..columns * rows).map(|i| 1 + u8::from(2 * (i % columns) >= columns)).collect();
        let pixels = numbers.iter().flat_map(|&number| [100 * number; 3]).collect();
        let image = Image::new(columns, rows, pixels);
        let file = |folder: &str, name: &str| dir.path().join("test").join(folder).join(name);
        fs::write(file("images", &format!("{name}.png")), encode_png(&image)).unwrap();
        let mask = encode_palette_png(&numbers, [rows, columns], &[[0; 3]; 3]);
        fs::write(file("masks", &format!("{name}.png")), mask).unwrap();
    }
    dir
}

#[test]
fn whole_images_keep_their_shapes_in_batches_of_one() {
    let dir = two_shapes();
    for of in [1, 2] {
        let parts = (0..of).map(|index| {
            let config = LoaderConfig { part: Part { index, of }, ..config(2) };
            let loader = open(dir.path(), Split::Test, config);
            masked(loader.evaluate(&preprocess(10, Fit::Whole)).unwrap())
        });
        let batches: Vec<Masked> = parts.flatten().collect();
        assert_eq!(batches.iter().map(|batch| batch.size).collect::<Vec<_>>(), [[10, 15], [25, 10]]);
        for Masked { size: [rows, columns], masks, images, .. } in batches {
            for (i, (&number, pixel)) in masks.iter().zip(images.as_chunks::<3>().0).enumerate() {
                let right = 2 * (i % columns) + 1 >= columns;
                assert_eq!(number, 1 + u8::from(right), "pixel {i} of {rows}x{columns}");
                let at_edge = (2 * (i % columns) + 1).abs_diff(columns) <= 2;
                let color = (100.0 * f32::from(number) / 255.0 - 0.5) / 0.25;
                assert!(at_edge || (pixel[0] - color).abs() < 1e-5, "pixel {i}: {pixel:?}");
            }
        }
    }
}

#[test]
fn batches_of_one_size_can_be_joined() {
    let dir = scenes();
    let loader = open(dir.path(), Split::Test, config(2));
    let batches = || loader.evaluate(&preprocess(64, Fit::Whole)).unwrap();
    let alone = masked(batches());
    let joined = Batch::join(batches().map(Result::unwrap).collect()).unwrap().unwrap();
    let Targets::Masks(masks) = &joined.targets else { panic!("{:?}", joined.targets) };
    assert_eq!((joined.n, joined.size, &joined.indices[..]), (3, [64, 64], &[0, 1, 2][..]));
    assert_eq!(*masks, alone.iter().flat_map(|batch| batch.masks.clone()).collect::<Vec<_>>());
    assert!(joined.images.iter().eq(alone.iter().flat_map(|batch| &batch.images)));
    assert!(Batch::join(Vec::new()).unwrap().is_none());
}

#[test]
fn an_image_without_a_usable_mask_is_left_out_of_evaluation_and_replaced_in_training() {
    let dir = scenes();
    let missing = |split: &str| fs::remove_file(dir.path().join(split).join("masks/00001.png")).unwrap();
    missing("train");
    missing("test");
    let loader = open(dir.path(), Split::Train, config(2));
    let batches = train_masks(&loader);
    assert!(batches.iter().flat_map(|batch| &batch.indices).all(|&index| index != 1));
    let broken: Vec<_> = loader.broken_files().iter().map(ToString::to_string).collect();
    assert_eq!(broken, ["images/00001.jpg: mask masks/00001.png: there is no such file"]);
    let loader = open(dir.path(), Split::Test, config(2));
    for (fit, left) in [(Fit::CenterCrop, vec![vec![0, 2]]), (Fit::Whole, vec![vec![0], vec![], vec![2]])] {
        let batches = masked(loader.evaluate(&preprocess(64, fit)).unwrap());
        assert_eq!(batches.iter().map(|batch| batch.indices.clone()).collect::<Vec<_>>(), left);
        let third = scene(&SPEC, Split::Test, 2).mask;
        let masks: Vec<u8> = batches.into_iter().flat_map(|batch| batch.masks).collect();
        assert_eq!(masks[64 * 64..], third);
    }
}

#[test]
fn no_image_with_a_mask_at_all_is_an_error() {
    let dir = two_shapes();
    let test = dir.path().join("test");
    fs::remove_dir_all(test.join("masks")).unwrap();
    fs::create_dir(test.join("masks")).unwrap();
    let config = LoaderConfig { batch_size: 2, broken_limit: 1.0, ..config(2) };
    let loader = open(dir.path(), Split::Test, config);
    let mut batches = loader.train(transform(), &preprocess(8, Fit::Whole), Position::default(), 1).unwrap();
    let error = batches.find_map(Result::err).unwrap().to_string();
    assert!(error.starts_with("no image in ") && error.contains(" can be used with its mask"), "{error}");
}

#[test]
fn the_mask_is_that_of_the_upright_image() {
    let dir = two_shapes();
    let file = dir.path().join("test/images/2.png");
    // Stored on its side: 25 columns and 10 rows, which turn into 10 x 25.
    let turned = Image::new(25, 10, (0..750).map(|i| (i % 200) as u8).collect());
    let mut bytes = encode_png(&turned);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut chunk = b"eXIf".to_vec();
    chunk.extend(exif);
    let crc = crc32fast::hash(&chunk).to_be_bytes();
    let chunk = [(exif.len() as u32).to_be_bytes().to_vec(), chunk, crc.to_vec()].concat();
    // After the signature and the header.
    bytes.splice(33..33, chunk);
    fs::write(file, bytes).unwrap();
    let loader = open(dir.path(), Split::Test, config(2));
    let batches = masked(loader.evaluate(&preprocess(10, Fit::Whole)).unwrap());
    assert_eq!(batches[1].size, [25, 10]);
    let mask = Mask::decode(&fs::read(dir.path().join("test/masks/2.png")).unwrap()).unwrap();
    assert_eq!(batches[1].masks, mask.numbers());
}

#[test]
fn what_masks_cannot_follow_is_refused_before_training() {
    let dir = scenes();
    let loader = open(dir.path(), Split::Train, config(1));
    let rand_augment = Some(crate::augment::RandAugment::default());
    for (setting, transform) in [
        ("rand_augment", TrainTransform { rand_augment, ..transform() }),
        ("random_erasing", TrainTransform { random_erasing: 0.1, ..transform() }),
        ("mixup", TrainTransform { mixup: 0.2, ..transform() }),
        ("cutmix", TrainTransform { cutmix: 1.0, ..transform() }),
    ] {
        let train = loader.train(transform, &preprocess(32, Fit::Whole), Position::default(), 1);
        let error = train.map(drop).unwrap_err().to_string();
        assert_eq!(error, format!("{setting}: is for classification; masks cannot follow it"));
    }
    let crop = TrainCrop::RandomShortSide { shorter: [0, 9] };
    let zero = TrainTransform { crop, ..transform() };
    let error =
        loader.train(zero, &preprocess(32, Fit::Whole), Position::default(), 1).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "crop.shorter: [0, 9] is not a range above 0");
}
