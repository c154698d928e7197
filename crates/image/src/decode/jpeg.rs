//! JPEG: we read the header, a library decodes the pixels, and only those that are needed.
//!
//! Separate because a crop can be drawn first only if the size is known before decoding.
//! Invariant: unless it is scaled, a region has exactly the pixels that the whole image has there.

use libjpeg_turbo_rs::common::types::{ComponentInfo, FrameHeader};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat, ScalingFactor};

use super::{bytes_of, guarded, memory, upright};
use crate::image::ImageRef;
use crate::resize::Rect;
use crate::{DecodeError, Image, orientation};

/// How a file begins.
pub(super) const MAGIC: [u8; 2] = [0xff, 0xd8];

/// Most scans of a progressive file: encoders make about ten, and each one goes through all coefficients.
const MAX_SCANS: usize = 100;

/// How many pixels away another one can influence a pixel: chroma has at least every fourth one, and is interpolated
/// between two.
const MARGIN: u32 = 8;

/// The end marker must be among this many last bytes for a file to count as complete; cameras append a few.
const TAIL: usize = 64;

/// A scaled-down image stays at least this many times larger than asked for, so that the filter that follows decides
/// what it looks like.
///
/// # Source
/// `[Pillow]` `Image.thumbnail`: `reducing_gap` 2.
const GAP: u32 = 2;

/// What the markers before the first scan say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Width and height as they are stored.
    stored: [u32; 2],
    /// 1 if the image is stored upright.
    orientation: u16,
    /// Where the number of rows is written, if fewer can be decoded: one scan holds them from the top to the bottom,
    /// and there is an end marker. Without the marker the file may be truncated, which shows only when all rows are
    /// decoded.
    rows_at: Option<usize>,
}

impl Header {
    /// Width and height of the upright image.
    pub(super) fn size(&self) -> [u32; 2] {
        orientation::turned(self.stored, self.orientation)
    }
}

/// Reads the markers up to the first scan; `None` if they are unusual, which the library may still understand.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let short = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (mut frame, mut orientation, mut at) = (None, None, 2);
    loop {
        let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
        if marker == 0xff {
            at += 1;
            continue;
        }
        let length = usize::from(short(at + 2)?);
        let segment = bytes.get(at + 4..at + 2 + length)?;
        match marker {
            // Frames of baseline, extended and progressive images; others (lossless, arithmetic) are rare.
            0xc0..=0xc2 => frame = Some((marker, at + 5)),
            0xe1 if segment.starts_with(b"Exif\0\0") => orientation = orientation::from_exif(segment),
            0xda => break,
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf | 0x00..=0xbf | 0xd0..=0xd9 => return None,
            _ => {}
        }
        at += 2 + length;
    }
    let (marker, rows_at) = frame?;
    // The library does not scale or crop images of 12 bits.
    if *bytes.get(rows_at - 1)? != 8 {
        return None;
    }
    let (height, width) = (short(rows_at)?, short(rows_at + 2)?);
    let (in_frame, in_scan) = (bytes.get(rows_at + 4)?, bytes.get(at + 4)?);
    let one_scan = marker != 0xc2 && in_frame == in_scan;
    let is_whole = bytes[bytes.len().saturating_sub(TAIL)..].windows(2).any(|pair| pair == [0xff, 0xd9]);
    (width > 0 && height > 0).then_some(Header {
        stored: [width.into(), height.into()],
        orientation: orientation.unwrap_or(1),
        rows_at: (one_scan && is_whole).then_some(rows_at),
    })
}

/// Decodes a whole image into the memory of `pixels`, and turns it upright.
pub(super) fn whole(bytes: &[u8], mut pixels: Vec<u8>) -> Result<Image, DecodeError> {
    let decoder = decoder(bytes)?;
    let [width, height] = read(&decoder, 1, &mut pixels)?;
    pixels.truncate(3 * width as usize * height as usize);
    let orientation = match header(bytes) {
        Some(header) => Some(header.orientation),
        None => decoder.exif_orientation().map(u16::from),
    };
    upright(Image::new(width, height, pixels), orientation)
}

