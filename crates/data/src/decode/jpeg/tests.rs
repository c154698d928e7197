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
fn what_cannot_be_cut_is_decoded_whole() {
    let whole = jpeg(64, 48, SamplingFactor::F_2_2, false);
    let header_of = |bytes: &[u8]| header(bytes).unwrap();
    assert!(header_of(&whole).can_be_cut() && header_of(&whole).rows_at.is_some());
    // Without its end marker, and with bytes behind it.
    assert!(!header_of(&whole[..whole.len() - 2]).can_be_cut());
    assert!(header_of(&[&whole[..], &[0; 40]].concat()).can_be_cut());
    let mut turned = Vec::new();
    let mut encoder = Encoder::new(&mut turned, 90);
    encoder.add_exif_metadata(&exif(6)).unwrap();
    encoder.encode(&[5; 3 * 16 * 8], 16, 8, ColorType::Rgb).unwrap();
    assert_eq!(header_of(&turned).orientation, Some(6));
    let mut copy = turned.clone();
    let undecoded = Undecoded::new(&mut copy, &mut Vec::new()).unwrap();
    assert_eq!((undecoded.width(), undecoded.height()), (8, 16));
    for cut in 0..whole.len().min(700) {
        // Any answer but a panic.
        let _ = header(&whole[..cut]);
    }
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
