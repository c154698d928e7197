//! The `shapes` data set: generated, labelled JPEG files, made to need both width and resolution.
//!
//! A class is an outline times a texture: the outline asks for shape, the texture (stripes and checkers a few pixels
//! wide) for fine detail that low resolutions lose; clutter, decoys, color, scale and rotation ask for channels.
//! Invariant: the same seed gives the same bytes on every machine: only exactly rounded arithmetic is used, no
//! functions of the C library, and every image has its own random stream.

use std::fs;
use std::path::Path;

use mutualnet_core::rng::{Key, Purpose};
use rayon::prelude::*;
use serde::Serialize;

use mutualnet_image::{Image, encode_jpeg};

use crate::{Error, Result, Split};

pub(crate) mod geometry;
pub(crate) mod render;
pub(crate) mod scene;

use geometry::Outline;
use scene::{Scene, Texture};

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ShapesSpec {
    /// Seed of all images.
    pub seed: u64,
    /// Images of the training split.
    pub train: usize,
    /// Images of the test split.
    pub test: usize,
    /// Side of the images, in pixels; textures scale with it.
    pub side: u32,
}

const QUALITY: u8 = 90;
/// File in the data set that says how it was made.
pub(crate) const FILE: &str = "shapes.json";

/// Largest side that is generated.
const MAX_SIDE: u32 = 2048;

/// Names of the classes, e.g. `striped_circle`.
pub fn class_names() -> Vec<String> {
    classes().map(|(outline, texture)| format!("{}_{}", texture.adjective(), outline.noun())).collect()
}

fn classes() -> impl Iterator<Item = (Outline, Texture)> {
    Outline::ALL.into_iter().flat_map(|outline| Texture::ALL.map(|texture| (outline, texture)))
}

/// Writes the data set as an image folder with `train` and `test`, and a `shapes.json` that says how it was made.
///
/// Classes are equally large, to within one image.
///
/// # Errors
/// The side is not from 16 to 2048, a split has fewer images than there are classes, the directory is not empty, or it
/// cannot be written.
pub fn generate(dir: &Path, spec: &ShapesSpec) -> Result<()> {
    check(dir, spec)?;
    for (split, n) in [(Split::Train, spec.train), (Split::Test, spec.test)] {
        let root = dir.join(split.folder());
        for class in class_names() {
            write_with(&root.join(class), |path| fs::create_dir_all(path))?;
        }
        (0..n).into_par_iter().try_for_each(|i| write_image(&root, spec, split, i))?;
    }
    let json = serde_json::json!({ "generator": "shapes", "version": 1, "quality": QUALITY, "spec": spec });
    write_with(&dir.join(FILE), |path| fs::write(path, format!("{json:#}\n")))
}

fn check(dir: &Path, spec: &ShapesSpec) -> Result<()> {
    let n_classes = classes().count();
    let wrong = |setting, reason: String| Err(Error::Setting { setting, reason });
    match *spec {
        ShapesSpec { side, .. } if !(16..=MAX_SIDE).contains(&side) => {
            return wrong("side", format!("{side} is not from 16 to {MAX_SIDE}"));
        }
        ShapesSpec { train, .. } if train < n_classes => {
            return wrong("train", format!("{train} images are fewer than the {n_classes} classes"));
        }
        ShapesSpec { test, .. } if test < n_classes => {
            return wrong("test", format!("{test} images are fewer than the {n_classes} classes"));
        }
        _ => {}
    }
    check_empty(dir)
}

/// Refuses a directory that holds something.
pub(crate) fn check_empty(dir: &Path) -> Result<()> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::NotEmpty { path: dir.to_owned() });
    }
    Ok(())
}

fn write_image(root: &Path, spec: &ShapesSpec, split: Split, i: usize) -> Result<()> {
    let n_classes = classes().count();
    let path = root.join(&class_names()[i % n_classes]).join(format!("{:05}.jpg", i / n_classes));
    write_with(&path, |path| fs::write(path, encode_jpeg(&image(spec, split, i), QUALITY)))
}

/// Image number `i` of a split; its class is `i` modulo the number of classes.
pub fn image(spec: &ShapesSpec, split: Split, i: usize) -> Image {
    let (outline, texture) = classes().nth(i % classes().count()).expect("a remainder is a class");
    let key = Key::new(spec.seed, Purpose::Generate).epoch(split as u32).sample(i as u64);
    let mut rng = key.stream();
    let scene = Scene::draw(outline, texture, &mut rng);
    render::render(&scene, spec.side, &mut rng)
}

/// Writes a file or makes a directory; an error names it.
pub(crate) fn write_with(path: &Path, write: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
    write(path).map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Dataset;

    const SPEC: ShapesSpec = ShapesSpec { seed: 1, train: 30, test: 12, side: 32 };

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_balanced_classes() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        generate(a.path(), &SPEC).unwrap();
        generate(b.path(), &SPEC).unwrap();
        let train = Dataset::open_split(a.path(), Split::Train).unwrap();
        let mut names = class_names();
        names.sort();
        assert_eq!(train.classes(), names);
        assert!(names.len() >= 10);
        for class in 0..names.len() as u32 {
            assert!((2..=3).contains(&train.class_range(class).len()));
        }
        for sample in train.samples() {
            let read = |dir: &Path| fs::read(dir.join("train").join(sample.place.name())).unwrap();
            assert_eq!(read(a.path()), read(b.path()), "{}", sample.place.name().display());
        }
        let error = generate(a.path(), &SPEC).unwrap_err();
        assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    }

    /// Fails when the pictures change, on this or on another machine: results would no longer compare.
    #[test]
    fn the_pictures_are_these() {
        let images: Vec<u8> =
            (0..24).flat_map(|i| encode_jpeg(&image(&SPEC, Split::Train, i), QUALITY)).collect();
        assert_eq!(fnv(&images), 0xb9d6_462a_5a14_4f55, "{:#x}", fnv(&images));
    }

    /// A hash of what is generated.
    pub(crate) fn fnv(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
    }

    #[test]
    fn seeds_splits_and_numbers_make_different_images() {
        let base = image(&SPEC, Split::Train, 0);
        assert_eq!(base, image(&SPEC, Split::Train, 0));
        assert_ne!(base, image(&SPEC, Split::Test, 0));
        assert_ne!(base, image(&SPEC, Split::Train, 12));
        assert_ne!(base, image(&ShapesSpec { seed: 2, ..SPEC }, Split::Train, 0));
        assert_eq!(image(&ShapesSpec { side: 96, ..SPEC }, Split::Train, 0).width(), 96);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |spec| generate(dir.path(), &spec).unwrap_err().to_string();
        assert_eq!(error(ShapesSpec { side: 8, ..SPEC }), "side: 8 is not from 16 to 2048");
        assert_eq!(error(ShapesSpec { test: 3, ..SPEC }), "test: 3 images are fewer than the 12 classes");
    }
}
