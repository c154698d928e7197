//! Decodes the bytes of a JPEG, PNG or WebP file to an [`Image`], or says why it cannot.
//!
//! The bytes decide which format it is, never the file name.
//! Invariant: hostile input takes bounded memory and gives an error, never a panic and never half an image.

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mutualnet_core::FileKind;

use crate::{DecodeError, Error, Image, Result, orientation};

mod jpeg;
mod mask;
mod memory;
mod undecoded;
mod webp;
pub use mask::Mask;
pub use memory::MEMORY_VARIABLE;
pub use memory::{check as check_memory, check_file_size, check_variable};
pub use undecoded::Undecoded;

/// Reads and decodes one file.
///
/// # Errors
/// [`Error::Decode`] with the path and the reason, or [`Error::Setting`] when [`MEMORY_VARIABLE`] is not a number.
pub fn decode_file(path: &Path) -> Result<Image> {
    with_file(path, |bytes| decode(bytes))
}

/// Reads a file and passes its bytes to `work`; errors name the file.
pub fn with_file<T>(path: &Path, work: impl FnOnce(&mut [u8]) -> Result<T, DecodeError>) -> Result<T> {
    check_variable()?;
    let mut bytes = Vec::new();
    // Pipes are allowed here, because nothing else waits for this file.
    let file = File::open(path).map_err(|source| DecodeError::Read { source });
    let done = file.and_then(|file| read_file(file, &mut bytes)).and_then(|()| work(&mut bytes));
    done.map_err(|reason| {
        let source = match reason {
            // It may be something else altogether, such as a model.
            DecodeError::FileTooLarge { .. } => kind_instead(path).unwrap_or(reason),
            _ => reason,
        };
        Error::Decode { path: path.to_owned(), source }
    })
}

/// What a file is, if its first bytes show that it is no image.
fn kind_instead(path: &Path) -> Option<DecodeError> {
    let kind = FileKind::of(&start(path)?);
    (!kind.is_image() && kind != FileKind::Unknown).then_some(DecodeError::OtherKind { kind })
}

/// The first bytes of a file, as many as it takes to tell what it is.
pub fn start(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    open_file(path).ok()?.take(FileKind::START_BYTES as u64).read_to_end(&mut start).ok()?;
    Some(start)
}

/// Opens a regular file. A pipe is refused, because opening it waits until another program writes to it.
pub fn open_file(path: &Path) -> Result<File, DecodeError> {
    let read = |source| DecodeError::Read { source };
    if !fs::metadata(path).map_err(read)?.is_file() {
        return Err(DecodeError::NoFile);
    }
    File::open(path).map_err(read)
}

/// Reads a file into a buffer that is reused from file to file.
pub fn read_file(file: File, bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    let read = |source| DecodeError::Read { source };
    bytes.clear();
    let size = file.metadata().map_err(read)?.len();
    check_file_size(size)?;
    bytes.reserve(size as usize + 1);
    // The file may grow while it is read, or be a pipe; one byte above the limit shows it.
    file.take(memory::limit()?.saturating_add(1)).read_to_end(bytes).map_err(read)?;
    check_file_size(bytes.len() as u64)
}

/// Decodes JPEG, PNG or WebP to 8-bit RGB.
///
/// Gray becomes three equal channels, CMYK and palettes are converted, 16 bits become 8, and alpha is dropped.
///
/// Deviation: EXIF orientation is applied, unlike in torchvision; otherwise photographs from phones would lie on their
/// side.
///
/// # Errors
/// The reason why the bytes are not a usable image. A truncated file is an error, not an image with a gray bottom.
pub fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    decode_in(bytes, Vec::new())
}

/// As [`decode`], in memory that is already allocated; its content does not matter.
fn decode_in(bytes: &[u8], memory: Vec<u8>) -> Result<Image, DecodeError> {
    guarded(|| match bytes {
        [] => Err(DecodeError::Empty),
        [0xff, 0xd8, ..] => jpeg::whole(bytes, memory),
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes, memory),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp::whole(bytes, memory),
        _ => Err(no_image(bytes)),
    })
    .unwrap_or(Err(DecodeError::Panic))
}

/// Why bytes that do not start like a supported image cannot be decoded.
fn no_image(bytes: &[u8]) -> DecodeError {
    match FileKind::of(bytes) {
        // Too short for its format to matter.
        FileKind::Unknown | FileKind::Jpeg | FileKind::Png | FileKind::Webp => {
            DecodeError::UnknownFormat { begins: bytes[..bytes.len().min(8)].to_vec() }
        }
        kind if kind.is_image() => DecodeError::OtherFormat { kind },
        kind => DecodeError::OtherKind { kind },
    }
}

/// Runs a library that may panic on damaged files; a panic gives `None` instead of ending the batch or the training.
///
/// Fuzzing still stops at such a panic, so that we learn of it.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn decode_png(bytes: &[u8], mut pixels: Vec<u8>) -> Result<Image, DecodeError> {
    let fail = |source| DecodeError::Png { source };
    let limits = png::Limits { bytes: memory::limit()? as usize };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(fail)?;
    let size = [header.width, header.height];
    let check = |channels: u64| memory::check(size, bytes_of(size, channels));
    check(3)?;
    let mut reader = decoder.read_info().map_err(fail)?;
    // With alpha there are four channels until it is dropped.
    check(reader.output_color_type().0.samples().max(3) as u64)?;
    let n_bytes = reader.output_buffer_size().expect("checked sizes fit the address space");
    pixels.resize(n_bytes, 0);
    reader.next_frame(&mut pixels).map_err(fail)?;
    // Reads to the end, so that a truncated or damaged tail is noticed.
    reader.finish().map_err(fail)?;
    let orientation = reader.info().exif_metadata.as_ref().and_then(|exif| orientation::from_exif(exif));
    let [width, height] = size;
    upright(Image::new(width, height, to_rgb(pixels, width as usize * height as usize)?), orientation)
}

/// Bytes of an image, saturating.
fn bytes_of([width, height]: [u32; 2], per_pixel: u64) -> u64 {
    (u64::from(width) * u64::from(height)).saturating_mul(per_pixel)
}

/// Turns an image upright after decoding; both copies exist for a moment.
fn upright(image: Image, orientation: Option<u16>) -> Result<Image, DecodeError> {
    let Some(orientation) = orientation.filter(|orientation| *orientation != 1) else { return Ok(image) };
    let size = [image.width(), image.height()];
    memory::check(size, bytes_of(size, 6))?;
    Ok(orientation::apply(image.view(), orientation))
}

/// Converts one to four 8-bit channels (gray, gray + alpha, RGB, RGBA) to RGB, in place.
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
            // Backward, so that every byte is read before it is overwritten.
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
