//! Regions against whole images, and headers of every kind.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;

use super::*;
use crate::decode::Undecoded;
use crate::orientation::tests::exif;

/// A picture with detail in every block, in every color.
fn jpeg(width: u16, height: u16, sampling: SamplingFactor, progressive: bool) -> Vec<u8> {
    let noise = |x: u32, y: u32, c: u32| (x * 7 + y * 3 * (c + 1) + (x * y) % (17 + c)) as u8;
    let pixels: Vec<u8> = (0..u32::from(height))
        .flat_map(|y| (0..u32::from(width)).flat_map(move |x| [0, 1, 2].map(|c| noise(x, y, c))))
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 85);
    encoder.set_sampling_factor(sampling);
    encoder.set_progressive(progressive);
    encoder.encode(&pixels, width, height, ColorType::Rgb).unwrap();
    bytes
}

fn part(bytes: &[u8], crop: Rect, at_least: u32) -> (Image, Rect) {
    let (mut bytes, mut buffer) = (bytes.to_vec(), Vec::new());
    let before = bytes.clone();
    let undecoded = Undecoded::new(&mut bytes, &mut Vec::new()).unwrap();
    let (image, rect) = undecoded.region(crop, [at_least; 2], &mut buffer).unwrap();
    let image = image.to_image();
    assert_eq!(bytes, before, "the file's bytes are as they were");
    (image, rect)
}

fn cut(image: &Image, rect: Rect) -> Vec<u8> {
    let rows = rect.top..rect.top + rect.height;
    let columns = || rect.left..rect.left + rect.width;
    rows.flat_map(|y| columns().flat_map(move |x| image.pixel(x, y))).collect()
}

const SAMPLINGS: [SamplingFactor; 8] = [
    SamplingFactor::F_1_1,
    SamplingFactor::F_2_1,
    SamplingFactor::F_1_2,
    SamplingFactor::F_2_2,
    SamplingFactor::F_4_1,
    SamplingFactor::F_4_2,
    SamplingFactor::F_1_4,
    SamplingFactor::F_2_4,
];

proptest! {
    #[test]
    fn a_region_has_the_pixels_of_the_whole(
        (width, height) in (20u16..150, 20u16..150),
        (left, top, right, bottom) in (0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0),
        sampling in 0usize..8,
        progressive: bool,
    ) {
        let bytes = jpeg(width, height, SAMPLINGS[sampling], progressive);
        let between = |a: f64, b: f64, n: u16| {
            let first = (a.min(b) * f64::from(n - 1)) as u32;
            (first, ((a.max(b) * f64::from(n)) as u32).max(first + 1) - first)
        };
        let (left, width) = between(left, right, width);
        let (top, height) = between(top, bottom, height);
        let crop = Rect { left, top, width, height };
        let (image, rect) = part(&bytes, crop, 1000);
        prop_assert_eq!((rect.width, rect.height), (crop.width, crop.height));
        prop_assert!(cut(&image, rect) == cut(&whole(&bytes, Vec::new()).unwrap(), crop), "{crop:?}");
    }
}

#[test]
fn only_the_rows_that_are_needed_are_read() {
    let bytes = jpeg(100, 400, SamplingFactor::F_2_2, false);
    let (image, _) = part(&bytes, Rect { left: 0, top: 0, width: 20, height: 20 }, 20);
    assert!(image.height() < 100 && image.width() < 80, "{image:?}");
    // Progressive files have the bottom of the image in every scan.
    let (image, _) = part(
        &jpeg(100, 400, SamplingFactor::F_2_2, true),
        Rect { left: 0, top: 0, width: 20, height: 20 },
        20,
    );
    assert_eq!(image.height(), 400);
}

#[test]
fn large_images_are_scaled_down_but_stay_twice_as_large() {
    let bytes = jpeg(800, 640, SamplingFactor::F_2_2, false);
    let crop = Rect { left: 160, top: 80, width: 640, height: 560 };
    for (at_least, divisor) in [(200, 1), (141, 1), (140, 2), (71, 2), (70, 4), (35, 8), (1, 8)] {
        let (image, rect) = part(&bytes, crop, at_least);
        assert_eq!((rect.width, rect.height), (640 / divisor, 560 / divisor), "{at_least}");
        assert!(rect.left + rect.width <= image.width() && rect.top + rect.height <= image.height());
    }
    let (half, rect) = part(&bytes, crop, 140);
    let all = whole(&bytes, Vec::new()).unwrap();
    let mean = |pixels: &[u8]| pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels.len() as f64;
    let (of_half, of_all) = (mean(&cut(&half, rect)), mean(&cut(&all, crop)));
    assert!((of_half - of_all).abs() < 1.0, "{of_half} {of_all}");
}

