//! EXIF orientation: which way is up in a photograph from a phone.
//!
//! Separate because every format has the same EXIF block.
//! Invariant: every offset is checked, and a damaged block means that the image is used as it is stored.

use crate::Image;
use crate::image::ImageRef;
use crate::resize::Rect;

const TAG_ORIENTATION: u16 = 0x0112;
const TYPE_SHORT: u16 = 3;

/// Reads the orientation (1–8) from an EXIF block, with or without its `Exif\0\0` prefix.
pub fn from_exif(exif: &[u8]) -> Option<u16> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let big_endian = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let directory_at = {
        let bytes: [u8; 4] = tiff.get(4..8)?.try_into().ok()?;
        (if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }) as usize
    };
    let entries = usize::from(short(directory_at)?);
    (0..entries)
        .map_while(|i| directory_at.checked_add(2 + 12 * i))
        .find(|&at| short(at) == Some(TAG_ORIENTATION) && short(at + 2) == Some(TYPE_SHORT))
        .and_then(|at| short(at + 8))
        .filter(|orientation| (1..=8).contains(orientation))
}

/// Maps (x, y) of the upright image to its position in the stored one, whose width and height come last.
type Stored = fn(u32, u32, u32, u32) -> (u32, u32);

fn stored(orientation: u16) -> Stored {
    match orientation {
        2 => |x, y, w, _| (w - 1 - x, y),
        3 => |x, y, w, h| (w - 1 - x, h - 1 - y),
        4 => |x, y, _, h| (x, h - 1 - y),
        5 => |x, y, _, _| (y, x),
        6 => |x, y, _, h| (y, h - 1 - x),
        7 => |x, y, w, h| (w - 1 - y, h - 1 - x),
        8 => |x, y, w, _| (w - 1 - y, x),
        _ => |x, y, _, _| (x, y),
    }
}

/// Swaps width and height if the orientation is a quarter turn.
pub fn turned([width, height]: [u32; 2], orientation: u16) -> [u32; 2] {
    if orientation >= 5 { [height, width] } else { [width, height] }
}

/// Turns and mirrors an image so that it stands upright.
pub fn apply(image: ImageRef<'_>, orientation: u16) -> Image {
    let (w, h) = (image.width(), image.height());
    let [width, height] = turned([w, h], orientation);
    let stored = stored(orientation);
    let (from, _) = image.pixels().as_chunks::<3>();
    let mut pixels = Vec::with_capacity(image.pixels().len());
    for y in 0..height {
        pixels.extend((0..width).flat_map(|x| {
            let (x, y) = stored(x, y, w, h);
            from[y as usize * w as usize + x as usize]
        }));
    }
    Image::new(width, height, pixels)
}

/// Maps a rectangle of the upright image to the stored one, whose width and height are given.
pub fn to_stored(rect: Rect, [w, h]: [u32; 2], orientation: u16) -> Rect {
    let stored = stored(orientation);
    let (x, y) = stored(rect.left, rect.top, w, h);
    let (end_x, end_y) = stored(rect.left + rect.width - 1, rect.top + rect.height - 1, w, h);
    let [width, height] = turned([rect.width, rect.height], orientation);
    Rect { left: x.min(end_x), top: y.min(end_y), width, height }
}

/// Maps a rectangle of the stored image, whose width and height are given, to the upright one.
pub fn to_upright(rect: Rect, size: [u32; 2], orientation: u16) -> Rect {
    // A quarter turn is undone by the opposite one, every other orientation by itself.
    let inverse = match orientation {
        6 => 8,
        8 => 6,
        other => other,
    };
    to_stored(rect, turned(size, orientation), inverse)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A little-endian EXIF block that says only the orientation.
    pub(crate) fn exif(orientation: u16) -> Vec<u8> {
        let mut block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        block.extend(orientation.to_le_bytes());
        block.extend([0; 6]);
        block
    }

    #[test]
    fn orientation_is_read_and_hostile_blocks_are_not() {
        assert_eq!(from_exif(&exif(6)), Some(6));
        assert_eq!(from_exif(&[b"Exif\0\0", exif(3).as_slice()].concat()), Some(3));
        assert_eq!(from_exif(&exif(9)), None);
        let whole = exif(6);
        for cut in 0..20 {
            assert_eq!(from_exif(&whole[..cut.min(19)]), None, "{cut}");
        }
        assert_eq!(from_exif(b"II*\0\xff\xff\xff\xff"), None);
        assert_eq!(from_exif(b"MM\0*\0\0\0\x08\xff\xff"), None);
    }

    #[test]
    fn rectangles_turn_with_the_image() {
        let image = Image::new(5, 4, (0..20).flat_map(|n| [n; 3]).collect());
        let content = |image: &Image, rect: Rect| -> Vec<u8> {
            let rows = rect.top..rect.top + rect.height;
            rows.flat_map(|y| (0..rect.width).map(move |x| image.pixel(rect.left + x, y)[0])).collect()
        };
        let sorted = |mut values: Vec<u8>| {
            values.sort_unstable();
            values
        };
        for orientation in 1..=8 {
            let upright = apply(image.view(), orientation);
            let rect = Rect { left: 1, top: 2, width: 3, height: 2 };
            let stored = to_stored(rect, [5, 4], orientation);
            assert_eq!(sorted(content(&upright, rect)), sorted(content(&image, stored)), "{orientation}");
            assert_eq!(to_upright(stored, [5, 4], orientation), rect, "{orientation}");
        }
    }

    #[test]
    fn every_orientation_brings_its_corner_to_the_top_left() {
        // Stored as  a b c
        //            d e f
        let image = Image::new(3, 2, (b'a'..=b'f').flat_map(|c| [c; 3]).collect());
        let upright = |orientation| {
            let image = apply(image.view(), orientation);
            let letters: String = image.pixels().chunks(3).map(|p| char::from(p[0])).collect();
            (image.width(), letters)
        };
        for (orientation, width, letters) in [
            (1, 3, "abcdef"),
            (2, 3, "cbafed"),
            (3, 3, "fedcba"),
            (4, 3, "defabc"),
            (5, 2, "adbecf"),
            (6, 2, "daebfc"),
            (7, 2, "fcebda"),
            (8, 2, "cfbead"),
        ] {
            assert_eq!(upright(orientation), (width, letters.to_owned()), "orientation {orientation}");
        }
    }
}
