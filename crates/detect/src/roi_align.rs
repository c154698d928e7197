//! Cuts regions out of feature maps: whatever its size, a region becomes a square of cells.
//!
//! Separate because training cuts tensors and the run side cuts slices: a cell is a weighted sum of pixels, and here it is
//! decided of which. Invariant: coordinates and weights are computed in single precision, in torchvision's order.

use crate::anchors::stride;
use crate::boxes::Levels;
use crate::{Corners, Extent};

/// Points per cell and axis at which a map is interpolated.
const POINTS: usize = 2;

/// From the boxes of regions, in pixels of the image, to squares of feature maps. The size of a region decides which map it is
/// taken from.
///
/// # Source
/// torchvision, `MultiScaleRoIAlign`, and `roi_align` with `aligned=False` and `sampling_ratio=2`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoiAlign {
    side: usize,
    levels: Levels,
    maps: Vec<Map>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Map {
    extent: Extent,
    /// Pixels of the map per pixel of the image.
    scale: f32,
    /// Pixels of the maps before it.
    first: usize,
}

/// Which pixels the cells of squares are sums of. The pixels are counted through all maps of an image, and through the images of
/// a batch; numbers of pixels are signed, as tensors of indices are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taps {
    /// The pixels, cell by cell: those of the first region row by row, then those of the next one.
    pub pixels: Vec<i64>,
    /// The weight of each.
    pub weights: Vec<f32>,
    /// Where the pixels of each cell begin. A cell outside of its map has none, and is 0.
    pub starts: Vec<i64>,
}

impl RoiAlign {
    /// For maps of images of a size (with their padding), from the finest to the coarsest, and squares of `side` × `side` cells.
    /// `None` if there are no maps or one without pixels, or if the strides of the first and the last one are further apart than
    /// there are maps.
    ///
    /// A map's stride is taken to be the power of two that fits its height best. `Reference:` torchvision determines it only
    /// from the first batch that it sees.
    pub fn new(maps: &[Extent], image: Extent, side: usize) -> Option<Self> {
        if maps.iter().any(|&map| pixels_of(map) == 0) {
            return None;
        }
        let mut first = 0;
        let maps = maps.iter().map(|&extent| {
            let map = Map { extent, scale: exponent(extent, image).exp2(), first };
            first += pixels_of(extent);
            map
        });
        let maps: Vec<_> = maps.collect();
        let level = |map: &Map| -map.scale.log2() as u32;
        let levels = Levels { finest: level(maps.first()?), coarsest: level(maps.last()?) };
        let beyond_first = levels.coarsest.checked_sub(levels.finest)?;
        ((beyond_first as usize) < maps.len()).then_some(Self { side, levels, maps })
    }

    /// Cells along a side of a square.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Numbers of an image's maps, for one channel.
    pub fn pixels(&self) -> usize {
        self.maps.iter().map(|map| pixels_of(map.extent)).sum()
    }

    /// What the cells of the regions of a batch are sums of, image by image. The pixels of an image are those of its maps, one
    /// map behind the other.
    pub fn taps(&self, images: &[Vec<Corners>]) -> Taps {
        let mut taps = Taps::default();
        for (image, regions) in images.iter().enumerate() {
            for &region in regions {
                let map = self.map_of(region);
                self.add_taps(
                    region,
                    self.maps[map],
                    image * self.pixels() + self.maps[map].first,
                    &mut taps,
                );
            }
        }
        taps
    }

    /// The squares of the regions of one image.
    ///
    /// # Shapes
    /// - `maps`: `[h, w, channels]` each
    /// - result: `[regions, channels, side, side]`, as linear layers over all positions read it
    ///
    /// # Panics
    /// The maps have other sizes.
    pub fn cut(&self, maps: &[&[f32]], channels: usize, regions: &[Corners]) -> Vec<f32> {
        let cells = self.side * self.side;
        let mut squares = vec![0.0; regions.len() * cells * channels];
        self.each_cell(maps, channels, regions, |region, cell, sums| {
            let square = &mut squares[region * cells * channels..][..cells * channels];
            square[cell..].iter_mut().step_by(cells).zip(sums).for_each(|(to, sum)| *to = *sum);
        });
        squares
    }

    /// As [`Self::cut`], but `[regions, side, side, channels]`, as convolutions of the run side read it.
    ///
    /// # Panics
    /// The maps have other sizes.
    pub fn cut_by_pixel(&self, maps: &[&[f32]], channels: usize, regions: &[Corners]) -> Vec<f32> {
        let mut squares = Vec::with_capacity(regions.len() * self.side * self.side * channels);
        self.each_cell(maps, channels, regions, |_, _, sums| squares.extend_from_slice(sums));
        squares
    }

