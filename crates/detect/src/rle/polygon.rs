//! From polygons to masks, with COCO's own rounding.
//!
//! COCO draws the border on a grid that is five times as fine, and keeps from it one point per column. Which pixels belong
//! to a polygon therefore follows from this procedure alone, and every step of its arithmetic counts.

use super::{Extent, Rle, RleFault, Runs, check};

/// Points of the fine grid per pixel.
const FINE: i64 = 5;
/// The fine column after which a border is taken: the middle of a pixel.
const MIDDLE: i64 = 2;
/// Corners farther away than this, in pixels, are moved there. COCO's own numbers would overflow.
const FARTHEST: f64 = (1 << 28) as f64;
/// Columns that the border of one polygon may cross, which bounds memory and time.
const MAX_CROSSINGS: usize = 1 << 26;

impl Rle {
    /// The pixels inside a polygon with the given corners, `[x, y]` in pixels from the top left. Corners may lie outside
    /// of the mask.
    ///
    /// # Errors
    /// The mask has no pixels, or too many; or the border crosses more than 2²⁶ columns.
    ///
    /// # Source
    /// `[pycocotools]`, `rleFrPoly`. `Reference:` corners beyond 2²⁸ pixels overflow there.
    pub fn from_polygon(extent: Extent, corners: &[[f64; 2]]) -> Result<Self, RleFault> {
        check(extent)?;
        let fine: Vec<_> = corners.iter().map(|corner| corner.map(to_fine)).collect();
        let mut borders = Vec::new();
        for (from, to) in fine.iter().zip(fine.iter().cycle().skip(1)) {
            add_edge(extent, *from, *to, &mut borders)?;
        }
        borders.sort_unstable();
        Ok(Self { extent, counts: between(&borders, extent) })
    }

    /// The pixels inside a box: left, top, width and height.
    ///
    /// # Errors
    /// As for [`from_polygon`](Self::from_polygon).
    ///
    /// # Source
    /// `[pycocotools]`, `rleFrBbox`.
    pub fn from_box(extent: Extent, [left, top, width, height]: [f64; 4]) -> Result<Self, RleFault> {
        let (right, bottom) = (left + width, top + height);
        Self::from_polygon(extent, &[[left, top], [left, bottom], [right, bottom], [right, top]])
    }
}

fn to_fine(at: f64) -> i64 {
    (FINE as f64 * at.clamp(-FARTHEST, FARTHEST) + 0.5) as i64
}

/// Appends where an edge crosses the middle of columns: the number of the first pixel below the crossing, counted column
/// by column.
fn add_edge(extent: Extent, from: [i64; 2], to: [i64; 2], borders: &mut Vec<u32>) -> Result<(), RleFault> {
    let [dx, dy] = [(to[0] - from[0]).abs(), (to[1] - from[1]).abs()];
    let is_flat = dx >= dy;
    // Rounding is not symmetric, so an edge is always drawn in the direction of the axis along which it is longer.
    let along = usize::from(!is_flat);
    let ([xs, ys], [xe, ye]) = if from[along] > to[along] { (to, from) } else { (from, to) };
    let (left, right) = (xs.min(xe), xs.max(xe));
    let columns = (left - MIDDLE + FINE - 1).div_euclid(FINE).max(0)
        ..=(right - MIDDLE - 1).div_euclid(FINE).min(i64::from(extent.width) - 1);
    if borders.len() as i64 + columns.end() - columns.start() >= MAX_CROSSINGS as i64 {
        return Err(RleFault::Crossings { limit: MAX_CROSSINGS });
    }
    for column in columns {
        let middle = FINE * column + MIDDLE;
        let y = if is_flat {
            let slope = (ye - ys) as f64 / dx as f64;
            let at = |x: i64| (ys as f64 + slope * (x - xs) as f64 + 0.5) as i64;
            at(middle).min(at(middle + 1))
        } else {
            let slope = (xe - xs) as f64 / dy as f64;
            ys + first_step(dy, |t| is_across((xs as f64 + slope * t as f64 + 0.5) as i64, middle, xe > xs))
                - 1
        };
        borders.push((column * i64::from(extent.height) + below(y, extent.height)) as u32);
    }
    Ok(())
}

/// Whether a fine column lies beyond the middle of a pixel, seen from where the edge begins.
fn is_across(x: i64, middle: i64, to_the_right: bool) -> bool {
    if to_the_right { x > middle } else { x <= middle }
}

/// The first of the steps 0 to `last` that is across; the last one always is.
fn first_step(last: i64, is_across: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (0, last);
    while low < high {
        let half = low + (high - low) / 2;
        if is_across(half) {
            high = half;
        } else {
            low = half + 1;
        }
    }
    low
}

/// The first row of pixels whose middle is not above a fine row.
fn below(y: i64, height: u32) -> i64 {
    (y + FINE - 1 - MIDDLE).div_euclid(FINE).clamp(0, i64::from(height))
}

/// Runs that change from outside to inside, or back, at every border.
fn between(borders: &[u32], extent: Extent) -> Vec<u32> {
    let mut runs = Runs::default();
    let (mut before, mut is_inside) = (0, false);
    for &border in borders.iter().chain([&(extent.pixels() as u32)]) {
        runs.push(is_inside, border - before);
        (before, is_inside) = (border, !is_inside);
    }
    runs.counts
}
