//! The files that `predict` writes: answers drawn over their images, and masks.
//!
//! Invariant: nothing overwrites an image that was read, or a file that was written for another image.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mutualnet_bundle::write_atomically;
use mutualnet_image::{decode, encode_palette_png, encode_png};
use mutualnet_predict::Prediction;

use super::super::open::is_same_file;
use crate::failure::with_hint;
use crate::text;

/// Where pictures and masks go.
pub(super) struct Pictures {
    save: Option<PathBuf>,
    mask: Option<PathBuf>,
    /// Whether these are directories.
    are_many: bool,
    /// Files that were written, and the images themselves.
    taken: HashSet<PathBuf>,
}

impl Pictures {
    /// For one image these are the files to write, for several the directories.
    pub(super) fn new(save: Option<&Path>, mask: Option<&Path>, images: &[&Path]) -> Result<Self> {
        let named = [("--save", save), ("--mask", mask)];
        let named = named.into_iter().filter_map(|(flag, path)| Some((flag, path?)));
        let are_many = images.len() > 1 || named.clone().any(|(_, path)| path.is_dir());
        if save.is_some() && save == mask {
            let hint = "give each of them a name of its own".to_owned();
            return Err(with_hint("--save and --mask have the same name".to_owned(), hint));
        }
        for (flag, path) in named {
            if are_many && !path.is_dir() && has_extension(path) {
                let hint = "for several images, give the name of a directory".to_owned();
                return Err(with_hint(format!("{flag} names a single file: {}", path.display()), hint));
            }
            if are_many {
                std::fs::create_dir_all(path).with_context(|| {
                    format!("cannot make the directory {} for the pictures of several images", path.display())
                })?;
            } else if !has_extension(path) {
                let hint = "choose a name that ends in .png".to_owned();
                return Err(with_hint(format!("{flag} writes a PNG file: {}", path.display()), hint));
            } else if images.iter().any(|image| is_same_file(image, path)) {
                let hint = "choose another name".to_owned();
                return Err(with_hint(
                    format!("{flag} would overwrite the image itself: {}", path.display()),
                    hint,
                ));
            }
        }
        let taken = images.iter().filter_map(|image| image.canonicalize().ok()).collect();
        let (save, mask) = (save.map(Path::to_owned), mask.map(Path::to_owned));
        Ok(Self { save, mask, are_many, taken })
    }

    /// Writes what was asked for of one image.
    pub(super) fn write(&mut self, image: &Path, prediction: &dyn Prediction) -> Result<()> {
        if self.save.is_none() && self.mask.is_none() {
            return Ok(());
        }
        let picture = decode::decode_file(image)?;
        if let Some(target) = self.save.clone() {
            let drawn = prediction.picture(&picture).ok_or_else(nothing_to_draw)?;
            self.write_to(("picture", &target), image, &encode_png(&drawn))?;
        }
        if let Some(target) = self.mask.clone() {
            let size = [picture.height(), picture.width()];
            let (mask, palette) = prediction.mask(size).ok_or_else(no_mask)?;
            // Pixels that were not seen have a color too: the last one of a full palette.
            let unseen = std::iter::repeat_n([224, 224, 192], 256 - palette.len());
            let palette: Vec<_> = palette.into_iter().chain(unseen).collect();
            self.write_to(("mask", &target), image, &encode_palette_png(&mask, size, &palette))?;
        }
        Ok(())
    }

    fn write_to(&mut self, (what, target): (&str, &Path), image: &Path, bytes: &[u8]) -> Result<()> {
        let path = if self.are_many { self.unused(target, image) } else { target.to_owned() };
        write_atomically(&path, bytes)?;
        text::note(&format!("{what} of {}: {}", image.display(), path.display()));
        Ok(())
    }

    /// A file in a directory, named like the image; images of the same name in different folders get numbers.
    fn unused(&mut self, dir: &Path, image: &Path) -> PathBuf {
        let stem = image.file_stem().unwrap_or(image.as_os_str()).to_string_lossy();
        let numbered = (1..).map(|n| if n == 1 { format!("{stem}.png") } else { format!("{stem}-{n}.png") });
        let mut paths = numbered.map(|name| dir.join(name));
        // A file that was written is known by the name that it was given, an image by where it really is.
        let is_taken = |path: &PathBuf| {
            self.taken.contains(path) || path.canonicalize().is_ok_and(|path| self.taken.contains(&path))
        };
        let path = paths.find(|path| !is_taken(path)).expect("there are always more numbers");
        self.taken.insert(path.clone());
        path
    }
}

/// Whether a name is that of a PNG file.
fn has_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
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
        let mut pictures = Pictures::new(None, None, &[]).unwrap();
        let mut name = |image: &str| {
            let path = pictures.unused(Path::new("out"), Path::new(image));
            path.to_str().unwrap().to_owned()
        };
        assert_eq!(["a/x.jpg", "b/x.png", "y.jpg"].map(&mut name), ["out/x.png", "out/x-2.png", "out/y.png"]);
    }

    #[test]
    fn images_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let [photo, other] = ["photo.png", "photo.jpg"].map(|name| dir.path().join(name));
        std::fs::write(&photo, "a photo").unwrap();
        let images = [photo.as_path(), &other];
        let mut pictures = Pictures::new(Some(dir.path()), None, &images).unwrap();
        let written = images.map(|image| pictures.unused(dir.path(), image));
        assert_eq!(written, ["photo-2.png", "photo-3.png"].map(|name| dir.path().join(name)));

        let refused = |save: &Path, mask: Option<&Path>| {
            let error = Pictures::new(Some(save), mask, &images[..1]).map(|_| ()).unwrap_err();
            error.to_string().split(':').next().unwrap().to_owned()
        };
        let of_both = Pictures::new(Some(&dir.path().join("drawn.png")), None, &images).map(|_| ());
        assert!(of_both.unwrap_err().to_string().starts_with("--save names a single file: "));
        let inside = dir.path().join(".").join("photo.png");
        assert_eq!(refused(&inside, None), "--save would overwrite the image itself");
        assert_eq!(refused(&other, None), "--save writes a PNG file");
        let drawn = dir.path().join("drawn.png");
        assert_eq!(refused(&drawn, Some(&drawn)), "--save and --mask have the same name");
    }
}
