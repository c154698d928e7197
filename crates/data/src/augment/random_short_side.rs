//! RandomShortSide: a square of fixed size out of the image after it is resized to a random size.

use mutualnet_core::RngStream;
use rand::Rng;

use mutualnet_image::resize::Rect;

/// Draws the square that a random crop shows once the image is resized so that its shorter side has a random length.
///
/// Deviation: the square is cut out in whole pixels of the image and then resized, so that no more of the file need be
/// decoded; resizing first and cutting then differs by less than one of these pixels.
///
/// # Source
/// Scale jittering of `[VGG §3.1]` and `[ResNet §3.4]` (256 to 480), `[SlowFast datasets/transform.py
/// random_short_side_scale_jitter, random_crop]` (256 to 320).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomShortSide {
    /// Least and greatest length of the shorter side, in pixels.
    pub shorter: [u32; 2],
}

/// What a draw shows of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The part of the image: a square, or less where the image ends.
    pub from: Rect,
    /// Columns and rows that it becomes; below the side of the square where the image ends.
    pub filled: [u32; 2],
}

impl RandomShortSide {
    /// Draws a square of an image of that many columns and rows that becomes `side` pixels wide.
    ///
    /// A length below `side` shows the image smaller than the square.
    pub fn draw(&self, [columns, rows]: [u32; 2], side: u32, rng: &mut RngStream) -> Shown {
        let shorter = rng.random_range(self.shorter[0]..=self.shorter[1]);
        let short = columns.min(rows);
        let scaled = f64::from(side) * f64::from(short) / f64::from(shorter);
        let square = (scaled.round_ties_even() as u32).max(1);
        let fills = |length: u32| {
            let scaled = f64::from(length) * f64::from(shorter) / f64::from(short);
            if square <= length { side } else { (scaled.round_ties_even() as u32).clamp(1, side) }
        };
        let (width, height) = (square.min(columns), square.min(rows));
        let top = rng.random_range(0..=rows - height);
        let left = rng.random_range(0..=columns - width);
        Shown { from: Rect { left, top, width, height }, filled: [fills(columns), fills(rows)] }
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_stays_inside(columns in 1u32..900, rows in 1u32..900, side in 1u32..300, more in 0u32..300, seed: u64) {
            let crop = RandomShortSide { shorter: [side, side + more] };
            let shown = crop.draw([columns, rows], side, &mut Key::new(seed, Purpose::Augment).stream());
            let rect = shown.from;
            prop_assert_eq!(shown.filled, [side; 2]);
            prop_assert!(rect.width >= 1 && rect.width == rect.height);
            prop_assert!(rect.left + rect.width <= columns && rect.top + rect.height <= rows, "{rect:?}");
        }
    }

    #[test]
    fn a_short_side_below_the_square_shows_all_of_it() {
        let mut rng = Key::new(3, Purpose::Augment).stream();
        for _ in 0..20 {
            let Shown { from, filled } =
                RandomShortSide { shorter: [80, 80] }.draw([400, 200], 160, &mut rng);
            assert_eq!((from, filled), (Rect::whole([400, 200]), [160, 80]));
            let Shown { from, filled } =
                RandomShortSide { shorter: [80, 80] }.draw([200, 600], 160, &mut rng);
            assert_eq!((from.width, from.height, filled), (200, 400, [80, 160]));
            assert!(from.top <= 200);
        }
    }

    #[test]
    fn lengths_are_distributed_as_asked() {
        let mut rng = Key::new(3, Purpose::Augment).stream();
        let crop = RandomShortSide { shorter: [256, 480] };
        let rects: Vec<_> = (0..2000).map(|_| crop.draw([4800, 2560], 224, &mut rng).from).collect();
        // A length of 256 shows 224 / 256 of the shorter side, one of 480 only 224 / 480.
        let lengths: Vec<f64> = rects.iter().map(|rect| 224.0 * 2560.0 / f64::from(rect.width)).collect();
        assert!(lengths.iter().all(|length| (255.9..480.2).contains(length)));
        let mean = lengths.iter().sum::<f64>() / 2000.0;
        assert!((mean - 368.0).abs() < 4.0, "{mean}");
        let left = rects.iter().filter(|rect| 2 * rect.left + rect.width < 4800).count();
        assert!((900..1100).contains(&left), "{left}");
    }
}
