//! Resizing: bilinear with antialiasing as in PIL, so that results are comparable with torchvision's.
//!
//! Separate from the augmentations because test-time preprocessing and training share it.

use std::mem;

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};

use crate::Image;
use crate::image::ImageRef;

/// A rectangle of pixels inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl Rect {
    /// All of an image of that many columns and rows.
    pub fn whole([columns, rows]: [u32; 2]) -> Self {
        Self { left: 0, top: 0, width: columns, height: rows }
    }

    /// The middle of an image of that many columns and rows, at most as large as requested; half pixels round to even, as
    /// in Python.
    pub fn center([columns, rows]: [u32; 2], width: u32, height: u32) -> Self {
        let (width, height) = (width.min(columns), height.min(rows));
        let middle = |rest: u32| (f64::from(rest) / 2.0).round_ties_even() as u32;
        Self { left: middle(columns - width), top: middle(rows - height), width, height }
    }
}

/// How a whole image or its middle is resized: in which part of it, to which size, and what of the result is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitted {
    /// The part of the image that is resized.
    pub from: Rect,
    /// Columns and rows that it is resized to.
    pub resized: [u32; 2],
    /// The part of the resized image that is kept.
    pub window: Rect,
}

/// How much longer than the shorter side the longer one may be.
const MAX_RATIO: u32 = 8;

/// Where a square is cut out of an image that is longer than it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Along {
    /// At the left or upper end.
    Begin,
    /// In the middle.
    #[default]
    Middle,
    /// At the right or lower end.
    End,
}

impl Along {
    /// Where several squares are cut: 1 in the middle, 3 everywhere.
    ///
    /// # Panics
    /// Other numbers, which callers check.
    pub fn several(n: u32) -> &'static [Self] {
        match n {
            1 => &[Self::Middle],
            3 => &[Self::Begin, Self::Middle, Self::End],
            _ => panic!("{n} squares are neither 1 nor 3"),
        }
    }
}

impl Fitted {
    /// The middle `side` x `side` of an image of that many columns and rows, whose shorter side is resized to `shorter`.
    pub fn center(size: [u32; 2], shorter: u32, side: u32) -> Self {
        Self::square(size, [shorter, side], Along::Middle)
    }

    /// A square of `side` along the longer side of an image of that many columns and rows, whose shorter side is resized to
    /// `shorter`; along that it is in the middle.
    ///
    /// # Source
    /// PySlowFast's `uniform_crop`; halves are rounded to even here.
    pub fn square(size: [u32; 2], [shorter, side]: [u32; 2], along: Along) -> Self {
        let short = size[0].min(size[1]);
        // An image that is not resized costs nothing, however long it is.
        let whole = if short == shorter {
            Self { from: Rect::whole(size), resized: size, window: Rect::whole(size) }
        } else {
            Self::whole(size, shorter, None)
        };
        let [width, height] = whole.resized;
        let mut window = Rect::center(whole.resized, side, side);
        let (place, room) = if width < height {
            (&mut window.top, height - window.height)
        } else {
            (&mut window.left, width - window.width)
        };
        match along {
            Along::Begin => *place = 0,
            Along::Middle => {}
            Along::End => *place = room,
        }
        Self { window, ..whole }
    }

    /// All of an image of that many columns and rows, stretched to `side` x `side`.
    pub fn stretched(size: [u32; 2], side: u32) -> Self {
        Self { from: Rect::whole(size), resized: [side; 2], window: Rect::whole([side; 2]) }
    }

    /// All of an image of that many columns and rows, whose shorter side is resized to `shorter`, or to less if the longer one
    /// would be above `longest`.
    ///
    /// Sides are rounded down, as torchvision does. An image that is more than eight times as long as wide is cropped to that in
    /// the middle, or with `longest` squeezed to it, so that all of its objects are seen.
    ///
    /// # Source
    /// torchvision, `GeneralizedRCNNTransform.resize`, for `longest`.
    pub fn whole(size: [u32; 2], shorter: u32, longest: Option<u32>) -> Self {
        let short = size[0].min(size[1]);
        let most = short.saturating_mul(MAX_RATIO);
        let limited = Rect::center(size, most, most);
        let from = if longest.is_some() { Rect::whole(size) } else { limited };
        let long = limited.width.max(limited.height);
        let is_too_long =
            |most: &u32| u64::from(shorter) * u64::from(long) > u64::from(*most) * u64::from(short);
        let (to, of) = longest.filter(is_too_long).map_or((shorter, short), |most| (most, long));
        let scaled = |n: u32| ((u64::from(to) * u64::from(n) / u64::from(of)) as u32).max(1);
        let resized = [scaled(limited.width), scaled(limited.height)];
        Self { from, resized, window: Rect::whole(resized) }
    }
}

