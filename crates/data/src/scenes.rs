//! The `scenes` data set: generated pictures of several textured shapes that overlap, with masks, boxes and polygons.
//!
//! A class is an outline; the texture says nothing about it. Masks are for semantic segmentation, and the COCO file is for
//! detection and instance segmentation: both say the same.
//! Invariant: as for [`shapes`](crate::shapes), the same seed gives the same bytes on every machine.

use std::fs;
use std::path::Path;

use mutualnet_core::rng::{Key, Purpose};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use mutualnet_image::{Image, encode_jpeg, encode_palette_png};

use crate::shapes::geometry::Outline;
use crate::shapes::{check_empty, write_with};
use crate::{Error, Result, Split};

mod objects;
mod outline;

use objects::Picture;

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ScenesSpec {
    /// Seed of all pictures.
    pub seed: u64,
    /// Pictures of the training split.
    pub train: usize,
    /// Pictures of the test split.
    pub test: usize,
    /// Side of the pictures, in pixels.
    pub side: u32,
    /// Smallest diameter of an object, in pixels, before others cover it.
    pub min_object: u32,
}

const QUALITY: u8 = 90;

/// The class of what is not an object, and its number in a mask.
const BACKGROUND: &str = "background";

/// Colors of the classes in a mask, for people who look at it.
const PALETTE: [[u8; 3]; 5] = [[0, 0, 0], [230, 90, 60], [70, 150, 240], [90, 200, 90], [240, 200, 60]];

/// Names of the classes in the order of their numbers in a mask; 0 is the background.
pub fn class_names() -> Vec<&'static str> {
    std::iter::once(BACKGROUND).chain(Outline::ALL.map(Outline::noun)).collect()
}

/// One picture with what is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The picture.
    pub image: Image,
    /// Class of every pixel, `[side, side]`.
    pub mask: Vec<u8>,
    /// The objects, from back to front.
    pub objects: Vec<Instance>,
}

/// The visible part of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its class, a number of [`class_names`].
    pub class: u8,
    /// Number of its pixels.
    pub area: usize,
    /// Left, top, width and height, in pixels.
    pub bounds: [u32; 4],
    /// Outlines of its connected parts, in pixels: x and y of every corner.
    pub polygons: Vec<Vec<[u32; 2]>>,
}

/// Writes `images`, `masks` and `instances.json` (COCO) for the splits `train` and `test`, `classes.txt`, and a
/// `scenes.json` that says how all of it was made.
///
/// # Errors
/// A setting is out of its range, the directory is not empty, or it cannot be written.
pub fn generate(dir: &Path, spec: &ScenesSpec) -> Result<()> {
    check(dir, spec)?;
    for (split, n) in [(Split::Train, spec.train), (Split::Test, spec.test)] {
        let root = dir.join(split.folder());
        for folder in ["images", "masks"] {
            write_with(&root.join(folder), |path| fs::create_dir_all(path))?;
        }
        let scenes = (0..n).into_par_iter().map(|i| write_scene(&root, spec, split, i));
        let annotated = scenes.collect::<Result<Vec<_>>>()?;
        let coco = coco(&annotated, spec.side);
        write_with(&root.join("instances.json"), |path| fs::write(path, format!("{coco}\n")))?;
    }
    let classes = class_names().join("\n") + "\n";
    write_with(&dir.join("classes.txt"), |path| fs::write(path, &classes))?;
    let made = json!({ "generator": "scenes", "version": 1, "quality": QUALITY, "spec": spec });
    write_with(&dir.join("scenes.json"), |path| fs::write(path, format!("{made:#}\n")))
}

fn check(dir: &Path, spec: &ScenesSpec) -> Result<()> {
    let wrong = |setting, reason: String| Err(Error::Setting { setting, reason });
    match *spec {
        ScenesSpec { side, .. } if !(64..=2048).contains(&side) => {
            return wrong("side", format!("{side} is not from 64 to 2048"));
        }
        ScenesSpec { min_object, side, .. } if !(8..=side / 3).contains(&min_object) => {
            return wrong(
                "min_object",
                format!("{min_object} is not from 8 to {}, a third of the side", side / 3),
            );
        }
        ScenesSpec { train: 0, .. } => return wrong("train", "must be at least 1".to_owned()),
        ScenesSpec { test: 0, .. } => return wrong("test", "must be at least 1".to_owned()),
        _ => {}
    }
    check_empty(dir)
}

/// Picture number `i` of a split.
pub fn scene(spec: &ScenesSpec, split: Split, i: usize) -> Scene {
    let key = Key::new(spec.seed, Purpose::Generate).epoch(split as u32).sample(i as u64);
    let mut rng = key.stream();
    let picture = Picture::draw(spec, &mut rng);
    let objects: Vec<_> = picture.instances();
    let mut mask = vec![0; picture.owners.len()];
    for (class, owner) in mask.iter_mut().zip(&picture.owners) {
        *class = owner.map_or(0, |owner| objects[usize::from(owner)].class);
    }
    Scene { image: picture.render(spec.side, &mut rng), mask, objects }
}

fn write_scene(root: &Path, spec: &ScenesSpec, split: Split, i: usize) -> Result<Vec<Instance>> {
    let Scene { image, mask, objects } = scene(spec, split, i);
    let file = |folder: &str, ending: &str| root.join(folder).join(format!("{i:05}.{ending}"));
    write_with(&file("images", "jpg"), |path| fs::write(path, encode_jpeg(&image, QUALITY)))?;
    let mask = encode_palette_png(&mask, [spec.side; 2], &PALETTE);
    write_with(&file("masks", "png"), |path| fs::write(path, &mask))?;
    Ok(objects)
}

/// The objects of all pictures in COCO's format for instances. Ids count from 1.
fn coco(pictures: &[Vec<Instance>], side: u32) -> Value {
    let images = (0..pictures.len())
        .map(|i| json!({ "id": i + 1, "file_name": format!("{i:05}.jpg"), "width": side, "height": side }));
    let all =
        pictures.iter().enumerate().flat_map(|(i, objects)| objects.iter().map(move |object| (i, object)));
    let annotations = all.enumerate().map(|(id, (i, object))| {
        let Instance { class, area, bounds, polygons } = object;
        let polygons: Vec<_> = polygons.iter().map(|corners| corners.concat()).collect();
        json!({
            "id": id + 1, "image_id": i + 1, "category_id": class, "bbox": bounds, "area": area,
            "segmentation": polygons, "iscrowd": 0,
        })
    });
    let categories = class_names().into_iter().enumerate().skip(1);
    json!({
        "images": images.collect::<Vec<_>>(),
        "annotations": annotations.collect::<Vec<_>>(),
        "categories": categories.map(|(id, name)| json!({ "id": id, "name": name })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
