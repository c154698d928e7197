//! Reads the mask of an image and checks that it can be the mask of that image.
//!
//! Separate because loading and checking a data set refuse the same masks for the same reasons.
//! Invariant: a mask that is returned has the size of its image, and no number but those of classes and [`IGNORE`].

use std::io::ErrorKind;
use std::path::Path;

use mutualnet_image::decode::{open_file, read_file};
use mutualnet_image::{DecodeError, Mask};

use crate::{IGNORE, MaskFault, SampleError};

/// What a mask must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Columns and rows of its image, upright.
    pub(crate) size: [u32; 2],
    /// How many classes there are.
    pub(crate) classes: usize,
}

/// Reads a mask whose path is relative to the data set's directory; the memory of `buffer` is reused.
///
/// # Errors
/// [`SampleError::Mask`] with the path and the reason.
pub(crate) fn read(
    dir: &Path,
    path: &Path,
    wanted: Wanted,
    buffer: &mut Vec<u8>,
) -> Result<Mask, SampleError> {
    let mask = open_file(&dir.join(path)).and_then(|file| {
        read_file(file, buffer)?;
        Mask::decode(buffer)
    });
    let fault = |source| SampleError::Mask { path: path.to_owned(), source };
    let mask = mask.map_err(|error| fault(of_file(error)))?;
    check(&mask, wanted).map_err(fault)?;
    Ok(mask)
}

fn of_file(error: DecodeError) -> MaskFault {
    match error {
        DecodeError::Read { source } if source.kind() == ErrorKind::NotFound => MaskFault::Missing,
        error => MaskFault::Image(error),
    }
}

fn check(mask: &Mask, Wanted { size, classes }: Wanted) -> Result<(), MaskFault> {
    if mask.size() != size {
        return Err(MaskFault::Size { mask: mask.size(), image: size });
    }
    let is_none = |&value: &u8| usize::from(value) >= classes && value != IGNORE;
    match mask.numbers().iter().copied().find(is_none) {
        Some(value) => Err(MaskFault::Value { value, classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mutualnet_image::encode_palette_png;

    use super::*;

    #[test]
    fn what_a_mask_cannot_be_is_named_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted { size: [3, 2], classes: 5 };
        let told = |bytes: Option<&[u8]>, wanted| {
            let path = dir.path().join("m.png");
            match bytes {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap_or_default(),
            }
            let read = read(dir.path(), Path::new("m.png"), wanted, &mut Vec::new());
            read.map(|mask| mask.numbers().to_vec()).map_err(|error| error.to_string())
        };
        let whole = encode_palette_png(&[0, 1, 2, 255, 4, 3], [2, 3], &[[7; 3]; 256]);
        assert_eq!(told(Some(&whole), wanted), Ok(vec![0, 1, 2, 255, 4, 3]));
        let fails = |bytes, wanted, says: &str| assert_eq!(told(bytes, wanted), Err(says.to_owned()));
        fails(None, wanted, "mask m.png: there is no such file");
        let fewer = Wanted { classes: 3, ..wanted };
        fails(Some(&whole), fewer, "mask m.png: has the value 4, but classes have 0 to 2 (255 is no class)");
        let turned = Wanted { size: [2, 3], ..wanted };
        fails(Some(&whole), turned, "mask m.png: 3x2 pixels, but the image has 2x3");
        fails(Some(b""), wanted, "mask m.png: the file is empty");
    }
}
