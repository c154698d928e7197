//! JPEG: the header by ourselves, the pixels by a library, and only those that are needed.
//!
//! Separate because knowing the size before decoding is what lets a crop be drawn first.
//! Invariant: a region has the pixels that the whole image has there, or it is an error; except where it is scaled.

use libjpeg_turbo_rs::common::types::ComponentInfo;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat, ScalingFactor};

use super::{MAX_PIXELS, check_size, guarded};
use crate::image::ImageRef;
use crate::resize::Rect;
use crate::{DecodeError, Image, orientation};

/// How a file begins.
pub(super) const MAGIC: [u8; 2] = [0xff, 0xd8];

/// Scans of a progressive file, at most: encoders make about ten, and every one passes over all the coefficients.
const MAX_SCANS: usize = 100;

/// How far a pixel can depend on others: chroma has at least every fourth one, and is interpolated between two.
const MARGIN: u32 = 8;

/// Where the end marker must be for a file to count as whole; cameras append a few bytes.
const TAIL: usize = 64;

/// How many times larger than asked for a scaled-down image stays at least, so that the filter that follows decides
/// what it looks like.
///
/// # Source
/// `[Pillow]` `Image.thumbnail`: `reducing_gap` 2.
const GAP: u32 = 2;

/// What the markers before the first scan say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: Option<u16>,
    /// Where the number of rows is written, when one scan holds them from the top to the bottom.
    rows_at: Option<usize>,
    /// Without an end marker a file may be cut short, which only decoding all of it can tell.
    is_whole: bool,
}

impl Header {
    /// Whether decoding a part of it gives the same pixels and finds the same faults as decoding all.
    ///
    /// An image that lies on its side is decoded whole and turned.
    pub(super) fn can_be_cut(&self) -> bool {
        self.is_whole && self.orientation.is_none_or(|orientation| orientation == 1)
    }
}

/// Reads the markers up to the first scan; nothing when they are not as usual, which the library may still understand.
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
    let (height, width) = (short(rows_at)?, short(rows_at + 2)?);
    let (in_frame, in_scan) = (bytes.get(rows_at + 4)?, bytes.get(at + 4)?);
    let one_scan = marker != 0xc2 && in_frame == in_scan;
    let is_whole = bytes[bytes.len().saturating_sub(TAIL)..].windows(2).any(|pair| pair == [0xff, 0xd9]);
    (width > 0 && height > 0).then_some(Header {
        width: width.into(),
        height: height.into(),
        orientation,
        rows_at: one_scan.then_some(rows_at),
        is_whole,
    })
}

/// Decodes all of an image in the memory of `pixels`, and sets it upright.
pub(super) fn whole(bytes: &[u8], mut pixels: Vec<u8>) -> Result<Image, DecodeError> {
    let decoder = decoder(bytes)?;
    let image = read(&decoder, &mut pixels)?;
    let (width, height) = (image.width(), image.height());
    pixels.truncate(3 * width as usize * height as usize);
    let image = Image::new(width, height, pixels);
    Ok(match decoder.exif_orientation() {
        Some(orientation) => orientation::apply(image, orientation.into()),
        None => image,
    })
}

/// Decodes the pixels of a rectangle, and some around it; scaled down where it is much larger than `at_least`.
///
/// Returns what was decoded and where in it the rectangle is.
/// Rows below are not even read, so damage there goes unnoticed.
pub(super) fn region<'b>(
    bytes: &mut [u8],
    header: &Header,
    crop: Rect,
    at_least: [u32; 2],
    buffer: &'b mut Vec<u8>,
) -> Result<(ImageRef<'b>, Rect), DecodeError> {
    let bottom = crop.top + crop.height + MARGIN * divisor(crop, at_least);
    let original = header.rows_at.map(|at| [bytes[at], bytes[at + 1]]);
    if let Some(at) = header.rows_at {
        let rows = bottom.min(header.height) as u16;
        bytes[at..at + 2].copy_from_slice(&rows.to_be_bytes());
    }
    let decoded =
        guarded(|| scaled_region(bytes, header, crop, at_least, buffer)).unwrap_or(Err(DecodeError::Panic));
    if let (Some(at), Some(original)) = (header.rows_at, original) {
        bytes[at..at + 2].copy_from_slice(&original);
    }
    decoded
}

fn scaled_region<'b>(
    bytes: &[u8],
    header: &Header,
    crop: Rect,
    at_least: [u32; 2],
    buffer: &'b mut Vec<u8>,
) -> Result<(ImageRef<'b>, Rect), DecodeError> {
    let mut decoder = decoder(bytes)?;
    let divisor = divisor(crop, at_least);
    if divisor > 1 {
        decoder.set_scale(ScalingFactor::try_new(1, divisor).map_err(fail)?);
    }
    let Rect { left, top, width, height } = crop;
    let scaled = |n: u32| n.div_ceil(divisor);
    let near = |n: u32| (n + divisor / 2) / divisor;
    let width_all = scaled(header.width);
    let first = near(left).saturating_sub(MARGIN);
    let end = (near(left + width) + MARGIN).min(width_all);
    decoder.set_crop(first as usize, (end - first) as usize);
    let image = read(&decoder, buffer)?;
    // The library begins at a block border and keeps the right edge.
    let first = end - image.width().min(end);
    let left = near(left) - first;
    let top = near(top).min(image.height() - 1);
    let width = near(width).clamp(1, image.width() - left);
    let height = near(height).clamp(1, image.height() - top);
    Ok((image, Rect { left, top, width, height }))
}

/// By how much an image can be scaled down while it is decoded: 1, 2, 4 or 8.
fn divisor(crop: Rect, at_least: [u32; 2]) -> u32 {
    let leaves_enough = |d: &u32| crop.width / d >= GAP * at_least[0] && crop.height / d >= GAP * at_least[1];
    [8, 4, 2].into_iter().find(leaves_enough).unwrap_or(1)
}

fn decoder(bytes: &[u8]) -> Result<Decoder<'_>, DecodeError> {
    let limits =
        DecodeLimits { max_pixels: MAX_PIXELS as u64, max_scans: MAX_SCANS, ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(fail)?;
    let frame = decoder.header();
    check_size(frame.width.into(), frame.height.into())?;
    if frame.width == 0 || frame.height == 0 {
        return Err(DecodeError::Layout { layout: format!("{}x{} pixels", frame.width, frame.height) });
    }
    check_sampling(&frame.components)?;
    decoder.set_output_format(PixelFormat::Rgb);
    Ok(decoder)
}

/// Refuses four components of which the first and the last are not the finest, or the other two not alike.
///
/// No encoder writes such files. The library takes it for granted, and panics or mixes up pixels otherwise.
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

/// Decodes into the buffer, which keeps its memory and its length from image to image if they are enough.
fn read<'b>(decoder: &Decoder<'_>, buffer: &'b mut Vec<u8>) -> Result<ImageRef<'b>, DecodeError> {
    let size = decoder.output_buffer_size().map_err(fail)?;
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let info = decoder.decode_image_into(&mut buffer[..size]).map_err(fail)?;
    let n_bytes = 3 * info.width * info.height;
    if n_bytes == 0 || n_bytes > size {
        return Err(DecodeError::Layout { layout: format!("{}x{} pixels", info.width, info.height) });
    }
    Ok(ImageRef::new(info.width as u32, info.height as u32, &buffer[..n_bytes]))
}

fn fail(source: JpegError) -> DecodeError {
    DecodeError::Jpeg { source }
}

#[cfg(test)]
mod tests;
