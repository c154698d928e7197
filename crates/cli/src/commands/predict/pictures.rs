//! The files that `predict` writes: answers drawn over their images, and masks.
//!
//! Invariant: several images never overwrite each other's files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mutualnet_image::{decode, encode_palette_png, encode_png};
use mutualnet_predict::Prediction;

use crate::failure::with_hint;
use crate::text;

/// Where pictures and masks go.
pub(super) struct Pictures {
    save: Option<PathBuf>,
    mask: Option<PathBuf>,
    /// Whether these are directories.
    are_many: bool,
    written: HashSet<PathBuf>,
}

impl Pictures {
    /// For one image these are the files to write, for several the directories.
    pub(super) fn new(save: Option<&Path>, mask: Option<&Path>, n_images: usize) -> Result<Self> {
        let are_many = n_images > 1 || [save, mask].into_iter().flatten().any(Path::is_dir);
        for dir in [save, mask].into_iter().flatten().filter(|_| are_many) {
            std::fs::create_dir_all(dir).with_context(|| {
                format!("cannot make the directory {} for the pictures of several images", dir.display())
            })?;
        }
        let (save, mask) = (save.map(Path::to_owned), mask.map(Path::to_owned));
        Ok(Self { save, mask, are_many, written: HashSet::new() })
    }

    /// Writes what was asked for of one image.
    pub(super) fn write(&mut self, image: &Path, prediction: &dyn Prediction) -> Result<()> {
        if self.save.is_none() && self.mask.is_none() {
            return Ok(());
        }
        let picture = decode::decode_file(image)?;
        if let Some(target) = self.save.clone() {
            let drawn = prediction.picture(&picture).ok_or_else(nothing_to_draw)?;
            self.write_to(&target, image, &encode_png(&drawn))?;
        }
        if let Some(target) = self.mask.clone() {
            let size = [picture.height(), picture.width()];
            let (mask, palette) = prediction.mask(size).ok_or_else(no_mask)?;
            // Pixels that were not seen have a color too: the last one of a full palette.
            let unseen = std::iter::repeat_n([224, 224, 192], 256 - palette.len());
            let palette: Vec<_> = palette.into_iter().chain(unseen).collect();
            self.write_to(&target, image, &encode_palette_png(&mask, size, &palette))?;
        }
        Ok(())
    }

    fn write_to(&mut self, target: &Path, image: &Path, bytes: &[u8]) -> Result<()> {
        let path = if self.are_many { self.unused(target, image) } else { target.to_owned() };
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        text::note(&format!("picture: {}", path.display()));
        Ok(())
    }

    /// A file in a directory, named like the image; images of the same name in different folders get numbers.
    fn unused(&mut self, dir: &Path, image: &Path) -> PathBuf {
        let stem = image.file_stem().unwrap_or(image.as_os_str()).to_string_lossy();
        let numbered = (1..).map(|n| if n == 1 { format!("{stem}.png") } else { format!("{stem}-{n}.png") });
        let mut paths = numbered.map(|name| dir.join(name));
        let path = paths.find(|path| !self.written.contains(path)).expect("there are always more numbers");
        self.written.insert(path.clone());
        path
    }
}

/// The error for a network whose answers have no pictures.
pub(super) fn nothing_to_draw() -> anyhow::Error {
    with_hint(
        "this network gives a class per image, so there is nothing to draw".to_owned(),
        "--save and --mask need a network that segments images; --save also draws the boxes of one that detects objects"
            .to_owned(),
    )
}

/// The error for a network whose answers have no masks.
pub(super) fn no_mask() -> anyhow::Error {
    with_hint(
        "this network gives no class to pixels, so there is no mask to write".to_owned(),
        "--mask needs a network that segments images".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_name_get_files_of_their_own() {
        let mut pictures = Pictures::new(None, None, 2).unwrap();
        let mut name = |image: &str| {
            let path = pictures.unused(Path::new("out"), Path::new(image));
            path.to_str().unwrap().to_owned()
        };
        assert_eq!(["a/x.jpg", "b/x.png", "y.jpg"].map(&mut name), ["out/x.png", "out/x-2.png", "out/y.png"]);
    }
}