/// Resizes images, and keeps its buffers between calls.
#[derive(Debug, Default, Clone)]
pub struct Resizer {
    resizer: fast_image_resize::Resizer,
    /// The resized image before it is cropped; the memory is reused.
    between: Vec<u8>,
}

impl Resizer {
    /// Crops a rectangle and resizes it; pixels outside the rectangle have no influence.
    ///
    /// The new image reuses the memory of `pixels`, whose content does not matter.
    ///
    /// # Panics
    /// The rectangle is empty or not inside the image, or the size is empty.
    pub fn crop_resize(
        &mut self,
        image: ImageRef<'_>,
        crop: Rect,
        [width, height]: [u32; 2],
        mut pixels: Vec<u8>,
    ) -> Image {
        let source = TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.pixels())
            .expect("an image has as many pixels as it says");
        let source = TypedCroppedImage::from_ref(&source, crop.left, crop.top, crop.width, crop.height)
            .expect("crops are inside the image");
        pixels.resize(3 * width as usize * height as usize, 0);
        let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut pixels).expect("sizes agree");
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize_typed(&source, &mut target, &options).expect("bilinear takes every size");
        Image::new(width, height, pixels)
    }

    /// Resizes the shorter side to a length, then crops a square of `side`; see [`Fitted::square`].
    ///
    /// The longer side is rounded down, as torchvision does.
    /// Nothing is resampled when the shorter side already has the length.
    /// The new image reuses the memory of `pixels`, whose content does not matter.
    ///
    /// Deviation: an image that is longer than eight times its shorter side is cropped to that first. Its middle is the same,
    /// and a file of 1 x 65535 pixels does not take gigabytes.
    ///
    /// # Panics
    /// `shorter < side`, which callers check.
    pub fn shorter_side_crop(
        &mut self,
        image: ImageRef<'_>,
        [shorter, side]: [u32; 2],
        along: Along,
        pixels: Vec<u8>,
    ) -> Image {
        assert!(shorter >= side && side > 0, "a crop of {side} does not fit a side of {shorter}");
        let size = [image.width(), image.height()];
        let Fitted { from, resized, window } = Fitted::square(size, [shorter, side], along);
        let resized = if resized == size {
            None
        } else {
            let between = mem::take(&mut self.between);
            Some(self.crop_resize(image, from, resized, between))
        };
        let image = resized.as_ref().map_or(image, Image::view);
        let cropped = self.crop_resize(image, window, [side; 2], pixels);
        if let Some(resized) = resized {
            self.between = resized.into_pixels();
        }
        cropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grey_row(values: &[u8]) -> Image {
        Image::new(values.len() as u32, 1, values.iter().flat_map(|&v| [v; 3]).collect())
    }

    fn resized_row(values: &[u8], crop: (u32, u32), width: u32) -> Vec<u8> {
        let crop = Rect { left: crop.0, top: 0, width: crop.1, height: 1 };
        let image = Resizer::default().crop_resize(grey_row(values).view(), crop, [width, 1], Vec::new());
        image.pixels().iter().step_by(3).copied().collect()
    }

    /// Numbers by hand: a triangle of half width `scale` around each target pixel's center, weights normalized.
    #[test]
    fn bilinear_equals_hand_numbers() {
        // Half size: weights 1 3 3 1 over 8, at the ends 3 3 1 over 7.
        assert_eq!(resized_row(&[0, 80, 160, 240], (0, 4), 2), [57, 183]);
        // Double size: weights 1/4 and 3/4.
        assert_eq!(resized_row(&[0, 100], (0, 2), 4), [0, 25, 75, 100]);
        // Same size is a copy.
        assert_eq!(resized_row(&[3, 1, 2], (0, 3), 3), [3, 1, 2]);
    }

    #[test]
    fn neighbors_outside_of_the_crop_do_not_leak_in() {
        assert_eq!(resized_row(&[255, 0, 0, 0, 0, 255], (1, 4), 2), [0, 0]);
    }

    #[test]
    fn center_rounds_half_to_even_like_python() {
        assert_eq!(Rect::center([10, 7], 5, 4), Rect { left: 2, top: 2, width: 5, height: 4 });
        assert_eq!(Rect::center([10, 7], 99, 99), Rect::whole([10, 7]));
    }

    #[test]
    fn three_squares_lie_along_the_longer_side() {
        let windows = |size| {
            let square = |&along| Fitted::square(size, [20, 16], along).window;
            Along::several(3).iter().map(square).map(|Rect { left, top, .. }| [left, top]).collect::<Vec<_>>()
        };
        assert_eq!(windows([60, 40]), [[0, 2], [7, 2], [14, 2]]);
        assert_eq!(windows([40, 60]), [[2, 0], [2, 7], [2, 14]]);
        assert_eq!(windows([20, 20]), [[0, 2], [2, 2], [4, 2]]);
        let center = Fitted::center([60, 40], 20, 16);
        assert_eq!(
            Along::several(1).iter().map(|&a| Fitted::square([60, 40], [20, 16], a)).collect::<Vec<_>>(),
            [center]
        );
    }

    #[test]
    fn an_extreme_shape_is_cheap() {
        let image = Image::new(1, 60_000, vec![7; 180_000]);
        let side = Resizer::default().shorter_side_crop(image.view(), [256, 224], Along::Middle, Vec::new());
        assert_eq!((side.width(), side.height(), side.pixel(3, 3)), (224, 224, [7; 3]));
    }

    #[test]
    fn a_whole_image_keeps_its_aspect_within_bounds() {
        let fitted = Fitted::whole([640, 427], 160, None);
        assert_eq!((fitted.from, fitted.resized), (Rect::whole([640, 427]), [239, 160]));
        assert_eq!(Fitted::whole([160, 200], 160, None).resized, [160, 200]);
        let long = Fitted::whole([3, 1000], 10, None);
        assert_eq!((long.from, long.resized), (Rect { left: 0, top: 488, width: 3, height: 24 }, [10, 80]));
        assert_eq!(long.window, Rect::whole([10, 80]));
    }

    /// As `torchvision.models.detection.transform._resize_image_and_masks` resizes them for 600 and 1000.
    #[test]
    fn the_longer_side_of_a_whole_image_may_be_bounded() {
        let resized = |size| Fitted::whole(size, 600, Some(1000)).resized;
        for (size, expected) in [
            ([640, 480], [800, 600]),
            ([640, 427], [899, 600]),
            ([640, 384], [1000, 600]),
            ([640, 300], [1000, 468]),
            ([300, 640], [468, 1000]),
            ([8000, 1000], [1000, 125]),
            ([1, 7], [142, 1000]),
        ] {
            assert_eq!(resized(size), expected, "{size:?}");
        }
    }

    /// Unlike in torchvision, because a network needs a few positions along every side.
    #[test]
    fn an_extreme_image_with_a_bound_is_squeezed_and_not_cropped() {
        for (size, resized) in [([9000, 1000], [1000, 125]), ([10, 4000], [125, 1000])] {
            let fitted = Fitted::whole(size, 600, Some(1000));
            assert_eq!((fitted.from, fitted.resized), (Rect::whole(size), resized));
        }
    }

    proptest! {
        #[test]
        fn center_crop_has_its_size(width in 1u32..70, height in 1u32..70, side in 1u32..40, more in 0u32..20) {
            let image = Image::new(width, height, vec![9; (3 * width * height) as usize]);
            let out = Resizer::default().shorter_side_crop(image.view(), [side + more, side], Along::Middle, vec![1; 5]);
            prop_assert_eq!((out.width(), out.height()), (side, side));
            prop_assert!(out.pixels().iter().all(|&v| v == 9));
        }
    }
}
