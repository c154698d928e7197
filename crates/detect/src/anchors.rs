//! The boxes that a detector starts from, at every position of its feature maps.
//!
//! Separate because they depend on sizes alone: training and prediction compute them anew for every size of a batch.
//! Invariant: the order is torchvision's: maps, rows, columns, and the boxes of one position.

use crate::{Corners, Extent};

/// Sizes and ratios of the anchors of one feature map. Every position has one for each pair of them.
#[derive(Debug, Clone, PartialEq)]
pub struct AnchorLevel {
    /// Square roots of the areas, in pixels.
    pub sizes: Vec<f32>,
    /// Height over width.
    pub ratios: Vec<f32>,
}

/// Anchors of a network with regions: Faster and Mask R-CNN.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchors {
    levels: Vec<Vec<Corners>>,
}

/// What torchvision pads the sides of images to a multiple of.
const PADDED: u32 = 32;
const RATIOS: [f32; 3] = [0.5, 1.0, 2.0];
const SIZES: [f32; 5] = [32.0, 64.0, 128.0, 256.0, 512.0];

impl Anchors {
    /// Anchors for feature maps with the given sizes and ratios.
    pub fn new(levels: &[AnchorLevel]) -> Self {
        Self { levels: levels.iter().map(around_zero).collect() }
    }

    /// One size for each of the five maps of a feature pyramid: 32 to 512 pixels, with ratios 0.5, 1 and 2.
    ///
    /// # Source
    /// torchvision, `fasterrcnn_resnet50_fpn`.
    pub fn pyramid() -> Self {
        Self::new(&SIZES.map(|size| AnchorLevel { sizes: vec![size], ratios: RATIOS.to_vec() }))
    }

    /// All five sizes on each of three maps: 15 anchors per position.
    ///
    /// # Source
    /// torchvision, `fasterrcnn_mobilenet_v3_large_fpn`.
    pub fn mobile() -> Self {
        let level = AnchorLevel { sizes: SIZES.to_vec(), ratios: RATIOS.to_vec() };
        Self::new(&[level.clone(), level.clone(), level])
    }

    /// The anchors of every feature map, around the point 0.
    pub fn levels(&self) -> &[Vec<Corners>] {
        &self.levels
    }

    /// All anchors, for images and feature maps of the given sizes.
    ///
    /// # Source
    /// torchvision, `AnchorGenerator`, which sees images that are padded to multiples of 32. Those that are not have the anchors
    /// of the padded image, as far as their maps reach.
    ///
    /// # Panics
    /// There are more or fewer maps than levels, or one without pixels.
    pub fn grid(&self, image: Extent, maps: &[Extent]) -> Vec<Corners> {
        assert_eq!(maps.len(), self.levels.len(), "every level of anchors has a feature map");
        let of_map = |(anchors, map): (&Vec<Corners>, &Extent)| {
            let (x, y) = (distance(image.width, map.width), distance(image.height, map.height));
            let moved = |row: u32, column: u32| {
                let (x, y) = (column as f32 * x, row as f32 * y);
                anchors.iter().map(move |anchor| [anchor[0] + x, anchor[1] + y, anchor[2] + x, anchor[3] + y])
            };
            positions(*map).flat_map(|(row, column)| moved(row, column)).collect::<Vec<_>>()
        };
        self.levels.iter().zip(maps).flat_map(of_map).collect()
    }
}

/// Anchors around the point 0: for every ratio all sizes. Corners are whole numbers, halves rounded to even ones.
fn around_zero(AnchorLevel { sizes, ratios }: &AnchorLevel) -> Vec<Corners> {
    let anchor = |ratio: f32, size: f32| {
        let height = ratio.sqrt();
        let (width, height) = (1.0 / height * size, height * size);
        [-width, -height, width, height].map(|side| (side / 2.0).round_ties_even())
    };
    ratios.iter().flat_map(|&ratio| sizes.iter().map(move |&size| anchor(ratio, size))).collect()
}

/// The stride of a map along an axis, from the lengths of the image and of the map: the power of two that rounds the quotient of
/// both up, because strided layers round up the length of their maps.
pub(crate) fn stride(image: u32, map: u32) -> u32 {
    image.div_ceil(map).next_power_of_two()
}

/// The distance of anchors along an axis, from the lengths of the image and of the map. It is the stride of the map, or less if the
/// padded image is no multiple of that, as for a map that is pooled once more than the backbone's.
fn distance(image: u32, map: u32) -> f32 {
    let padded = image.next_multiple_of(PADDED);
    (padded / padded.div_ceil(stride(image, map))) as f32
}