/// Decodes the pixels of a rectangle and some around it, scaled down where it is much larger than `at_least`.
///
/// Returns the decoded pixels, and where the rectangle is in them.
/// Rows below the rectangle are not even read, so damage there goes unnoticed.
pub(super) fn region<'b>(
    bytes: &mut [u8],
    header: &Header,
    crop: Rect,
    at_least: [u32; 2],
    buffer: &'b mut Vec<u8>,
) -> Result<(ImageRef<'b>, Rect), DecodeError> {
    let Header { stored, orientation, .. } = *header;
    let crop = orientation::to_stored(crop, stored, orientation);
    let at_least = orientation::turned(at_least, orientation);
    let ([width, height], rect) = stored_region(bytes, header, crop, at_least, buffer)?;
    let n_bytes = 3 * width as usize * height as usize;
    if orientation == 1 {
        return Ok((ImageRef::new(width, height, &buffer[..n_bytes]), rect));
    }
    memory::check(stored, bytes_of([width, height], 6))?;
    let image = orientation::apply(ImageRef::new(width, height, &buffer[..n_bytes]), orientation);
    let rect = orientation::to_upright(rect, [width, height], orientation);
    let [width, height] = [image.width(), image.height()];
    *buffer = image.into_pixels();
    Ok((ImageRef::new(width, height, buffer), rect))
}

/// As [`region`], of the image as it is stored; returns its size instead of the pixels, which are in the buffer.
fn stored_region(
    bytes: &mut [u8],
    header: &Header,
    crop: Rect,
    at_least: [u32; 2],
    buffer: &mut Vec<u8>,
) -> Result<([u32; 2], Rect), DecodeError> {
    let bottom = crop.top + crop.height + MARGIN * divisor(crop, at_least);
    let original = header.rows_at.map(|at| [bytes[at], bytes[at + 1]]);
    if let Some(at) = header.rows_at {
        let rows = bottom.min(header.stored[1]) as u16;
        bytes[at..at + 2].copy_from_slice(&rows.to_be_bytes());
    }
    let decoded =
        guarded(|| scaled_region(bytes, header, crop, at_least, buffer)).unwrap_or(Err(DecodeError::Panic));
    if let (Some(at), Some(original)) = (header.rows_at, original) {
        bytes[at..at + 2].copy_from_slice(&original);
    }
    decoded
}

fn scaled_region(
    bytes: &[u8],
    header: &Header,
    crop: Rect,
    at_least: [u32; 2],
    buffer: &mut Vec<u8>,
) -> Result<([u32; 2], Rect), DecodeError> {
    let mut decoder = decoder(bytes)?;
    let divisor = divisor(crop, at_least);
    if divisor > 1 {
        decoder.set_scale(ScalingFactor::try_new(1, divisor).map_err(fail)?);
    }
    let Rect { left, top, width, height } = crop;
    let scaled = |n: u32| n.div_ceil(divisor);
    let near = |n: u32| (n + divisor / 2) / divisor;
    let width_all = scaled(header.stored[0]);
    let first = near(left).saturating_sub(MARGIN);
    let end = (near(left + width) + MARGIN).min(width_all);
    decoder.set_crop(first as usize, (end - first) as usize);
    let [columns, rows] = read(&decoder, divisor, buffer)?;
    // The library begins at a block border and keeps the right edge.
    let first = end - columns.min(end);
    let left = near(left) - first;
    let top = near(top).min(rows - 1);
    let width = near(width).clamp(1, columns - left);
    let height = near(height).clamp(1, rows - top);
    Ok(([columns, rows], Rect { left, top, width, height }))
}

/// By how much an image can be scaled down while it is decoded: 1, 2, 4 or 8.
fn divisor(crop: Rect, at_least: [u32; 2]) -> u32 {
    let leaves_enough = |d: &u32| crop.width / d >= GAP * at_least[0] && crop.height / d >= GAP * at_least[1];
    [8, 4, 2].into_iter().find(leaves_enough).unwrap_or(1)
}

