//! COCO ground truth: `instances.json` with images, categories and annotations.
//!
//! Separate because this is what training and evaluation start from.
//! Invariant: every annotation belongs to an image and a category that exist, and its box is finite and has an area.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use mutualnet_core::text::decoded;
use serde::Deserialize;

use super::lenient::{Number, Numbers, Segmentation, Text, Whole, parse};
use super::{Fault, Problem, Subject, shape};
use crate::{Error, Extent, Result, Rle, RleFault};

/// The longest side of an image, in pixels, as in JPEG.
const MAX_SIDE: f64 = 65535.0;
/// How far a box may leave its image before that is told, in pixels; COCO's own boxes are rounded.
const TOLERATED: f64 = 1.0;

/// Ground truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Instances {
    images: Vec<ImageInfo>,
    categories: Vec<Category>,
    /// By image, and within an image as in the file.
    annotations: Vec<Annotation>,
    /// For every image, where its annotations begin and end.
    of_image: Vec<Range<usize>>,
    problems: Vec<Problem>,
}

/// What a file says about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its id in the file.
    pub id: i64,
    /// Its path, relative to the directory of the images.
    pub file_name: String,
    /// Its size in pixels.
    pub extent: Extent,
}

/// A class of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its id in the file; ids may have gaps.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// One object, or a crowd of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Its id in the file.
    pub id: i64,
    /// Index of its image.
    pub image: usize,
    /// Index of its category.
    pub category: usize,
    /// Left, top, width and height of its box, in pixels.
    pub bounds: [f64; 4],
    /// Its area in pixels as the file says, by which objects are small, medium or large.
    pub area: f64,
    /// Whether it is a region with many objects, which are not told apart.
    pub is_crowd: bool,
    /// Its outline, if the file has one.
    pub shape: Option<Shape>,
}

/// How the outline of an object is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Polygons that belong to it together: `[x, y]` of every corner, in pixels.
    Polygons(Vec<Vec<[f64; 2]>>),
    /// A mask of the image's size.
    Runs(Rle),
}

impl Shape {
    /// The pixels inside.
    ///
    /// # Errors
    /// A polygon has too many corners to be drawn.
    pub fn mask(&self, extent: Extent) -> Result<Rle, RleFault> {
        match self {
            Self::Runs(mask) => Ok(mask.clone()),
            Self::Polygons(polygons) => {
                let mut masks = polygons.iter().map(|corners| Rle::from_polygon(extent, corners));
                let first = masks.next().unwrap_or_else(|| Rle::empty(extent))?;
                masks.try_fold(first, |union, mask| {
                    Ok(Rle::union([&union, &mask?]).expect("both masks have the image's size"))
                })
            }
        }
    }
}

#[derive(Deserialize)]
struct RawFile {
    images: Option<Vec<RawImage>>,
    annotations: Option<Vec<RawAnnotation>>,
    categories: Option<Vec<RawCategory>>,
}

#[derive(Deserialize)]
struct RawImage {
    #[serde(default)]
    id: Whole,
    #[serde(default)]
    file_name: Text,
    #[serde(default = "no_number")]
    height: Number,
    #[serde(default = "no_number")]
    width: Number,
}

#[derive(Deserialize)]
struct RawCategory {
    #[serde(default)]
    id: Whole,
    #[serde(default)]
    name: Text,
}

#[derive(Deserialize)]
struct RawAnnotation {
    #[serde(default)]
    id: Whole,
    #[serde(default)]
    image_id: Whole,
    #[serde(default)]
    category_id: Whole,
    #[serde(default)]
    bbox: Numbers,
    #[serde(default = "no_number")]
    area: Number,
    #[serde(default = "no_number")]
    iscrowd: Number,
    segmentation: Option<Segmentation>,
}

fn no_number() -> Number {
    Number(f64::NAN)
}

impl Instances {
    /// Reads a file of ground truth.
    ///
    /// # Errors
    /// It cannot be read, or as for [`from_json`](Self::from_json).
    pub fn read(path: &Path) -> Result<Self> {
        let json = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::from_json(&decoded(json)).map_err(|error| error.in_file(path))
    }

