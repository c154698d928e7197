//! COCO results: a list of what a detector found, with boxes, masks or both.
//!
//! Separate because a results file makes sense only together with the ground truth whose ids it uses.
//! Invariant: every detection belongs to an image and a category of that ground truth, and its score is finite.

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

use super::lenient::{Number, Numbers, Segmentation, Whole, parse_list};
use super::{Fault, Instances, Problem, Subject, shape};
use crate::evaluate::Compare;
use crate::{Error, Result, Rle};

/// One object that a detector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Index of its image in the ground truth.
    pub image: usize,
    /// Index of its category in the ground truth.
    pub category: usize,
    /// How sure the detector is; only the order counts.
    pub score: f64,
    /// Left, top, width and height of its box, in pixels.
    pub bounds: [f64; 4],
    /// Its area in pixels, by which a detection that is not matched is small, medium or large.
    pub area: f64,
    /// Its mask, of the image's size.
    pub mask: Option<Rle>,
}

/// What a detector found in all images.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detections {
    /// The detections, as they follow each other in the file.
    pub found: Vec<Detection>,
    /// What is wrong with others, which are left out.
    pub problems: Vec<Problem>,
}

/// One entry of a results file, to be written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultEntry {
    /// Id of the image.
    pub image_id: i64,
    /// Id of the category.
    pub category_id: i64,
    /// Left, top, width and height, in pixels.
    pub bbox: [f64; 4],
    /// How sure the detector is.
    pub score: f64,
    /// The mask, as compressed runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<Rle>,
}

/// As COCO writes it: `{"size": [height, width], "counts": "…"}`.
impl Serialize for Rle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written {
            size: [u32; 2],
            counts: String,
        }
        let size = [self.extent().height, self.extent().width];
        Written { size, counts: self.to_text() }.serialize(serializer)
    }
}

#[derive(Deserialize)]
struct RawDetection {
    #[serde(default)]
    image_id: Whole,
    #[serde(default)]
    category_id: Whole,
    bbox: Option<Numbers>,
    score: Option<Number>,
    segmentation: Option<Segmentation>,
}

impl Detections {
    /// Reads a results file.
    ///
    /// # Errors
    /// It cannot be read, or as for [`from_json`](Self::from_json).
    pub fn read(path: &Path, truth: &Instances, compare: Compare) -> Result<Self> {
        let json = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::from_json(&json, truth, compare).map_err(|error| error.in_file(path))
    }

    /// Detections from the content of a results file. If boxes shall be compared, only detections without one have masks.
    ///
    /// As in pycocotools, the area of a detection is that of its box if it has one, and otherwise that of its mask.
    ///
    /// # Errors
    /// It is not a JSON list of objects.
    pub fn from_json(json: &[u8], truth: &Instances, compare: Compare) -> Result<Self> {
        let what = "COCO results";
        let raw: Vec<RawDetection> = parse_list(json).map_err(|source| Error::json(what, json, source))?;
        let images = truth.images().iter().zip(0..).map(|(image, idx)| (image.id, idx)).collect();
        let categories =
            truth.categories().iter().zip(0..).map(|(category, idx)| (category.id, idx)).collect();
        let reader = Reader { truth, images, categories, compare };
        let read = raw.into_par_iter().enumerate().map(|(idx, raw)| {
            let mut problems = vec![];
            let mut tell = |fault| problems.push(Problem { subject: Subject::Detection(idx + 1), fault });
            let found = reader.detection(raw, &mut tell).map_err(tell).ok();
            (found, problems)
        });
        let read: Vec<_> = read.collect();
        let (found, problems): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        Ok(Self {
            found: found.into_iter().flatten().collect(),
            problems: problems.into_iter().flatten().collect(),
        })
    }
}

struct Reader<'a> {
    truth: &'a Instances,
    images: HashMap<i64, usize>,
    categories: HashMap<i64, usize>,
    compare: Compare,
}

impl Reader<'_> {
    fn detection(&self, raw: RawDetection, tell: impl FnMut(Fault)) -> Result<Detection, Fault> {
        let find = |ids: &HashMap<i64, usize>, Whole(id)| ids.get(&id?).copied();
        let image = find(&self.images, raw.image_id).ok_or(Fault::UnknownImage { id: raw.image_id.0 })?;
        let category = find(&self.categories, raw.category_id);
        let category = category.ok_or(Fault::UnknownCategory { id: raw.category_id.0 })?;
        let score = raw.score.map(|Number(score)| score).filter(|score| score.is_finite());
        let score = score.ok_or(Fault::NoScore)?;
        let extent = self.truth.images()[image].extent;
        let has_box = raw.bbox.as_ref().is_some_and(|Numbers(numbers)| !numbers.is_empty());
        let segmentation = raw.segmentation.filter(|_| self.compare == Compare::Masks || !has_box);
        let shape = segmentation.and_then(|raw| shape::read(raw, extent, tell));
        let mask = shape.map(|shape| shape.mask(extent)).transpose().map_err(Fault::Runs)?;
        let (bounds, area) = match (raw.bbox, &mask) {
            (Some(Numbers(numbers)), _) if has_box => {
                let bounds = <[f64; 4]>::try_from(numbers).map_err(|_| Fault::NoBox)?;
                if !bounds.iter().all(|number| number.is_finite()) {
                    return Err(Fault::BoxNotFinite);
                }
                (bounds, bounds[2] * bounds[3])
            }
            (_, Some(mask)) => (mask.bounds().map(f64::from), mask.area() as f64),
            (_, None) => return Err(Fault::NoBox),
        };
        Ok(Detection { image, category, score, bounds, area, mask })
    }
}
