//! RandomResizedCrop: a rectangle of random area and aspect ratio.

use mutualnet_core::RngStream;
use rand::Rng;

use mutualnet_image::resize::Rect;

/// Draws rectangles whose area and aspect ratio are random.
///
/// # Source
/// `[torchvision transforms.RandomResizedCrop]`, `[Inception]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomResizedCrop {
    /// Smallest and largest share of the image's area.
    pub scale: [f64; 2],
    /// Smallest and largest width over height.
    pub ratio: [f64; 2],
}

/// Draws before the fallback to a center crop.
const TRIES: usize = 10;

impl RandomResizedCrop {
    /// Draws a rectangle inside an image of that many columns and rows; after ten misses it is the largest allowed one
    /// in the middle.
    pub fn draw(&self, columns: u32, rows: u32, rng: &mut RngStream) -> Rect {
        let (width, height) = (f64::from(columns), f64::from(rows));
        for _ in 0..TRIES {
            let area = width * height * rng.random_range(self.scale[0]..=self.scale[1]);
            let ratio = rng.random_range(self.ratio[0].ln()..=self.ratio[1].ln()).exp();
            let w = (area * ratio).sqrt().round_ties_even();
            let h = (area / ratio).sqrt().round_ties_even();
            if (1.0..=width).contains(&w) && (1.0..=height).contains(&h) {
                let (w, h) = (w as u32, h as u32);
                let top = rng.random_range(0..=rows - h);
                let left = rng.random_range(0..=columns - w);
                return Rect { left, top, width: w, height: h };
            }
        }
        self.fallback(columns, rows)
    }

    fn fallback(&self, columns: u32, rows: u32) -> Rect {
        let (width, height) = (f64::from(columns), f64::from(rows));
        let ratio = (width / height).clamp(self.ratio[0], self.ratio[1]);
        let w = width.min((height * ratio).round_ties_even()).max(1.0);
        let h = height.min((width / ratio).round_ties_even()).max(1.0);
        Rect::center([columns, rows], w as u32, h as u32)
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};
    use proptest::prelude::*;

    use super::*;

    const CROP: RandomResizedCrop = RandomResizedCrop { scale: [0.25, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };

    proptest! {
        #[test]
        fn it_stays_inside(width in 1u32..300, height in 1u32..300, seed: u64, low in 0.01f64..1.0) {
            let crop = RandomResizedCrop { scale: [low, 1.0], ..CROP };
            let mut rng = Key::new(seed, Purpose::Augment).stream();
            for _ in 0..20 {
                let rect = crop.draw(width, height, &mut rng);
                prop_assert!(rect.width >= 1 && rect.height >= 1);
                prop_assert!(rect.left + rect.width <= width && rect.top + rect.height <= height, "{rect:?}");
            }
        }
    }

    #[test]
    fn area_and_shape_are_distributed_as_asked() {
        let mut rng = Key::new(3, Purpose::Augment).stream();
        let rects: Vec<_> = (0..4000).map(|_| CROP.draw(1000, 1000, &mut rng)).collect();
        let areas: Vec<f64> = rects.iter().map(|r| f64::from(r.width) * f64::from(r.height) / 1e6).collect();
        let ratios: Vec<f64> = rects.iter().map(|r| f64::from(r.width) / f64::from(r.height)).collect();
        assert!(areas.iter().all(|a| (0.248..=1.0).contains(a)));
        assert!(ratios.iter().all(|r| (0.745..=1.343).contains(r)));
        let mean = areas.iter().sum::<f64>() / 4000.0;
        // Uniform on 0.25–1 would be 0.625; shapes that do not fit are drawn again, which integrates to 0.5638.
        assert!((mean - 0.5638).abs() < 0.01, "{mean}");
        let tall = ratios.iter().filter(|&&r| r < 1.0).count();
        assert!((1850..2150).contains(&tall), "{tall}");
    }

    #[test]
    fn extreme_shapes_fall_back_to_the_middle() {
        let mut rng = Key::new(3, Purpose::Augment).stream();
        let wide = RandomResizedCrop { scale: [1.0, 1.0], ..CROP }.draw(900, 30, &mut rng);
        assert_eq!(wide, Rect { left: 430, top: 0, width: 40, height: 30 });
    }
}