fn decoder(bytes: &[u8]) -> Result<Decoder<'_>, DecodeError> {
    // Sizes are limited by the memory that they take.
    let limits = DecodeLimits {
        max_width: usize::from(u16::MAX),
        max_height: usize::from(u16::MAX),
        max_pixels: u64::MAX,
        max_scans: MAX_SCANS,
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(fail)?;
    let frame = decoder.header();
    if frame.width == 0 || frame.height == 0 {
        return Err(DecodeError::Layout { layout: format!("{}x{} pixels", frame.width, frame.height) });
    }
    check_sampling(&frame.components)?;
    decoder.set_output_format(PixelFormat::Rgb);
    Ok(decoder)
}

/// Refuses four components unless the first and the last are sampled most finely and the other two are sampled alike.
///
/// No encoder writes other files. The library takes this for granted, and panics or mixes up pixels otherwise.
fn check_sampling(components: &[ComponentInfo]) -> Result<(), DecodeError> {
    let sampling = |c: &ComponentInfo| (c.horizontal_sampling, c.vertical_sampling);
    let [first, second, third, last] = components else { return Ok(()) };
    let (fine, coarse) = (sampling(first), sampling(second));
    let divides = |coarse: u8, fine: u8| coarse > 0 && fine.is_multiple_of(coarse);
    if sampling(last) == fine
        && sampling(third) == coarse
        && divides(coarse.0, fine.0)
        && divides(coarse.1, fine.1)
    {
        return Ok(());
    }
    let all: Vec<_> =
        components.iter().map(|c| format!("{}x{}", c.horizontal_sampling, c.vertical_sampling)).collect();
    Err(DecodeError::Layout { layout: format!("four components sampled {}", all.join(", ")) })
}

/// Decodes into the buffer, which is reused from image to image and only grows.
fn read(decoder: &Decoder<'_>, divisor: u32, buffer: &mut Vec<u8>) -> Result<[u32; 2], DecodeError> {
    let frame = decoder.header();
    let stored = [frame.width.into(), frame.height.into()];
    // Before the library is asked for its size: it refuses what does not fit into the address space.
    memory::check(stored, 0)?;
    let size = decoder.output_buffer_size().map_err(fail)?;
    memory::check(stored, needed(frame, divisor, size as u64))?;
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let info = decoder.decode_image_into(&mut buffer[..size]).map_err(fail)?;
    let n_bytes = 3 * info.width * info.height;
    if n_bytes == 0 || n_bytes > size {
        return Err(DecodeError::Layout { layout: format!("{}x{} pixels", info.width, info.height) });
    }
    Ok([info.width as u32, info.height as u32])
}

/// Bytes that the library allocates for a frame, including those of the decoded image.
fn needed(frame: &FrameHeader, divisor: u32, output: u64) -> u64 {
    let area = |c: &ComponentInfo| u64::from(c.horizontal_sampling) * u64::from(c.vertical_sampling);
    let most = |side: fn(&ComponentInfo) -> u8| frame.components.iter().map(side).max().unwrap_or(1);
    let finest = u64::from(most(|c| c.horizontal_sampling)) * u64::from(most(|c| c.vertical_sampling));
    // A plane of samples for each component: one and a half for each pixel of a photograph.
    let samples = |[width, height]: [u32; 2]| {
        let sum: u64 = frame.components.iter().map(area).sum();
        (u64::from(width) * u64::from(height)).saturating_mul(sum) / finest.max(1)
    };
    let stored = [u32::from(frame.width), u32::from(frame.height)];
    let planes = samples(stored.map(|side| side.div_ceil(divisor)));
    // Of a progressive image all coefficients are kept, two bytes each, whatever the scale.
    let coefficients = if frame.is_progressive { 2 * samples(stored) } else { 0 };
    // Rare kinds are decoded to an image of their own first, of up to two bytes a sample, and never scaled.
    let is_rare = frame.precision != 8 || frame.is_lossless || frame.components.len() == 4;
    let staged = if is_rare { 2 * output + 2 * samples(stored) } else { 0 };
    output + planes + coefficients + staged
}

fn fail(source: JpegError) -> DecodeError {
    DecodeError::Jpeg { source }
}

#[cfg(test)]
mod tests;
