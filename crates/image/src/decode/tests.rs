//! Every kind of file that people have: decoded correctly, or refused with a reason.

use jpeg_encoder::{ColorType, Encoder};
use png::BitDepth;

use super::*;
use crate::orientation::tests::exif;
use crate::resize::Rect;
use crate::{encode_jpeg, encode_png};

mod large;

/// A smooth picture, so that JPEG changes little.
fn picture(width: u32, height: u32) -> Image {
    let pixels = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [40 + x as u8, 90 + y as u8, 200 - x as u8]))
        .collect();
    Image::new(width, height, pixels)
}

fn jpeg(data: &[u8], side: u16, color: ColorType, progressive: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 95);
    encoder.set_progressive(progressive);
    encoder.encode(data, side, side, color).unwrap();
    bytes
}

fn png_of(color: png::ColorType, depth: BitDepth, side: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![10, 20, 30, 200, 100, 50]);
        encoder.set_trns(vec![255, 0]);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

#[track_caller]
fn check_near(image: &Image, expected: [u8; 3], tolerance: u8) {
    for pixel in image.pixels().chunks(3) {
        for (got, want) in pixel.iter().zip(expected) {
            assert!(got.abs_diff(want) <= tolerance, "{pixel:?} is not {expected:?}");
        }
    }
}

#[test]
fn png_round_trip_is_exact_and_jpeg_is_close() {
    let image = picture(37, 21);
    assert_eq!(decode(&encode_png(&image)).unwrap(), image);
    let decoded = decode(&encode_jpeg(&image, 95)).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (37, 21));
    let worst = decoded.pixels().iter().zip(image.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst.unwrap() <= 8, "{worst:?}");
}

#[test]
fn every_kind_of_jpeg() {
    for side in [8_u16, 9, 24, 33] {
        let n = usize::from(side).pow(2);
        for progressive in [false, true] {
            let grey = decode(&jpeg(&vec![77; n], side, ColorType::Luma, progressive)).unwrap();
            check_near(&grey, [77; 3], 1);
            let color = decode(&jpeg(&[200, 40, 90].repeat(n), side, ColorType::Rgb, progressive)).unwrap();
            check_near(&color, [200, 40, 90], 4);
            for kind in [ColorType::Cmyk, ColorType::CmykAsYcck] {
                // Ink: 30 of 255 cyan, 90 magenta, 150 yellow, 51 black; 204/255 of the light passes the black.
                let inked = decode(&jpeg(&[30, 90, 150, 51].repeat(n), side, kind, progressive)).unwrap();
                check_near(&inked, [180, 132, 84], 6);
            }
        }
    }
}

#[test]
fn every_kind_of_png() {
    use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    for (color, depth, data, expected) in [
        (Grayscale, BitDepth::Eight, vec![9; 4], [9; 3]),
        (Grayscale, BitDepth::Sixteen, [9, 200].repeat(4), [9; 3]),
        (Grayscale, BitDepth::One, vec![0b1100_0000; 2], [255; 3]),
        (GrayscaleAlpha, BitDepth::Eight, [9, 0].repeat(4), [9; 3]),
        (Rgb, BitDepth::Sixteen, [1, 255, 2, 255, 3, 255].repeat(4), [1, 2, 3]),
        (Rgba, BitDepth::Eight, [1, 2, 3, 0].repeat(4), [1, 2, 3]),
        (Indexed, BitDepth::Eight, vec![1; 4], [200, 100, 50]),
        (Indexed, BitDepth::One, vec![0b1100_0000; 2], [200, 100, 50]),
    ] {
        let image = decode(&png_of(color, depth, 2, &data)).unwrap();
        assert_eq!(image.pixels(), expected.repeat(4), "{color:?} {depth:?}");
    }
}

fn webp(image: &Image, color: image_webp::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    image_webp::WebPEncoder::new(&mut bytes).encode(pixels, image.width(), image.height(), color).unwrap();
    bytes
}

/// A lossy WebP file of one color, by Pillow.
const LOSSY_WEBP: &[u8] =
    b"\x52\x49\x46\x46\x36\x00\x00\x00\x57\x45\x42\x50\x56\x50\x38\x20\x2a\x00\x00\x00\x70\x01\x00\x9d\
    \x01\x2a\x09\x00\x05\x00\x00\xc0\x12\x25\xa0\x02\x74\x01\x75\x00\x00\xfe\xf5\x88\x95\xaf\xff\xd9\
    \x2b\x7f\xfe\xcf\x2f\xff\xfb\x25\x6f\xfb\x1e\x40\x00\x00";

