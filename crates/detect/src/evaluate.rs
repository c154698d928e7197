//! COCO's evaluation: average precision and average recall of boxes or masks.
//!
//! Separate because training scores its rows with it, and anyone can score a results file. Detections are matched with
//! objects per image and category, and scored per category over all images.
//! Invariant: all numbers equal pycocotools' to 1e-6.

use rayon::prelude::*;

use crate::coco::{Detection, Instances};
use crate::{Error, Result};

mod cell;
mod cells;
mod curve;
mod summary;
pub use summary::{Measure, Summary};

#[cfg(test)]
mod tests;

use cell::{Match, N_AREAS};
use cells::Cells;
use curve::{Averages, Curve, N_THRESHOLDS};

/// What of detections and objects is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Boxes.
    Boxes,
    /// Masks.
    Masks,
}

/// Objects of which a measure counts, by their area in pixels; others are neither expected nor wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Every object.
    All,
    /// At most 32² pixels.
    Small,
    /// From 32² to 96² pixels.
    Medium,
    /// At least 96² pixels.
    Large,
}

impl Area {
    const ALL: [Self; N_AREAS] = [Self::All, Self::Small, Self::Medium, Self::Large];

    /// Smallest and largest area; both count.
    fn range(self) -> [f64; 2] {
        let side = |side: f64| side * side;
        match self {
            Self::All => [0.0, side(1e5)],
            Self::Small => [0.0, side(32.0)],
            Self::Medium => [side(32.0), side(96.0)],
            Self::Large => [side(96.0), side(1e5)],
        }
    }

    fn excludes(self, area: f64) -> bool {
        let [smallest, largest] = self.range();
        area < smallest || area > largest
    }
}

/// Most detections of an image and category that count.
const MAX_DETECTIONS: usize = 100;

/// Detections that were matched with objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    n_images: usize,
    categories: Vec<Matches>,
}

/// What was found of one category in all images.
#[derive(Debug, Clone, PartialEq, Default)]
struct Matches {
    /// Surest first.
    found: Vec<Match>,
    /// For every image with objects, its index and how many count in each range of areas.
    expected: Vec<(usize, [u32; N_AREAS])>,
}

/// Matches detections with ground truth.
///
/// An annotation without a mask does not count if masks are compared; reading the ground truth has told it.
///
/// # Errors
/// Masks shall be compared, and a detection, or every annotation, has none.
///
/// # Source
/// `[pycocotools]`, `COCOeval`. `Reference:` an object with the id 0 can never be found there; here ids do not matter.
/// Detections of unknown images and categories, which it refuses or ignores, are problems of their file here.
pub fn evaluate(truth: &Instances, detections: &[Detection], compare: Compare) -> Result<Evaluation> {
    if compare == Compare::Masks {
        check_masks(truth, detections)?;
    }
    let cells = Cells::new(truth, detections, compare);
    let mut categories = vec![Matches::default(); truth.categories().len()];
    for (category, matches) in cells.matched() {
        let Matches { found, expected } = &mut categories[category];
        found.extend(matches.found);
        expected.extend(matches.expected);
    }
    // Equally sure detections stay in the order of their images.
    categories.par_iter_mut().for_each(|category| category.found.sort_by_key(|found| rank_key(found.score)));
    Ok(Evaluation { n_images: truth.images().len(), categories })
}

fn check_masks(truth: &Instances, detections: &[Detection]) -> Result<()> {
    if detections.iter().any(|found| found.mask.is_none()) {
        return Err(Error::NoMasks { whose: "detections" });
    }
    let annotations = truth.annotations();
    if !annotations.is_empty() && annotations.iter().all(|annotation| annotation.shape.is_none()) {
        return Err(Error::NoMasks { whose: "annotations" });
    }
    Ok(())
}

/// A number that is smaller the higher a score is. Adding 0 makes 0 out of −0, which are equal.
fn rank_key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    // The bits of positive numbers are in order, those of negative ones in reverse.
    if bits >> 63 == 0 { !(bits | 1 << 63) } else { bits }
}