fn positions(map: Extent) -> impl Iterator<Item = (u32, u32)> {
    (0..map.height).flat_map(move |row| (0..map.width).map(move |column| (row, column)))
}

/// Default boxes of a one-stage detector, SSD and SSDlite: per position two squares, and two boxes for each ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultBoxes {
    /// Widths and heights of the boxes of every feature map, as shares of the image.
    levels: Vec<Vec<[f32; 2]>>,
}

impl DefaultBoxes {
    /// Boxes whose scale grows evenly from the first feature map to the last, with the given ratios of their sides.
    ///
    /// # Source
    /// torchvision, `DefaultBoxGenerator` without `steps`; `[SSD]`.
    pub fn new(ratios: &[Vec<f64>], smallest: f64, largest: f64) -> Self {
        let n = ratios.len();
        let scale = |level: usize| match n {
            // The scale after the last one is that of the whole image, or the largest one if there is only one level.
            1 => [smallest, largest][level],
            _ if level == n => 1.0,
            _ => smallest + (largest - smallest) * level as f64 / (n as f64 - 1.0),
        };
        let of_level = |(level, ratios): (usize, &Vec<f64>)| {
            let between = (scale(level) * scale(level + 1)).sqrt();
            let mut sides = vec![[scale(level); 2], [between; 2]];
            for ratio in ratios {
                let (long, short) = (scale(level) * ratio.sqrt(), scale(level) / ratio.sqrt());
                sides.extend([[long, short], [short, long]]);
            }
            sides.into_iter().map(|sides| sides.map(|side| (side as f32).clamp(0.0, 1.0))).collect()
        };
        Self { levels: ratios.iter().enumerate().map(of_level).collect() }
    }

    /// Those of SSDlite: six maps, scales 0.2 to 0.95, ratios 2 and 3.
    ///
    /// # Source
    /// torchvision, `ssdlite320_mobilenet_v3_large`.
    pub fn ssdlite() -> Self {
        Self::new(&vec![vec![2.0, 3.0]; 6], 0.2, 0.95)
    }

    /// Widths and heights of the boxes of every feature map, as shares of the image.
    pub fn levels(&self) -> &[Vec<[f32; 2]>] {
        &self.levels
    }

    /// All boxes, for images and feature maps of the given sizes.
    ///
    /// # Panics
    /// There are more or fewer maps than levels.
    pub fn grid(&self, image: Extent, maps: &[Extent]) -> Vec<Corners> {
        assert_eq!(maps.len(), self.levels.len(), "every level of boxes has a feature map");
        let (width, height) = (image.width as f32, image.height as f32);
        let corners = |x: f32, y: f32, [w, h]: [f32; 2]| {
            [(x - 0.5 * w) * width, (y - 0.5 * h) * height, (x + 0.5 * w) * width, (y + 0.5 * h) * height]
        };
        let of_map = |(sides, map): (&Vec<[f32; 2]>, &Extent)| {
            let center = |at: u32, n: u32| (at as f32 + 0.5) / n as f32;
            let of_position = |(row, column): (u32, u32)| {
                let (x, y) = (center(column, map.width), center(row, map.height));
                sides.iter().map(move |&sides| corners(x, y, sides))
            };
            positions(*map).flat_map(of_position).collect::<Vec<_>>()
        };
        self.levels.iter().zip(maps).flat_map(of_map).collect()
    }

    /// For every box of feature maps of the sizes `maps`, the box with the same sides at the nearest position of those of the
    /// sizes `others`: its index in their [grid](Self::grid).
    ///
    /// # Panics
    /// There are more or fewer maps than levels.
    pub fn nearest(&self, maps: &[Extent], others: &[Extent]) -> Vec<usize> {
        let n = self.levels.len();
        assert!(maps.len() == n && others.len() == n, "every level of boxes has a feature map");
        let mut nearest = Vec::new();
        let mut first = 0;
        for ((sides, map), other) in self.levels.iter().zip(maps).zip(others) {
            // The position that the middle of a pixel is in: (at + ½) ÷ n of the way.
            let moved = |at: u32, n: u32, others: u32| (2 * at + 1) * others / (2 * n);
            for (row, column) in positions(*map) {
                let (row, column) =
                    (moved(row, map.height, other.height), moved(column, map.width, other.width));
                let position = (row * other.width + column) as usize;
                nearest.extend((0..sides.len()).map(|side| first + position * sides.len() + side));
            }
            first += (other.height * other.width) as usize * sides.len();
        }
        nearest
    }
}