#[test]
fn every_kind_of_webp() {
    let image = picture(37, 21);
    let rgba: Vec<u8> =
        image.pixels().as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 9]).collect();
    assert_eq!(decode(&webp(&image, image_webp::ColorType::Rgb8, image.pixels())).unwrap(), image);
    assert_eq!(decode(&webp(&image, image_webp::ColorType::Rgba8, &rgba)).unwrap(), image);
    let image = decode(LOSSY_WEBP).unwrap();
    assert_eq!((image.width(), image.height()), (9, 5));
    check_near(&image, [200, 40, 90], 4);
}

#[test]
fn images_are_decoded_in_memory_that_is_there() {
    let image = picture(37, 21);
    let png = encode_png(&image);
    for bytes in [png, webp(&image, image_webp::ColorType::Rgb8, image.pixels())] {
        let mut memory = vec![7; 4000];
        let place = memory.as_ptr();
        let (mut file, all) = (bytes.clone(), Rect::whole([37, 21]));
        let undecoded = Undecoded::new(&mut file, &mut memory).unwrap();
        let (region, _) = undecoded.region(all, [37, 21], &mut memory).unwrap();
        assert_eq!(region.to_image(), image);
        assert_eq!(memory.as_ptr(), place);
    }
}

#[test]
fn a_photograph_on_its_side_is_set_upright() {
    let image = picture(24, 16);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 95);
    encoder.add_exif_metadata(&exif(6)).unwrap();
    encoder.encode(image.pixels(), 24, 16, ColorType::Rgb).unwrap();
    let upright = decode(&bytes).unwrap();
    assert_eq!((upright.width(), upright.height()), (16, 24));
    let (got, stored) = (upright.pixel(0, 0), image.pixel(0, 15));
    assert!(got.iter().zip(stored).all(|(a, b)| a.abs_diff(b) < 8), "{got:?} {stored:?}");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let image = picture(48, 48);
    let data = image.pixels();
    for whole in [
        jpeg(data, 48, ColorType::Rgb, false),
        jpeg(data, 48, ColorType::Rgb, true),
        encode_png(&image),
        webp(&image, image_webp::ColorType::Rgb8, data),
    ] {
        for cut in (0..whole.len() - 40).step_by(7) {
            assert!(decode(&whole[..cut]).is_err(), "{cut} of {}", whole.len());
        }
    }
}

#[test]
fn damage_never_panics() {
    let image = picture(40, 40);
    for whole in [
        encode_png(&image),
        encode_jpeg(&image, 80),
        jpeg(image.pixels(), 40, ColorType::Rgb, true),
        webp(&image, image_webp::ColorType::Rgb8, image.pixels()),
    ] {
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                if let Ok(image) = decode(&damaged) {
                    assert!(image.pixels().len() as u64 <= memory::limit().unwrap());
                }
            }
        }
    }
}

#[test]
fn hostile_sizes_are_refused_before_memory_is_taken() {
    let mut jpeg = encode_jpeg(&picture(8, 8), 90);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xfe, 0xff, 0xfe]);
    assert!(matches!(decode(&jpeg), Err(DecodeError::TooLarge { width: 65534, height: 65534, .. })));

    let mut header = Vec::from(*b"IHDR");
    header.extend([0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&header);
    png.extend(crc32(&header).to_be_bytes());
    assert!(matches!(decode(&png), Err(DecodeError::TooLarge { width: 0x7fff_ffff, .. })));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

#[test]
fn what_is_no_image_says_so() {
    assert_eq!(decode(b"").unwrap_err().to_string(), "the file is empty");
    for (bytes, reason) in [
        (
            &b"\x01\x02\x03\x04\x05\x06\x07\x08\x09"[..],
            "neither JPEG, PNG nor WebP (begins with \\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08)",
        ),
        (b"GIF89a\x01\0\x01\0\0\0\0", "a GIF image; only JPEG, PNG and WebP are supported"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image; only JPEG, PNG and WebP are supported"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer, not an image"),
        (b"<!DOCTYPE html><html>", "an HTML page, not an image"),
        (b"not an image", "a text file, not an image"),
        (b"PAR1\x15\x04", "a Parquet file, not an image"),
    ] {
        assert_eq!(decode(bytes).unwrap_err().to_string(), reason);
    }
    let missing = decode_file(Path::new("/nowhere/cat.jpg")).unwrap_err();
    assert_eq!(missing.to_string(), "cannot decode /nowhere/cat.jpg");
}

#[test]
fn what_is_no_image_comes_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, hint) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..], "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "convert it to JPEG"),
        (b"", "download"),
    ] {
        let path = dir.path().join("photo.jpg");
        fs::write(&path, bytes).unwrap();
        let told = decode_file(&path).unwrap_err().hint().unwrap();
        assert!(told.contains(hint), "{told}");
    }
}
