//! From the mask of an object to what a network should draw in a region.
//!
//! Separate from the cutting of feature maps, which has fixed points: here there are as many as pixels.

use crate::Corners;
use crate::rle::Rle;
use crate::roi_align::lines;

/// The pixels of an object's mask.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectMask {
    height: u32,
    width: u32,
    /// Row by row, 1 inside and 0 outside.
    pixels: Vec<u8>,
}

impl ObjectMask {
    /// The pixels of runs.
    pub fn new(mask: &Rle) -> Self {
        let extent = mask.extent();
        Self { height: extent.height, width: extent.width, pixels: mask.decode() }
    }

    /// The share of each cell of a region that is inside of the mask, row by row: `side × side` numbers from 0 to 1. The region
    /// is given in pixels of the mask.
    ///
    /// # Source
    /// torchvision, `project_masks_on_boxes`: `roi_align` with `aligned=False` and as many points per cell as it has pixels.
    pub fn project(&self, [left, top, right, bottom]: Corners, side: usize) -> Vec<f32> {
        let points = |from: f32, to: f32| ((to - from).max(1.0) / side as f32).ceil() as usize;
        let rows = lines([top, bottom], (side, points(top, bottom)), self.height);
        let columns = lines([left, right], (side, points(left, right)), self.width);
        let read = || columns.iter().flatten().map(|&(column, _)| column);
        let (Some(first), Some(last)) = (read().min(), read().max()) else { return vec![0.0; side * side] };
        let mut sums = vec![0.0_f32; last + 1 - first];
        let mut cells = Vec::with_capacity(side * side);
        for row in rows {
            sums.fill(0.0);
            for (line, weight) in row {
                let pixels = &self.pixels[line * self.width as usize..][first..=last];
                for (sum, _) in sums.iter_mut().zip(pixels).filter(|(_, pixel)| **pixel != 0) {
                    *sum += weight;
                }
            }
            cells.extend(columns.iter().map(|column| {
                column.iter().map(|&(column, weight)| sums[column - first] * weight).sum::<f32>()
            }));
        }
        cells
    }
}
