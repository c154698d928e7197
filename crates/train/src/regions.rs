//! Regions on the device: what the heads of a two-stage detector read.
//!
//! Separate because the engine has no boxes: which pixels a cell of a region is made of, is computed as for the run side, and the
//! engine sums them. Invariant: gradients flow back to the maps, and none to the boxes.

use mutualnet_detect::{Corners, RoiAlign};
use mutualnet_engine::Tensor;

use crate::Result;

/// Cuts regions out of the feature maps of a batch, as `align` says; the boxes are given image by image.
///
/// # Shapes
/// - `maps`: `[n, c, h, w]` each
/// - result: `[regions of all images, c, side, side]`, in channels-last memory
///
/// # Errors
/// The engine has no memory.
///
/// # Panics
/// The maps have other sizes than those of `align`.
pub fn cut(align: &RoiAlign, maps: &[Tensor], regions: &[Vec<Corners>]) -> Result<Tensor> {
    let (n, channels) = (maps[0].shape()[0], maps[0].shape()[1]);
    let of_images = |map: &Tensor| map.by_pixel()?.reshape(&[n, map.elements() / (n * channels), channels]);
    let of_images: Vec<_> = maps.iter().map(of_images).collect::<mutualnet_engine::Result<_>>()?;
    let pixels = Tensor::concatenate(&of_images.iter().collect::<Vec<_>>(), 1)?;
    assert_eq!(pixels.shape(), [n, align.pixels(), channels], "the maps have the sizes of the description");
    let pixels = pixels.reshape(&[n * align.pixels(), channels])?;
    let (taps, device) = (align.taps(regions), pixels.device());
    let indices = |numbers: &[i64]| Tensor::from_slice_i64(numbers, &[numbers.len()])?.to_device(device);
    let [places, starts] = [indices(&taps.pixels)?, indices(&taps.starts)?];
    let weights = Tensor::from_slice(&taps.weights, &[taps.weights.len()])?.to_device(device)?;
    let cells = pixels.weighted_rows([&places, &starts], &weights)?;
    let n_regions = regions.iter().map(Vec::len).sum();
    Ok(cells.as_pixels([n_regions, align.side(), align.side()])?)
}
