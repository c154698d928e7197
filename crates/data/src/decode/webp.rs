//! WebP, still and lossy or lossless; of an animation the first frame.
//!
//! Separate from the other formats because it has a library and limits of its own.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::{MAX_PIXELS, check_size, to_rgb};
use crate::{DecodeError, Image, orientation};

/// Decodes all of an image in the memory of `pixels`, and sets it upright.
pub(super) fn whole(bytes: &[u8], mut pixels: Vec<u8>) -> Result<Image, DecodeError> {
    let fail = |source: DecodingError| DecodeError::WebP { source };
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fail)?;
    // Four bytes for each pixel, once for the image and once on the way.
    decoder.set_memory_limit(8 * MAX_PIXELS);
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let n_pixels = width as usize * height as usize;
    pixels.resize(channels * n_pixels, 0);
    decoder.read_image(&mut pixels).map_err(fail)?;
    let orientation = decoder.exif_metadata().ok().flatten().and_then(|exif| orientation::from_exif(&exif));
    let image = Image::new(width, height, to_rgb(pixels, n_pixels)?);
    Ok(match orientation {
        Some(orientation) => orientation::apply(image, orientation),
        None => image,
    })
}
