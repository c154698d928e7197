//! Decodes a mask: the numbers in a PNG file, of palette colors or shades of grey, without turning them into colors.
//!
//! Separate from pictures because there the numbers are what is thrown away.
//! Invariant: a mask has exactly the numbers of the file; hostile bytes give an error and take bounded memory.

use std::io::Cursor;

use mutualnet_core::FileKind;
use png::{BitDepth, ColorType, Transformations};

use super::{bytes_of, guarded, memory, no_image};
use crate::DecodeError;

/// A number for every pixel, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    numbers: Vec<u8>,
}

impl Mask {
    /// Takes numbers in rows from the top.
    ///
    /// # Panics
    /// There are not as many numbers as pixels, or there are no pixels.
    pub fn new(width: u32, height: u32, numbers: Vec<u8>) -> Self {
        assert!(
            width > 0 && height > 0 && numbers.len() == width as usize * height as usize,
            "{} numbers are not {width}x{height}",
            numbers.len()
        );
        Self { width, height, numbers }
    }

    /// Decodes a PNG with a palette, or in grey of at most 8 bits. A shade of grey of fewer bits is not scaled up.
    ///
    /// # Errors
    /// The reason why the bytes are not such a file; colors are refused, because it is not known which classes they mean.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match FileKind::of(bytes) {
            FileKind::Empty => Err(DecodeError::Empty),
            FileKind::Png => guarded(|| decode(bytes)).unwrap_or(Err(DecodeError::Panic)),
            kind if kind.is_image() => Err(DecodeError::NoMask { found: kind.name().to_owned() }),
            _ => Err(no_image(bytes)),
        }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// All numbers, rows from the top.
    pub fn numbers(&self) -> &[u8] {
        &self.numbers
    }
}

fn decode(bytes: &[u8]) -> Result<Mask, DecodeError> {
    let fail = |source| DecodeError::Png { source };
    let limits = png::Limits { bytes: memory::limit()? as usize };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let header = decoder.read_header_info().map_err(fail)?;
    let [width, height] = [header.width, header.height];
    let bits = bits(header.color_type, header.bit_depth)?;
    // The packed and the unpacked numbers.
    memory::check([width, height], bytes_of([width, height], 2))?;
    let mut reader = decoder.read_info().map_err(fail)?;
    let mut packed = vec![0; reader.output_buffer_size().expect("checked sizes fit the address space")];
    reader.next_frame(&mut packed).map_err(fail)?;
    // Reads to the end, so that a truncated or damaged tail is noticed.
    reader.finish().map_err(fail)?;
    let line = packed.len() / height as usize;
    let numbers = match bits {
        8 => packed,
        _ => packed.chunks_exact(line).flat_map(|line| unpacked(line, bits).take(width as usize)).collect(),
    };
    Ok(Mask::new(width, height, numbers))
}

/// Bits of a number, if the file has numbers.
fn bits(color: ColorType, depth: BitDepth) -> Result<u8, DecodeError> {
    let bits = depth as u8;
    let name = match color {
        ColorType::Indexed | ColorType::Grayscale if bits <= 8 => return Ok(bits),
        ColorType::Indexed => "a palette",
        ColorType::Grayscale => "grey",
        ColorType::GrayscaleAlpha => "grey with alpha",
        ColorType::Rgb => "RGB",
        ColorType::Rgba => "RGB with alpha",
    };
    Err(DecodeError::NoMask { found: format!("{name} of {bits} bits") })
}

/// The numbers in a line of fewer than 8 bits each; the first is in the highest bits.
fn unpacked(line: &[u8], bits: u8) -> impl Iterator<Item = u8> {
    let last = (1 << bits) - 1;
    line.iter().flat_map(move |byte| (0..8 / bits).rev().map(move |i| byte >> (i * bits) & last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, encode_jpeg, encode_palette_png, encode_png};

    /// Packed numbers as a file of 5 x 2 pixels.
    fn file(color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 5, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![9; 6]);
            encoder.set_trns(vec![0, 255]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[test]
    fn numbers_of_all_depths_are_those_of_the_file() {
        for color in [ColorType::Indexed, ColorType::Grayscale] {
            for (depth, data, numbers) in [
                (BitDepth::One, vec![0b1011_0000, 0b0000_1000], [1, 0, 1, 1, 0, 0, 0, 0, 0, 1]),
                (BitDepth::Two, vec![0b1101_0010, 0xff, 0, 0b0100_0000], [3, 1, 0, 2, 3, 0, 0, 0, 0, 1]),
                (BitDepth::Four, vec![0x12, 0x3f, 0x40, 0, 0, 0x70], [1, 2, 3, 15, 4, 0, 0, 0, 0, 7]),
                (BitDepth::Eight, vec![0, 1, 2, 3, 255, 4, 5, 6, 7, 254], [0, 1, 2, 3, 255, 4, 5, 6, 7, 254]),
            ] {
                let mask = Mask::decode(&file(color, depth, &data)).unwrap();
                assert_eq!((mask.size(), mask.numbers()), ([5, 2], &numbers[..]), "{color:?} {depth:?}");
            }
        }
        let written = encode_palette_png(&[0, 1, 2, 255, 4, 3], [2, 3], &[[7; 3]; 256]);
        assert_eq!(Mask::decode(&written).unwrap(), Mask::new(3, 2, vec![0, 1, 2, 255, 4, 3]));
    }

    #[test]
    fn what_is_no_mask_is_called_by_its_name() {
        let image = Image::new(4, 4, vec![1; 48]);
        let rgba = file(ColorType::Rgba, BitDepth::Eight, &[1; 40]);
        for (bytes, says) in [
            (
                encode_png(&image),
                "RGB of 8 bits; a mask is a PNG with a palette, or in grey of at most 8 bits",
            ),
            (rgba, "RGB with alpha of 8 bits; "),
            (file(ColorType::Grayscale, BitDepth::Sixteen, &[0; 20]), "grey of 16 bits; "),
            (file(ColorType::GrayscaleAlpha, BitDepth::Eight, &[0; 20]), "grey with alpha of 8 bits; "),
            (encode_jpeg(&image, 90), "a JPEG image; "),
            (b"hello there".to_vec(), "a text file, not an image"),
            (Vec::new(), "the file is empty"),
        ] {
            let error = Mask::decode(&bytes).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn a_damaged_mask_is_an_error() {
        let whole = file(ColorType::Indexed, BitDepth::Four, &[0; 6]);
        for end in 1..whole.len() {
            Mask::decode(&whole[..end]).unwrap_err();
        }
    }
}