    /// Ground truth from the content of a file.
    ///
    /// # Errors
    /// It is not a JSON object with the lists `images`, `annotations` and `categories`.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let what = "COCO instances";
        if json.trim_ascii_start().starts_with(b"[") {
            return Err(Error::List);
        }
        let raw: RawFile = parse(json).map_err(|source| Error::json(what, json, source))?;
        let missing = |key| Error::NoList { key };
        let mut reader = Reader::default();
        reader.add_images(raw.images.ok_or(missing("images"))?);
        reader.add_categories(raw.categories.ok_or(missing("categories"))?);
        reader.add_annotations(raw.annotations.ok_or(missing("annotations"))?);
        Ok(reader.finish())
    }

    /// The images, by their ids.
    pub fn images(&self) -> &[ImageInfo] {
        &self.images
    }

    /// The categories, by their ids.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// All annotations, image by image.
    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }

    /// The annotations of the image with an index, as they follow each other in the file.
    ///
    /// # Panics
    /// There is no such image.
    pub fn of_image(&self, image: usize) -> &[Annotation] {
        &self.annotations[self.of_image[image].clone()]
    }

    /// Everything that is wrong with the file, as far as it can be used all the same.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same images and categories with the annotations of some of the images only. The others count neither as found nor
    /// as missed.
    #[must_use]
    pub fn restricted(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let annotations: Vec<_> =
            self.annotations.iter().filter(|annotation| is_kept(annotation.image)).cloned().collect();
        let of_image = ranges(self.images.len(), &annotations);
        Self { annotations, of_image, ..self.clone() }
    }

    /// The same annotations with one category where several have the same name: that with the smallest id.
    #[must_use]
    pub fn with_each_name_once(mut self) -> Self {
        let mut categories: Vec<Category> = Vec::new();
        let merged = self.categories.into_iter().map(|category| {
            let known = categories.iter().position(|other| other.name == category.name);
            known.unwrap_or_else(|| {
                categories.push(category);
                categories.len() - 1
            })
        });
        let merged: Vec<_> = merged.collect();
        self.annotations.iter_mut().for_each(|annotation| annotation.category = merged[annotation.category]);
        Self { categories, ..self }
    }

    /// Whether there are boxes, and all are smaller than a pixel, as if their sides were shares of the image's.
    pub fn looks_normalized(&self) -> bool {
        let is_tiny = |annotation: &Annotation| annotation.bounds.iter().all(|side| *side <= 1.0);
        !self.annotations.is_empty() && self.annotations.iter().all(is_tiny)
    }

    /// How many boxes leave their image, if it is most of them, as if their last two numbers were the right and the lower side.
    pub fn looks_cornered(&self) -> Option<usize> {
        let leaves = |problem: &&Problem| matches!(problem.fault, Fault::BoxBeyond { .. });
        let n = self.problems.iter().filter(leaves).count();
        (2 * n > self.annotations.len()).then_some(n)
    }

    /// The images whose files are not below a directory.
    pub fn missing_files(&self, dir: &Path) -> Vec<Problem> {
        let missing = self.images.iter().filter(|image| !dir.join(&image.file_name).is_file());
        let problem = |image: &ImageInfo| Problem {
            subject: Subject::Image(image.id),
            fault: Fault::NoFile { file_name: image.file_name.clone() },
        };
        missing.map(problem).collect()
    }
}

/// Collects the parts of a file, and what is wrong with them.
#[derive(Default)]
struct Reader {
    images: Vec<ImageInfo>,
    image_of: HashMap<i64, usize>,
    categories: Vec<Category>,
    category_of: HashMap<i64, usize>,
    annotations: Vec<Annotation>,
    problems: Vec<Problem>,
}

impl Reader {
    fn tell(&mut self, subject: Subject, fault: Fault) {
        self.problems.push(Problem { subject, fault });
    }

    fn add_images(&mut self, raw: Vec<RawImage>) {
        let mut ids = HashSet::new();
        for (RawImage { id, file_name, height, width }, number) in raw.into_iter().zip(1..) {
            let Some(id) = id.0 else {
                self.tell(Subject::ImageNumber(number), Fault::NoId);
                continue;
            };
            let is_side = |side: Number| side.0.fract() == 0.0 && (1.0..=MAX_SIDE).contains(&side.0);
            let fault = if !ids.insert(id) {
                Fault::DuplicateId
            } else if !(is_side(height) && is_side(width)) {
                Fault::Sides { height: height.0, width: width.0 }
            } else if let Some(file_name) = file_name.0.filter(|name| !name.is_empty()) {
                let extent = Extent { height: height.0 as u32, width: width.0 as u32 };
                self.images.push(ImageInfo { id, file_name, extent });
                continue;
            } else {
                Fault::NoName { key: "file_name" }
            };
            self.tell(Subject::Image(id), fault);
        }
        self.images.sort_by_key(|image| image.id);
        self.image_of = self.images.iter().zip(0..).map(|(image, idx)| (image.id, idx)).collect();
    }

