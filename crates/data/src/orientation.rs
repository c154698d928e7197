//! EXIF orientation: which way is up in a photograph from a phone.
//!
//! Only the one tag is read, with every offset checked; anything odd means "as stored".

use crate::Image;

const TAG_ORIENTATION: u16 = 0x0112;
const TYPE_SHORT: u16 = 3;

/// Reads the orientation (1–8) from an EXIF block, with or without its `Exif\0\0` prefix.
pub(crate) fn from_exif(exif: &[u8]) -> Option<u16> {
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

/// Turns and mirrors an image so that it stands upright.
pub(crate) fn apply(image: Image, orientation: u16) -> Image {
    let (w, h) = (image.width(), image.height());
    let turned = orientation >= 5;
    let (width, height) = if turned { (h, w) } else { (w, h) };
    // Where the pixel of the upright image at (x, y) is stored.
    let stored: fn(u32, u32, u32, u32) -> (u32, u32) = match orientation {
        2 => |x, y, w, _| (w - 1 - x, y),
        3 => |x, y, w, h| (w - 1 - x, h - 1 - y),
        4 => |x, y, _, h| (x, h - 1 - y),
        5 => |x, y, _, _| (y, x),
        6 => |x, y, _, h| (y, h - 1 - x),
        7 => |x, y, w, h| (w - 1 - y, h - 1 - x),
        8 => |x, y, w, _| (w - 1 - y, x),
        _ => return image,
    };
    let mut pixels = Vec::with_capacity(image.pixels().len());
    for y in 0..height {
        for x in 0..width {
            let (sx, sy) = stored(x, y, w, h);
            pixels.extend(image.pixel(sx, sy));
        }
    }
    Image::new(width, height, pixels)
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
    fn every_orientation_brings_its_corner_to_the_top_left() {
        // Stored as  a b c
        //            d e f
        let image = Image::new(3, 2, (b'a'..=b'f').flat_map(|c| [c; 3]).collect());
        let upright = |orientation| {
            let image = apply(image.clone(), orientation);
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
