//! What the pipelines write, and the settings that they refuse.

use mutualnet_core::rng::{Key, Purpose};

use mutualnet_core::Resolution;
use mutualnet_image::{TestPipeline, preprocess_test};

use super::*;
use crate::augment::PadMode;

fn preprocess(resize: Option<u32>, crop: u32) -> Preprocess {
    let side = |n| Resolution::new(n).unwrap();
    Preprocess { resize: resize.map(side), ..Preprocess::center_crop(side(crop), [0.5; 3], [0.25; 3]) }
}

fn image(width: u32, height: u32) -> Image {
    Image::new(width, height, (0..3 * width * height).map(|i| (i * 7) as u8).collect())
}

fn write(transform: TrainTransform, image: &Image, sample: u64) -> Vec<f32> {
    let pipeline = TrainPipeline::new(transform, &preprocess(None, 8)).unwrap();
    let mut out = vec![f32::NAN; 3 * 8 * 8];
    let mut rng = Key::new(1, Purpose::Augment).sample(sample).stream();
    let image = Undecoded::decoded(image.clone());
    pipeline.write((image, [8; 2]), &mut rng, &mut Canvas::default(), &mut out).unwrap();
    out
}

#[test]
fn images_of_the_right_size_are_only_normalized() {
    let image = image(8, 8);
    let out = preprocess_test(&image, &preprocess(None, 8)).unwrap().pixels;
    for (got, &value) in out.iter().zip(image.pixels()) {
        assert!((got - (f32::from(value) / 255.0 - 0.5) / 0.25).abs() < 1e-6);
    }
    assert_eq!(preprocess_test(&image, &preprocess(Some(10), 8)).unwrap().pixels.len(), 192);
}

#[test]
fn training_without_augmentation_is_test_time() {
    let image = image(20, 13);
    let plain = TrainTransform { crop: TrainCrop::Center, flip: false, ..TrainTransform::default() };
    assert_eq!(write(plain, &image, 0), preprocess_test(&image, &preprocess(None, 8)).unwrap().pixels);
}

#[test]
fn every_augmentation_draws_from_the_key() {
    let image = image(20, 13);
    let shorter = TrainCrop::RandomShortSide { shorter: [8, 16] };
    let crops =
        [TrainCrop::default(), shorter, TrainCrop::Pad { pad: 2, mode: PadMode::Reflect }, TrainCrop::Center];
    for crop in crops {
        let transform = TrainTransform {
            crop,
            flip: true,
            color_jitter: 0.4,
            lighting: 0.1,
            rand_augment: Some(RandAugment::default()),
            random_erasing: 0.5,
            ..TrainTransform::default()
        };
        assert_eq!(write(transform, &image, 3), write(transform, &image, 3));
        assert_ne!(write(transform, &image, 3), write(transform, &image, 4));
        assert!(write(transform, &image, 3).iter().all(|v| v.is_finite()));
    }
}

#[test]
fn erasing_comes_last_and_leaves_the_mean() {
    let erasing = |random_erasing, lighting| {
        let crop = TrainCrop::Center;
        let transform =
            TrainTransform { crop, flip: false, lighting, random_erasing, ..TrainTransform::default() };
        write(transform, &image(8, 8), 5)
    };
    for lighting in [0.0, 1.0] {
        let (whole, erased) = (erasing(0.0, lighting), erasing(1.0, lighting));
        let changed: Vec<f32> = erased.iter().zip(&whole).filter(|(a, b)| a != b).map(|(a, _)| *a).collect();
        assert!(!changed.is_empty() && changed.len() < whole.len() / 2, "{}", changed.len());
        assert!(changed.iter().all(|&value| value == 0.0));
    }
}

#[test]
fn half_of_the_images_are_flipped() {
    let image = image(8, 8);
    let flip = TrainTransform { crop: TrainCrop::Center, ..TrainTransform::default() };
    let plain = preprocess_test(&image, &preprocess(None, 8)).unwrap().pixels;
    let same = (0..200).filter(|&i| write(flip, &image, i) == plain).count();
    assert!((75..125).contains(&same), "{same}");
}