#[test]
fn a_file_without_an_end_marker_is_read_to_its_end() {
    let whole = jpeg(64, 48, SamplingFactor::F_2_2, false);
    let header_of = |bytes: &[u8]| header(bytes).unwrap();
    assert!(header_of(&whole).rows_at.is_some());
    assert!(header_of(&whole[..whole.len() - 2]).rows_at.is_none());
    // Bytes behind the marker are common.
    assert!(header_of(&[&whole[..], &[0; 40]].concat()).rows_at.is_some());
    let mut twelve_bits = whole.clone();
    let frame = whole.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    assert_eq!(std::mem::replace(&mut twelve_bits[frame + 4], 12), 8);
    assert_eq!(header(&twelve_bits), None);
    for cut in 0..whole.len().min(700) {
        // Any answer but a panic.
        let _ = header(&whole[..cut]);
    }
    let top = Rect { left: 0, top: 0, width: 8, height: 8 };
    for progressive in [false, true] {
        let whole = jpeg(640, 480, SamplingFactor::F_2_2, progressive);
        for (crop, at_least) in [(top, 8), (Rect::whole([640, 480]), 8), (Rect::whole([640, 480]), 640)] {
            for cut in [whole.len() / 2, whole.len() - 100] {
                let (mut bytes, mut buffer) = (whole[..cut].to_vec(), Vec::new());
                let undecoded = Undecoded::new(&mut bytes, &mut Vec::new()).unwrap();
                assert!(undecoded.region(crop, [at_least; 2], &mut buffer).is_err(), "{cut} {crop:?}");
                assert!(Undecoded::new(&mut bytes, &mut Vec::new()).unwrap().verify().is_err(), "{cut}");
            }
        }
    }
}

/// A JPEG with an EXIF orientation, of a picture in which no two pixels near each other are alike.
fn turned(width: u16, height: u16, orientation: u16) -> Vec<u8> {
    let pixels: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [(2 * x) as u8, (3 * y) as u8, (x + y) as u8]))
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    encoder.add_exif_metadata(&exif(orientation)).unwrap();
    encoder.encode(&pixels, width, height, ColorType::Rgb).unwrap();
    bytes
}

#[test]
fn a_region_of_a_photograph_on_its_side_is_upright() {
    for orientation in 1..=8 {
        let bytes = turned(96, 64, orientation);
        let all = whole(&bytes, Vec::new()).unwrap();
        let mut copy = bytes.clone();
        let undecoded = Undecoded::new(&mut copy, &mut Vec::new()).unwrap();
        assert_eq!([undecoded.width(), undecoded.height()], [all.width(), all.height()]);
        let crop = Rect { left: 10, top: 20, width: 31, height: 25 };
        let (image, rect) = part(&bytes, crop, 1000);
        assert!(cut(&image, rect) == cut(&all, crop), "{orientation} {rect:?}");
        // A half, or a quarter of the pixels, looks alike.
        let crop = Rect { left: 0, top: 16, width: 64, height: 48 };
        let (image, rect) = part(&bytes, crop, 12);
        assert_eq!((rect.width, rect.height), (32, 24), "{orientation}");
        for (x, y) in [(3, 3), (28, 4), (5, 20), (28, 20)] {
            let small = image.pixel(rect.left + x, rect.top + y);
            let large = all.pixel(2 * x, 16 + 2 * y);
            assert!(
                small.iter().zip(large).all(|(a, b)| a.abs_diff(b) < 16),
                "{orientation} {small:?} {large:?}"
            );
        }
    }
}

#[test]
fn memory_is_what_the_library_takes() {
    let needs = |sampling, progressive, divisor| {
        let bytes = jpeg(640, 320, sampling, progressive);
        let decoder = decoder(&bytes).unwrap();
        let output = decoder.output_buffer_size().unwrap() / (divisor * divisor) as usize;
        needed(decoder.header(), divisor, output as u64) as f64 / (640.0 * 320.0)
    };
    assert_eq!(needs(SamplingFactor::F_2_2, false, 1), 4.5);
    assert_eq!(needs(SamplingFactor::F_1_1, false, 1), 6.0);
    assert_eq!(needs(SamplingFactor::F_2_2, false, 8), 4.5 / 64.0);
    assert_eq!(needs(SamplingFactor::F_2_2, true, 8), 3.0 + 4.5 / 64.0);
}

#[test]
fn four_components_that_the_library_takes_for_others_are_refused() {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 90).encode(&[5; 4 * 16 * 16], 16, 16, ColorType::Cmyk).unwrap();
    let frame = bytes.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    let sampling_of = |component: usize| frame + 11 + 3 * component;
    assert_eq!([0, 1, 2, 3].map(|component| bytes[sampling_of(component)]), [0x11; 4]);
    assert!(whole(&bytes, Vec::new()).is_ok());
    for finer in 0..4 {
        for sampling in [0x12, 0x21, 0x22] {
            let mut bytes = bytes.clone();
            bytes[sampling_of(finer)] = sampling;
            let error = whole(&bytes, Vec::new()).unwrap_err();
            assert!(matches!(error, DecodeError::Layout { .. }), "{finer} {sampling:x}: {error}");
        }
    }
}
