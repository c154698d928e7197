//! Encodes an image as JPEG or PNG, for generated data sets and for pictures that people look at.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::Image;

/// Encodes as baseline JPEG with full color resolution.
///
/// # Panics
/// A side is longer than 65535 pixels, the most that JPEG can express.
pub fn encode_jpeg(image: &Image, quality: u8) -> Vec<u8> {
    let side = |n: u32| u16::try_from(n).expect("sides of a JPEG fit 16 bits");
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder
        .encode(image.pixels(), side(image.width()), side(image.height()), ColorType::Rgb)
        .expect("writing to memory does not fail");
    bytes
}

/// Encodes numbers of colors, `[height, width]`, as 8-bit PNG with a palette of red, green and blue.
///
/// # Panics
/// There are fewer numbers than pixels, or more than 256 colors.
pub fn encode_palette_png(numbers: &[u8], [height, width]: [u32; 2], palette: &[[u8; 3]]) -> Vec<u8> {
    assert!(palette.len() <= 256, "a number of a color has 8 bits");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    let mut writer = encoder.write_header().expect("a valid header is written to memory");
    writer.write_image_data(numbers).expect("there is a number for every pixel");
    writer.finish().expect("writing to memory does not fail");
    bytes
}

/// Encodes as 8-bit RGB PNG.
pub fn encode_png(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a valid header is written to memory");
    writer.write_image_data(image.pixels()).expect("an image has as many bytes as its header says");
    writer.finish().expect("writing to memory does not fail");
    bytes
}
