//! From what `segmentation` says to polygons or a mask that fit the image.
//!
//! Separate because annotations and detections have the same key with the same faults.

use super::lenient::{Counts, Numbers, Segmentation};
use super::{Fault, Shape};
use crate::{Extent, Rle, RleFault};

/// The usable part of a segmentation, if any; everything else is told.
pub(super) fn read(raw: Segmentation, extent: Extent, mut tell: impl FnMut(Fault)) -> Option<Shape> {
    let shape = match raw {
        Segmentation::Polygons(raw) => polygons(raw, &mut tell),
        Segmentation::Runs { size, counts } => runs(&size, counts, extent),
        Segmentation::Other => Err(Fault::NoSegmentation),
    };
    shape.map_err(tell).ok()
}

fn polygons(raw: Vec<Numbers>, tell: &mut impl FnMut(Fault)) -> Result<Shape, Fault> {
    let mut polygons = vec![];
    for (Numbers(numbers), number) in raw.into_iter().zip(1..) {
        let why = if numbers.iter().any(|number| !number.is_finite()) {
            "has a number that is not finite"
        } else if numbers.len() % 2 == 1 {
            "has an x without a y"
        } else if numbers.len() < 6 {
            "has fewer than three corners"
        } else {
            polygons.push(numbers.chunks_exact(2).map(|corner| [corner[0], corner[1]]).collect());
            continue;
        };
        tell(Fault::Polygon { number, why });
    }
    if polygons.is_empty() { Err(Fault::NoPolygon) } else { Ok(Shape::Polygons(polygons)) }
}

fn runs(Numbers(size): &Numbers, counts: Counts, extent: Extent) -> Result<Shape, Fault> {
    let [mask_height, mask_width] = <[f64; 2]>::try_from(size.as_slice()).unwrap_or([f64::NAN; 2]);
    let Extent { height, width } = extent;
    if [mask_height, mask_width] != [height, width].map(f64::from) {
        return Err(Fault::MaskSize { mask_height, mask_width, height, width });
    }
    let mask = match counts {
        Counts::Text(text) => Rle::from_text(extent, &text),
        Counts::Numbers(numbers) => lengths(&numbers).and_then(|counts| Rle::from_counts(extent, counts)),
        Counts::Other => return Err(Fault::NoSegmentation),
    };
    mask.map(Shape::Runs).map_err(Fault::Runs)
}

fn lengths(numbers: &[f64]) -> Result<Vec<u32>, RleFault> {
    let length = |(number, &count): (usize, &f64)| {
        let is_length = count.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&count);
        if is_length { Ok(count as u32) } else { Err(RleFault::Length { number }) }
    };
    numbers.iter().enumerate().map(length).collect()
}
