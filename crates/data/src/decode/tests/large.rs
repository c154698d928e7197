//! Photographs from phones with 108 and 200 megapixels, and files that only claim to be large.

use std::sync::Arc;

use mutualnet_core::{Preprocess, Resolution};

use super::*;
use crate::check::check;
use crate::pack::{PackOptions, Store, pack};
use crate::{
    Dataset, Loader, LoaderConfig, Part, Position, Progress, Split, TrainTransform, preprocess_file,
};

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
    Preprocess { resize: None, crop: Resolution::new(224).unwrap(), mean: [MEAN; 3], std: [1.0; 3] }
}

fn assert_grey(values: &[f32]) {
    assert!(values.iter().all(|value| value.abs() < 0.01), "{:?} …", &values[..3]);
}

#[test]
fn a_flat_jpeg_is_what_an_encoder_makes() {
    let image = decode(&flat(70, 40)).unwrap();
    assert_eq!((image.width(), image.height()), (70, 40));
    check_near(&image, [128; 3], 0);
}

#[test]
fn a_photograph_of_any_phone_is_used_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let class = dir.path().join("train/cat");
    fs::create_dir_all(&class).unwrap();
    let sizes = [(12_000, 9_000), (16_320, 12_240)];
    for (name, (width, height)) in ["108.jpg", "200.jpg"].into_iter().zip(sizes) {
        fs::write(class.join(name), flat(width, height)).unwrap();
        assert_grey(&preprocess_file(&class.join(name), &preprocess()).unwrap());
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

    for (max_side, size) in [(None, [12_000, 9_000]), (Some(400), [400, 300])] {
        let out = dir.path().join("out.mnpack");
        let options = PackOptions { splits: Vec::new(), max_side, store: Store::Jpeg, quality: 90 };
        let packed = pack(dir.path(), &out, &options, &Progress::default()).unwrap();
        assert_eq!((packed.n_images, packed.broken), (2, vec![]));
        let report = check(&out).unwrap();
        assert_eq!([report.width_px[0], report.height_px[0]], size);
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn what_takes_too_much_memory_is_refused_with_the_way_to_raise_the_limit() {
    // All pixels of a photograph of 200 megapixels, which only `--store raw` asks for.
    let error = decode(&flat(16_320, 12_240)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "16320x12240 pixels take 858 MiB to decode, more than the limit of 512 MiB (MUTUALNET_MAX_IMAGE_MIB raises it)"
    );
    // A bomb of 4 gigapixels, which would take little memory at an eighth of its size.
    let mut bomb = flat(65_500, 16);
    let frame = bomb.windows(2).position(|window| window == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 7].copy_from_slice(&65_500_u16.to_be_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.jpg");
    fs::write(&path, &bomb).unwrap();
    let error = preprocess_file(&path, &preprocess()).unwrap_err();
    let Error::Decode { source: DecodeError::TooLarge { mib: 2046, limit_mib: 512, .. }, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(error.hint().unwrap().contains("environment variable"));
}

#[test]
fn a_webp_takes_what_its_kind_takes() {
    let rgba: Vec<u8> =
        picture(4, 4).pixels().as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 9]).collect();
    for (bytes, half_bytes) in [
        (LOSSY_WEBP.to_vec(), 9),
        (webp(&picture(4, 4), image_webp::ColorType::Rgb8, picture(4, 4).pixels()), 14),
        (webp(&picture(4, 4), image_webp::ColorType::Rgba8, &rgba), 8),
    ] {
        let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes.as_slice())).unwrap();
        assert_eq!(webp::half_bytes_per_pixel(&mut decoder), half_bytes);
    }
}

#[test]
fn a_large_webp_is_refused_by_what_its_kind_takes() {
    // Sizes of a lossless file are 14 bits each, after five bytes of its chunk.
    let bytes = webp(&picture(16, 16), image_webp::ColorType::Rgb8, picture(16, 16).pixels());
    let at = bytes.windows(4).position(|window| window == b"VP8L").unwrap() + 9;
    let mut large = bytes.clone();
    let sizes = 16_319_u32 | 12_239 << 14;
    large[at..at + 4].copy_from_slice(&sizes.to_le_bytes());
    let error = decode(&large).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { width: 16_320, height: 12_240, .. }), "{error}");
}
