//! WebP: lossy and lossless images, and the first frame of an animation.
//!
//! Separate from the other formats because it has its own library, which needs memory of its own.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::{bytes_of, memory, to_rgb, upright};
use crate::{DecodeError, Image, orientation};

/// Decodes a whole image into the memory of `pixels`, and turns it upright.
pub(super) fn whole(bytes: &[u8], mut pixels: Vec<u8>) -> Result<Image, DecodeError> {
    let fail = |source: DecodingError| DecodeError::WebP { source };
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fail)?;
    let (width, height) = decoder.dimensions();
    let half_bytes = bytes_of([width, height], half_bytes_per_pixel(&mut decoder));
    memory::check([width, height], half_bytes.div_ceil(2))?;
    decoder.set_memory_limit(memory::limit()? as usize);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let n_pixels = width as usize * height as usize;
    pixels.resize(channels * n_pixels, 0);
    decoder.read_image(&mut pixels).map_err(fail)?;
    let orientation = decoder.exif_metadata().ok().flatten().and_then(|exif| orientation::from_exif(&exif));
    upright(Image::new(width, height, to_rgb(pixels, n_pixels)?), orientation)
}

/// What the library allocates for each pixel, including the decoded image, in halves of a byte.
pub(super) fn half_bytes_per_pixel(decoder: &mut WebPDecoder<Cursor<&[u8]>>) -> u64 {
    match (decoder.is_animated(), decoder.is_lossy(), decoder.has_alpha()) {
        // The image, a canvas and a frame of four bytes each, and the frame's planes.
        (true, ..) => 28,
        // Three bytes, and planes with a quarter of the colors.
        (_, true, false) => 9,
        // The same with alpha, which is stored as a lossless image of its own.
        (_, true, true) => 22,
        // Four bytes, of which three are copied.
        (_, false, false) => 14,
        (_, false, true) => 8,
    }
}
