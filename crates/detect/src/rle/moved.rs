//! A mask after its image was cropped, resized and mirrored.
//!
//! Separate because a mask is moved run by run, without its pixels: images of a batch have many objects.

use super::{Extent, Rle, RleFault, Runs, check};

/// Rows of a column that are inside of a mask: the first one, and the one behind the last.
type Segment = [u32; 2];

impl Rle {
    /// The mask whose pixel in column `x` and row `y` is that of this mask in column `columns[x]` and row `rows[y]`; where there
    /// are fewer columns or rows than `extent` has, the rest is outside.
    ///
    /// # Errors
    /// The extent has no pixels, or too many.
    ///
    /// # Panics
    /// A column or a row is not one of this mask, there are more than `extent` has, or rows are not in ascending order.
    pub fn moved(&self, columns: &[u32], rows: &[u32], extent: Extent) -> Result<Self, RleFault> {
        check(extent)?;
        let Extent { height, width } = self.extent;
        let fits = |places: &[u32], n: u32, most: u32| {
            places.len() <= most as usize && places.iter().all(|&place| place < n)
        };
        assert!(
            fits(columns, width, extent.width) && fits(rows, height, extent.height),
            "places of the mask"
        );
        assert!(rows.is_sorted(), "rows are in ascending order");
        let segments = self.segments();
        // How many rows of the result show a row above this one.
        let above = |row: u32| rows.partition_point(|&shown| shown < row) as u32;
        let mut runs = Runs::default();
        for column in 0..extent.width as usize {
            let mut at = 0;
            let inside = columns.get(column).map_or(&[][..], |&shown| &segments[shown as usize]);
            for [first, end] in inside.iter().map(|segment| segment.map(above)) {
                runs.push(false, first - at);
                runs.push(true, end - first);
                at = end;
            }
            runs.push(false, extent.height - at);
        }
        Ok(Self { extent, counts: runs.counts })
    }

    /// What is inside of every column.
    fn segments(&self) -> Vec<Vec<Segment>> {
        let height = self.extent.height as usize;
        let mut segments = vec![Vec::new(); self.extent.width as usize];
        for (mut start, mut len) in self.inside() {
            while len > 0 {
                let (column, row) = (start / height, start % height);
                let of_column = len.min(height - row);
                segments[column].push([row as u32, (row + of_column) as u32]);
                (start, len) = (start + of_column, len - of_column);
            }
        }
        segments
    }
}
