//! Photographs from phones with 108 and 200 megapixels, in a data set.

use std::fs;
use std::sync::Arc;

use jpeg_encoder::{ColorType, Encoder};
use mutualnet_core::{Preprocess, Resolution};
use mutualnet_data::check::check;
use mutualnet_data::pack::{PackOptions, SideLimit, pack};
use mutualnet_data::{Dataset, Loader, LoaderConfig, Part, Position, Progress, Split, TrainTransform};
use mutualnet_image::preprocess_file;

/// A grey JPEG of any size, without its pixels in memory: the codes of all its blocks are alike.
fn flat(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    encoder.encode(&[128; 3 * 16 * 16], 16, 16, ColorType::Rgb).unwrap();
    let marker = |code| bytes.windows(2).position(|window| window == [0xff, code]).unwrap();
    let (frame, scan) = (marker(0xc0), marker(0xda));
    let scan = scan + 2 + usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]));
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes.truncate(scan);
    // Four blocks of brightness and two of color: no difference to the last block, and no detail.
    let n_blocks = usize::from(width).div_ceil(16) * usize::from(height).div_ceil(16);
    bytes.extend([0b0010_1000, 0b1010_0010, 0b1000_1010, 0].repeat(n_blocks));
    bytes.extend([0xff, 0xd9]);
    bytes
}

const MEAN: f32 = 128.0 / 255.0;

fn preprocess() -> Preprocess {
    Preprocess::center_crop(Resolution::new(224).unwrap(), [MEAN; 3], [1.0; 3])
}

fn assert_grey(values: &[f32]) {
    assert!(values.iter().all(|value| value.abs() < 0.01), "{:?} …", &values[..3]);
}

#[test]
fn a_photograph_of_any_phone_is_used_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let class = dir.path().join("train/cat");
    fs::create_dir_all(&class).unwrap();
    let sizes = [(12_000, 9_000), (16_320, 12_240)];
    for (name, (width, height)) in ["108.jpg", "200.jpg"].into_iter().zip(sizes) {
        fs::write(class.join(name), flat(width, height)).unwrap();
        assert_grey(&preprocess_file(&class.join(name), &preprocess()).unwrap().pixels);
    }
    let report = check(dir.path()).unwrap();
    assert_eq!((report.n_images, report.broken), (2, vec![]));
    assert_eq!((report.width_px, report.height_px), ([12_000, 16_320], [9_000, 12_240]));

    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    let config = LoaderConfig {
        batch_size: 2,
        part: Part::default(),
        workers: 2,
        prefetch: 1,
        seed: 1,
        broken_limit: 0.0,
    };
    let loader = Loader::new(Arc::new(dataset), config).unwrap();
    let train = loader.train(TrainTransform::default(), &preprocess(), Position::default(), 1).unwrap();
    for batch in train.chain(loader.evaluate(&preprocess()).unwrap()) {
        assert_grey(&batch.unwrap().images);
    }

    for (limit, size) in [(None, [12_000, 9_000]), (Some(SideLimit::Longer(400)), [400, 300])] {
        let out = dir.path().join("out.mnpack");
        let options = PackOptions { limit, ..PackOptions::default() };
        let packed = pack(dir.path(), &out, &options, &Progress::default()).unwrap();
        assert_eq!((packed.n_samples, packed.broken), (2, vec![]));
        let report = check(&out).unwrap();
        assert_eq!([report.width_px[0], report.height_px[0]], size);
        fs::remove_file(out).unwrap();
    }
}
