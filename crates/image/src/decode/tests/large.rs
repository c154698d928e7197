//! Files that are large, and files that only claim to be.

use mutualnet_core::{Preprocess, Resolution};

use super::*;
use crate::preprocess_file;

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

#[test]
fn a_flat_jpeg_is_what_an_encoder_makes() {
    let image = decode(&flat(70, 40)).unwrap();
    assert_eq!((image.width(), image.height()), (70, 40));
    check_near(&image, [128; 3], 0);
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
    let crop = Resolution::new(224).unwrap();
    let preprocess = Preprocess::center_crop(crop, [0.5; 3], [0.25; 3]);
    fs::write(&path, &bomb).unwrap();
    let error = preprocess_file(&path, &preprocess).unwrap_err();
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

#[test]
fn a_file_that_is_too_large_is_called_by_its_name_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("photo.jpg");
    for (start, reason) in [
        (&b"PAR1\x15\x04"[..], "a Parquet file, not an image"),
        (b"\xff\xd8\xff\xe0", "the file is 600 MiB, more than the limit of 512 MiB"),
    ] {
        fs::write(&path, start).unwrap();
        // A hole, which takes no space.
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(600 << 20).unwrap();
        let Err(Error::Decode { source, .. }) = decode_file(&path) else { panic!() };
        assert!(source.to_string().starts_with(reason), "{source}");
    }
}
