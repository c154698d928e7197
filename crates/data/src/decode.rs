//! Bytes of a JPEG, PNG or WebP file to an [`Image`], or the reason why not.
//!
//! The format is what the bytes say, never the file name.
//! Invariant: hostile input costs bounded memory and gives an error, never a panic and never half an image.

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::{DecodeError, Error, Image, Result, orientation};

mod jpeg;
mod undecoded;
mod webp;
pub(crate) use undecoded::Undecoded;

/// Most pixels of an image: 67 megapixels, 200 MB in memory.
pub const MAX_PIXELS: usize = 1 << 26;

/// Most bytes of a file.
pub const MAX_FILE_BYTES: u64 = 1 << 28;

/// Reads and decodes one file.
///
/// # Errors
/// [`Error::Decode`] with the path and the reason.
pub fn decode_file(path: &Path) -> Result<Image> {
    let mut bytes = Vec::new();
    // A pipe is welcome here: nothing else waits for it.
    let file = File::open(path).map_err(|source| DecodeError::Read { source });
    let decoded = file.and_then(|file| read_file(file, &mut bytes)).and_then(|()| decode(&bytes));
    decoded.map_err(|source| Error::Decode { path: path.to_owned(), source })
}

/// Opens a file with content: not a pipe, which waits until somebody writes into it.
pub(crate) fn open_file(path: &Path) -> Result<File, DecodeError> {
    let read = |source| DecodeError::Read { source };
    if !fs::metadata(path).map_err(read)?.is_file() {
        return Err(DecodeError::NoFile);
    }
    File::open(path).map_err(read)
}

/// Reads a file into a buffer, which keeps its memory from file to file.
pub(crate) fn read_file(file: File, bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    let read = |source| DecodeError::Read { source };
    bytes.clear();
    let size = file.metadata().map_err(read)?.len();
    check_file_size(size)?;
    bytes.reserve(size as usize + 1);
    // The file may grow while it is read, or be a pipe.
    file.take(MAX_FILE_BYTES).read_to_end(bytes).map_err(read)?;
    Ok(())
}

/// Refuses files above the limit before memory is taken for them.
pub(crate) fn check_file_size(bytes: u64) -> Result<(), DecodeError> {
    if bytes > MAX_FILE_BYTES {
        return Err(DecodeError::FileTooLarge { bytes, limit: MAX_FILE_BYTES });
    }
    Ok(())
}

/// Decodes JPEG, PNG or WebP to 8-bit RGB.
///
/// Grey becomes three equal channels, CMYK and palettes are converted, 16 bits are cut to 8, alpha is dropped.
///
/// Deviation: EXIF orientation is applied, which torchvision does not: photographs from phones would lie on their side.
///
/// # Errors
/// The reason why the bytes are not a usable image. A file that is cut short is an error, not an image with a grey end.
pub fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    decode_in(bytes, Vec::new())
}

/// As [`decode`], in memory that is there; what is in it means nothing.
fn decode_in(bytes: &[u8], memory: Vec<u8>) -> Result<Image, DecodeError> {
    guarded(|| match bytes {
        [] => Err(DecodeError::Empty),
        [0xff, 0xd8, ..] => jpeg::whole(bytes, memory),
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes, memory),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp::whole(bytes, memory),
        _ => Err(DecodeError::UnknownFormat { begins: bytes[..bytes.len().min(8)].to_vec() }),
    })
    .unwrap_or(Err(DecodeError::Panic))
}

/// Nothing where a library panics, as some do at damaged files: that must not cost the batch, let alone the training.
///
/// A search by fuzzing stops at such a panic all the same, so that we learn of it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Refuses sizes above the limit before memory is taken for them.
fn check_size(width: usize, height: usize) -> Result<(), DecodeError> {
    if width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
        return Err(DecodeError::TooLarge { width, height, limit: MAX_PIXELS });
    }
    Ok(())
}

fn decode_png(bytes: &[u8], mut pixels: Vec<u8>) -> Result<Image, DecodeError> {
    let fail = |source| DecodeError::Png { source };
    let limits = png::Limits { bytes: 8 * MAX_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(fail)?;
    let (width, height) = (header.width, header.height);
    check_size(width as usize, height as usize)?;
    let mut reader = decoder.read_info().map_err(fail)?;
    let size = reader.output_buffer_size().expect("checked sizes fit the address space");
    pixels.resize(size, 0);
    reader.next_frame(&mut pixels).map_err(fail)?;
    // Reads on to the end, so that a cut or damaged tail is noticed.
    reader.finish().map_err(fail)?;
    let orientation = reader.info().exif_metadata.as_ref().and_then(|exif| orientation::from_exif(exif));
    let image = Image::new(width, height, to_rgb(pixels, width as usize * height as usize)?);
    Ok(match orientation {
        Some(orientation) => orientation::apply(image, orientation),
        None => image,
    })
}

/// One to four 8-bit channels (grey, grey + alpha, RGB, RGBA) to RGB, in place.
fn to_rgb(mut pixels: Vec<u8>, n_pixels: usize) -> Result<Vec<u8>, DecodeError> {
    let channels = pixels.len() / n_pixels;
    if !pixels.len().is_multiple_of(n_pixels) || !(1..=4).contains(&channels) {
        return Err(DecodeError::Layout { layout: format!("{} bytes for {n_pixels} pixels", pixels.len()) });
    }
    match channels {
        3 => {}
        4 => {
            for n in 0..n_pixels {
                let [red, green, blue] = [pixels[4 * n], pixels[4 * n + 1], pixels[4 * n + 2]];
                pixels[3 * n..3 * n + 3].copy_from_slice(&[red, green, blue]);
            }
            pixels.truncate(3 * n_pixels);
        }
        _ => {
            pixels.resize(3 * n_pixels, 0);
            // From the end, so that what is written over has been read.
            for n in (0..n_pixels).rev() {
                let grey = pixels[channels * n];
                pixels[3 * n..3 * n + 3].fill(grey);
            }
        }
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests;