    fn add_categories(&mut self, raw: Vec<RawCategory>) {
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        for (RawCategory { id, name }, number) in raw.into_iter().zip(1..) {
            let Some(id) = id.0 else {
                self.tell(Subject::CategoryNumber(number), Fault::NoId);
                continue;
            };
            let subject = Subject::Category(id);
            if !ids.insert(id) {
                self.tell(subject, Fault::DuplicateId);
            } else if let Some(name) = name.0.filter(|name| !name.is_empty()) {
                if !names.insert(name.clone()) {
                    self.tell(subject, Fault::DuplicateName { name: name.clone() });
                }
                self.categories.push(Category { id, name });
            } else {
                self.tell(subject, Fault::NoName { key: "name" });
            }
        }
        self.categories.sort_by_key(|category| category.id);
        self.category_of =
            self.categories.iter().zip(0..).map(|(category, idx)| (category.id, idx)).collect();
    }

    fn add_annotations(&mut self, raw: Vec<RawAnnotation>) {
        let mut ids = HashSet::new();
        for (raw, number) in raw.into_iter().zip(1..) {
            let Some(id) = raw.id.0 else {
                self.tell(Subject::AnnotationNumber(number), Fault::NoId);
                continue;
            };
            let read = if ids.insert(id) { self.annotation(id, raw) } else { Err(Fault::DuplicateId) };
            match read {
                Ok(annotation) => self.annotations.push(annotation),
                Err(fault) => self.tell(Subject::Annotation(id), fault),
            }
        }
        self.annotations.sort_by_key(|annotation| annotation.image);
    }

    fn annotation(&mut self, id: i64, raw: RawAnnotation) -> Result<Annotation, Fault> {
        let find = |ids: &HashMap<i64, usize>, Whole(id)| ids.get(&id?).copied();
        let image = find(&self.image_of, raw.image_id).ok_or(Fault::UnknownImage { id: raw.image_id.0 })?;
        let category = find(&self.category_of, raw.category_id);
        let category = category.ok_or(Fault::UnknownCategory { id: raw.category_id.0 })?;
        let extent = self.images[image].extent;
        let bounds = <[f64; 4]>::try_from(raw.bbox.0).map_err(|_| Fault::NoBox)?;
        let problems = &mut self.problems;
        let mut tell = |fault| problems.push(Problem { subject: Subject::Annotation(id), fault });
        if let Some(fault) = check_box(bounds, extent)? {
            tell(fault);
        }
        let shape = raw.segmentation.and_then(|raw| shape::read(raw, extent, &mut tell));
        let area = if raw.area.0.is_finite() && raw.area.0 >= 0.0 {
            raw.area.0
        } else {
            tell(Fault::NoArea);
            bounds[2] * bounds[3]
        };
        let is_crowd = raw.iscrowd.0 != 0.0 && !raw.iscrowd.0.is_nan();
        Ok(Annotation { id, image, category, bounds, area, is_crowd, shape })
    }

    fn finish(mut self) -> Instances {
        let used: HashSet<_> = self.annotations.iter().map(|annotation| annotation.category).collect();
        let unused = self.categories.iter().enumerate().filter(|(idx, _)| !used.contains(idx));
        let unused: Vec<_> = unused.map(|(_, category)| Subject::Category(category.id)).collect();
        unused.into_iter().for_each(|subject| self.tell(subject, Fault::Unused));
        let of_image = ranges(self.images.len(), &self.annotations);
        let Self { images, categories, annotations, problems, .. } = self;
        Instances { images, categories, annotations, of_image, problems }
    }
}

/// For every image, where its annotations begin and end.
fn ranges(n_images: usize, annotations: &[Annotation]) -> Vec<Range<usize>> {
    let mut of_image = vec![0..0; n_images];
    for (idx, annotation) in annotations.iter().enumerate() {
        let range = &mut of_image[annotation.image];
        *range = if range.start == range.end { idx..idx + 1 } else { range.start..idx + 1 };
    }
    of_image
}

/// Whether a box can be used: if so, perhaps there is still something to tell.
///
/// `Reference:` pycocotools counts boxes that nothing can match, outside of the image or without an area, as objects that
/// were not found.
fn check_box([left, top, width, height]: [f64; 4], extent: Extent) -> Result<Option<Fault>, Fault> {
    let (right, bottom) = (left + width, top + height);
    let (columns, rows) = (f64::from(extent.width), f64::from(extent.height));
    if ![left, top, right, bottom].iter().all(|number| number.is_finite()) {
        return Err(Fault::BoxNotFinite);
    }
    if width <= 0.0 || height <= 0.0 {
        return Err(Fault::BoxEmpty { width, height });
    }
    if left >= columns || top >= rows || right <= 0.0 || bottom <= 0.0 {
        return Err(Fault::BoxOutside);
    }
    let by = (-left).max(-top).max(right - columns).max(bottom - rows);
    Ok((by > TOLERATED).then_some(Fault::BoxBeyond { by }))
}
