//! Objects that were found, as COCO's evaluation reads them.
//!
//! Separate because the ids of images and categories are in no bundle: they come from the ground truth.
//! Invariant: an entry has the ids of its image and of its class in that file, and no entry is made without them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mutualnet_detect::boxes::left_top_sides;
use mutualnet_detect::coco::{Instances, ResultEntry};
use serde_json::Value;

use crate::{Error, FoundObject, Result};

/// The ids of a ground truth.
#[derive(Debug)]
pub struct CocoIds {
    file: PathBuf,
    /// Images by the last parts of their paths, each with its path in the file.
    images: HashMap<String, Vec<(PathBuf, i64)>>,
    /// The category of every class; the background has none.
    categories: Vec<Option<i64>>,
}

impl CocoIds {
    /// The ids in a file with images and categories, for a network with these classes.
    ///
    /// # Errors
    /// It is no ground truth in COCO's format, or it has no category of a class.
    pub fn read(file: &Path, classes: &[String]) -> Result<Self> {
        let truth = Instances::read(file)?;
        let of_class = |class: &String| {
            let category = truth.categories().iter().find(|category| category.name == *class);
            let missing = || Error::NoCategory { class: class.clone(), path: file.to_owned() };
            Ok(Some(category.ok_or_else(missing)?.id))
        };
        let background = classes.first().map(|_| Ok(None));
        let categories = background.into_iter().chain(classes.iter().skip(1).map(of_class));
        let categories = categories.collect::<Result<_>>()?;
        let mut images: HashMap<_, Vec<_>> = HashMap::new();
        for image in truth.images() {
            let path = PathBuf::from(&image.file_name);
            images.entry(last_part(&path)).or_default().push((path, image.id));
        }
        Ok(Self { file: file.to_owned(), images, categories })
    }

    /// The id of an image: of the one whose path in the file is the end of this one.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn of_image(&self, path: &Path) -> Result<i64> {
        let named = self.images.get(&last_part(path)).map_or(&[][..], Vec::as_slice);
        match &named.iter().filter(|(name, _)| path.ends_with(name)).collect::<Vec<_>>()[..] {
            [(_, id)] => Ok(*id),
            _ => Err(Error::NoCocoImage { image: path.to_owned(), path: self.file.clone() }),
        }
    }

    /// The entries of an image in a results file.
    ///
    /// # Panics
    /// An object has a class that the network does not have.
    pub fn entries(&self, image_id: i64, objects: &[FoundObject]) -> Vec<Value> {
        let entry = |FoundObject { class, score, corners, mask }: &FoundObject| {
            let category_id = self.categories[*class]?;
            let entry = ResultEntry {
                image_id,
                category_id,
                bbox: left_top_sides(*corners).map(f64::from),
                score: f64::from(*score),
                segmentation: mask.clone(),
            };
            Some(serde_json::to_value(entry).expect("numbers and texts are JSON"))
        };
        objects.iter().filter_map(entry).collect()
    }
}

fn last_part(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use mutualnet_detect::evaluate::Compare;
    use mutualnet_detect::{Extent, Rle, coco::Detections};

    use super::*;

    fn classes() -> Vec<String> {
        ["background", "cat", "dog"].map(str::to_owned).to_vec()
    }

    const TRUTH: &str = r#"{"images": [
        {"id": 7, "file_name": "a/x.png", "height": 10, "width": 20},
        {"id": 9, "file_name": "b/x.png", "height": 10, "width": 20},
        {"id": 3, "file_name": "y.png", "height": 10, "width": 20}
    ], "annotations": [], "categories": [{"id": 40, "name": "dog"}, {"id": 90, "name": "cat"}]}"#;

    #[test]
    fn entries_are_read_as_they_were_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("instances.json");
        std::fs::write(&file, TRUTH).unwrap();
        let ids = CocoIds::read(&file, &classes()).unwrap();
        let mask = Rle::from_box(Extent { height: 10, width: 20 }, [2.0, 1.0, 6.0, 5.0]).unwrap();
        let object = |class, mask| FoundObject { class, score: 0.5, corners: [2.0, 1.0, 8.0, 6.0], mask };
        let objects = [object(2, Some(mask.clone())), object(1, None)];
        let image = ids.of_image(Path::new("/data/b/x.png")).unwrap();
        let json = serde_json::to_vec(&ids.entries(image, &objects)).unwrap();
        let truth = Instances::from_json(TRUTH.as_bytes()).unwrap();
        let read = Detections::from_json(&json, &truth, Compare::Masks).unwrap();
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        let found: Vec<_> = read.found.iter().map(|found| (truth.images()[found.image].id, found)).collect();
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [9, 9]);
        let names = read.found.iter().map(|found| &*truth.categories()[found.category].name);
        assert_eq!(names.collect::<Vec<_>>(), ["dog", "cat"]);
        assert_eq!((read.found[0].bounds, &read.found[0].mask), ([2.0, 1.0, 6.0, 5.0], &Some(mask)));
        assert_eq!(read.found[1].mask, None);
    }

    #[test]
    fn what_has_no_id_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("instances.json");
        std::fs::write(&file, TRUTH).unwrap();
        let ids = CocoIds::read(&file, &classes()).unwrap();
        for path in ["x.png", "c/x.png", "z.png", ".."] {
            assert!(matches!(ids.of_image(Path::new(path)), Err(Error::NoCocoImage { .. })), "{path}");
        }
        assert_eq!(ids.of_image(Path::new("y.png")).unwrap(), 3);
        let other = CocoIds::read(&file, &[classes(), vec!["owl".to_owned()]].concat()).unwrap_err();
        assert!(other.to_string().contains("owl") && other.hint().is_some(), "{other}");
    }
}