impl Evaluation {
    /// The measures over all categories that have objects.
    pub fn summary(&self) -> Summary {
        let summaries: Vec<_> = self.categories.par_iter().map(Matches::summary).collect();
        Summary::mean(&summaries)
    }

    /// The measures of every category, in the order of the ground truth.
    pub fn by_category(&self) -> Vec<Summary> {
        self.categories.par_iter().map(Matches::summary).collect()
    }

    /// How many objects of a category there are, crowds aside.
    ///
    /// # Panics
    /// There is no category with this index.
    pub fn n_objects(&self, category: usize) -> u64 {
        self.categories[category].n_expected(Area::All, &|_| 1)
    }

    /// Number of images, with and without objects.
    pub fn n_images(&self) -> usize {
        self.n_images
    }

    /// The average precision (that of [`Measure::Ap`]) if every image counts as often as given: for a bootstrap interval
    /// over images. If no image with objects counts, it is 0.
    ///
    /// # Panics
    /// There are fewer counts than images.
    pub fn resampled_ap(&self, counts: &[u32]) -> f64 {
        let weight = |image: usize| u64::from(counts[image]);
        let averages = |category: &Matches| category.averages(Area::All, MAX_DETECTIONS, &weight);
        let each: Vec<_> =
            self.categories.par_iter().filter_map(averages).map(|averages| averages.mean_ap()).collect();
        if each.is_empty() { 0.0 } else { each.iter().sum::<f64>() / each.len() as f64 }
    }
}

impl Matches {
    fn n_expected(&self, area: Area, weight: &impl Fn(usize) -> u64) -> u64 {
        self.expected.iter().map(|(image, n)| weight(*image) * u64::from(n[area as usize])).sum()
    }

    /// Precision and recall per threshold; nothing if there are no objects.
    fn averages(&self, area: Area, max: usize, weight: &(impl Fn(usize) -> u64 + Sync)) -> Option<Averages> {
        let n = self.n_expected(area, weight);
        if n == 0 {
            return None;
        }
        let mut curves = [(); N_THRESHOLDS].map(|()| Curve::new(n));
        for found in self.found.iter().filter(|found| usize::from(found.rank) < max) {
            let weight = weight(found.image as usize);
            let (is_hit, is_ignored) = (found.hits[area as usize], found.ignored[area as usize]);
            for (threshold, curve) in curves.iter_mut().enumerate() {
                if is_ignored >> threshold & 1 == 0 {
                    curve.add(is_hit >> threshold & 1 == 1, weight);
                }
            }
        }
        Some(Averages::of(curves))
    }

    fn summary(&self) -> Summary {
        let averages = |area, max| self.averages(area, max, &|_| 1);
        let all = averages(Area::All, MAX_DETECTIONS);
        let sizes = [Area::Small, Area::Medium, Area::Large].map(|area| averages(area, MAX_DETECTIONS));
        let few = [1, 10].map(|max| averages(Area::All, max));
        Summary::of(|measure| match measure {
            Measure::Ap => all.as_ref().map(Averages::mean_ap),
            Measure::Ap50 => all.as_ref().map(|all| all.precision[0]),
            Measure::Ap75 => all.as_ref().map(|all| all.precision[N_THRESHOLDS / 2]),
            Measure::ApSmall => sizes[0].as_ref().map(Averages::mean_ap),
            Measure::ApMedium => sizes[1].as_ref().map(Averages::mean_ap),
            Measure::ApLarge => sizes[2].as_ref().map(Averages::mean_ap),
            Measure::Ar1 => few[0].as_ref().map(Averages::mean_recall),
            Measure::Ar10 => few[1].as_ref().map(Averages::mean_recall),
            Measure::Ar100 => all.as_ref().map(Averages::mean_recall),
            Measure::ArSmall => sizes[0].as_ref().map(Averages::mean_recall),
            Measure::ArMedium => sizes[1].as_ref().map(Averages::mean_recall),
            Measure::ArLarge => sizes[2].as_ref().map(Averages::mean_recall),
        })
    }
}