    /// Calls `take` with every region and cell, in order, and the numbers of its channels.
    fn each_cell(
        &self,
        maps: &[&[f32]],
        channels: usize,
        regions: &[Corners],
        mut take: impl FnMut(usize, usize, &[f32]),
    ) {
        assert_eq!(maps.len(), self.maps.len(), "all maps are given");
        for (map, numbers) in self.maps.iter().zip(maps) {
            assert_eq!(numbers.len(), pixels_of(map.extent) * channels, "a map has numbers for all pixels");
        }
        let (mut taps, mut sums) = (Taps::default(), vec![0.0; channels]);
        for (number, &region) in regions.iter().enumerate() {
            let map = self.map_of(region);
            taps.clear();
            self.add_taps(region, self.maps[map], 0, &mut taps);
            for cell in 0..self.side * self.side {
                sums.fill(0.0);
                for (pixel, weight) in taps.of(cell) {
                    let pixel = &maps[map][pixel * channels..][..channels];
                    sums.iter_mut().zip(pixel).for_each(|(sum, number)| *sum += weight * number);
                }
                take(number, cell, &sums);
            }
        }
    }

    /// The index of the map that a region is taken from.
    fn map_of(&self, region: Corners) -> usize {
        (self.levels.of(region) - self.levels.finest) as usize
    }

    fn add_taps(&self, region: Corners, map: Map, first: usize, taps: &mut Taps) {
        let [left, top, right, bottom] = region.map(|at| at * map.scale);
        let rows = lines([top, bottom], (self.side, POINTS), map.extent.height);
        let columns = lines([left, right], (self.side, POINTS), map.extent.width);
        let width = map.extent.width as usize;
        for (rows, columns) in rows.iter().flat_map(|rows| columns.iter().map(move |columns| (rows, columns)))
        {
            taps.starts.push(taps.pixels.len() as i64);
            for &(y, of_row) in rows {
                taps.pixels.extend(columns.iter().map(|&(x, _)| (first + y * width + x) as i64));
                taps.weights.extend(columns.iter().map(|&(_, of_column)| of_row * of_column));
            }
        }
    }
}

impl Taps {
    /// The number of cells.
    pub fn cells(&self) -> usize {
        self.starts.len()
    }

    fn clear(&mut self) {
        self.pixels.clear();
        self.weights.clear();
        self.starts.clear();
    }

    /// The pixels of a cell with their weights.
    fn of(&self, cell: usize) -> impl Iterator<Item = (usize, f32)> {
        let end = self.starts.get(cell + 1).map_or(self.pixels.len(), |&start| start as usize);
        let range = self.starts[cell] as usize..end;
        let pixels = self.pixels[range.clone()].iter().map(|&pixel| pixel as usize);
        pixels.zip(self.weights[range].iter().copied())
    }
}

fn pixels_of(extent: Extent) -> usize {
    extent.height as usize * extent.width as usize
}

/// The logarithm of the scale of a map. Along its longer side, which has enough pixels to tell.
fn exponent(map: Extent, image: Extent) -> f32 {
    let stride = stride(image.height, map.height).max(stride(image.width, map.width));
    -(stride as f32).log2()
}

/// For each cell along an axis, the lines of pixels that it reads, with their weights: those beside its points, of which the ones
/// outside of the map count as 0. The map has `n` lines, and a border that is one line wide.
pub(crate) fn lines(
    [start, end]: [f32; 2],
    (cells, points): (usize, usize),
    n: u32,
) -> Vec<Vec<(usize, f32)>> {
    let cell = (end - start).max(1.0) / cells as f32;
    let last = n as usize - 1;
    let beside = |at: f32| {
        let at = at.max(0.0);
        let line = (at as usize).min(last);
        let share = if line == last { 0.0 } else { at - line as f32 };
        [(line, 1.0 - share), (line + 1, share)].map(|(line, share)| (line, share / points as f32))
    };
    let of_cell = |idx: usize| {
        let point = |point: usize| start + idx as f32 * cell + (point as f32 + 0.5) * cell / points as f32;
        let inside = (0..points).map(point).filter(|&at| !(at < -1.0 || at > n as f32));
        inside.flat_map(beside).filter(|&(_, weight)| weight != 0.0).collect()
    };
    (0..cells).map(of_cell).collect()
}