#[test]
fn settings_that_cannot_work_are_named() {
    let check = |transform, key: &str| {
        let error = TrainPipeline::new(transform, &preprocess(None, 8)).unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
    };
    let of = |crop| TrainTransform { crop, ..TrainTransform::default() };
    check(of(TrainCrop::RandomResized { scale: [0.0, 1.0], ratio: [0.75, 1.333] }), "crop.scale: ");
    check(of(TrainCrop::RandomResized { scale: [f64::NAN, 1.0], ratio: [0.75, 1.333] }), "crop.scale: ");
    check(of(TrainCrop::RandomResized { scale: [0.25, 1.0], ratio: [2.0, 1.0] }), "crop.ratio: ");
    check(
        of(TrainCrop::RandomShortSide { shorter: [7, 9] }),
        "crop.shorter: [7, 9] is not a range that begins at",
    );
    check(of(TrainCrop::RandomShortSide { shorter: [9, 8] }), "crop.shorter: ");
    check(of(TrainCrop::Pad { pad: 8, mode: PadMode::Zero }), "crop.pad: ");
    check(TrainTransform { color_jitter: 1.5, ..TrainTransform::default() }, "color_jitter: ");
    check(TrainTransform { random_erasing: -0.1, ..TrainTransform::default() }, "random_erasing: ");
    check(TrainTransform { cutmix: -1.0, ..TrainTransform::default() }, "cutmix: -1 is neither 0 (off)");
    check(TrainTransform { repeats: 0, ..TrainTransform::default() }, "repeats: must be at least 1");
    let of = |n, magnitude| TrainTransform {
        rand_augment: Some(RandAugment { n, magnitude }),
        ..TrainTransform::default()
    };
    check(of(0, 9), "rand_augment.n: 0 is not between 1 and 14");
    check(of(2, 31), "rand_augment.magnitude: 31 is not between 0 and 30");
    let error = TestPipeline::new(&preprocess(Some(7), 8)).unwrap_err().to_string();
    assert_eq!(error, "preprocessing: resize: 7 is below the largest resolution, 8");
    let flat = Preprocess { std: [0.2, 0.0, 0.2], ..preprocess(None, 8) };
    let says = "preprocessing: std: [0.2,0,0.2] must be above 0 and at most 1";
    assert_eq!(TestPipeline::new(&flat).unwrap_err().to_string(), says);
    let on_0_255 = Preprocess { mean: [123.675, 116.28, 103.53], ..preprocess(None, 8) };
    let error = TrainPipeline::new(TrainTransform::default(), &on_0_255).unwrap_err().to_string();
    assert!(error.contains("on the scale 0–255"), "{error}");
}

#[test]
fn the_recipe_form_is_strict() {
    let read = |text: &str| serde_json::from_str::<TrainTransform>(text);
    assert_eq!(read("{}").unwrap(), TrainTransform::default());
    let cifar = read(r#"{"crop": {"kind": "pad", "pad": 4, "mode": "reflect"}, "flip": false}"#).unwrap();
    assert_eq!(cifar.crop, TrainCrop::Pad { pad: 4, mode: PadMode::Reflect });
    let round: TrainTransform = read(&serde_json::to_string(&cifar).unwrap()).unwrap();
    assert_eq!(round, cifar);
    let strong = read(r#"{"rand_augment": {"magnitude": 14}, "random_erasing": 0.2}"#).unwrap();
    assert_eq!(strong.rand_augment, Some(RandAugment { n: 2, magnitude: 14 }));
    assert!(read(r#"{"flipp": true}"#).unwrap_err().to_string().contains("flipp"));
    assert!(read(r#"{"crop": {"kind": "pad", "pad": 4, "mode": "reflect", "side": 3}}"#).is_err());
    for (crop, says) in [
        (r#"{"kind": "pad", "pad": 4}"#, "the kind `pad` needs `pad` and `mode`"),
        (r#"{"kind": "random_short_side"}"#, "needs `shorter`"),
        (r#"{"kind": "center", "scale": [0.5, 1.0]}"#, "`scale` belongs to another kind of crop"),
    ] {
        let error = read(&format!(r#"{{"crop": {crop}}}"#)).unwrap_err().to_string();
        assert!(error.contains(says), "{crop}: {error}");
    }
    for crop in [
        TrainCrop::default(),
        TrainCrop::RandomShortSide { shorter: [256, 480] },
        TrainCrop::Pad { pad: 4, mode: PadMode::Zero },
        TrainCrop::Center,
        TrainCrop::Whole,
    ] {
        let text = serde_json::to_string(&crop).unwrap();
        assert_eq!(serde_json::from_str::<TrainCrop>(&text).unwrap(), crop, "{text}");
    }
}
