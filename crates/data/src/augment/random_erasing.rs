//! Random erasing: a rectangle of the normalized image is filled with the mean color.

use mutualnet_core::RngStream;
use rand::Rng;

use mutualnet_image::resize::Rect;

/// Sometimes erases one rectangle of random area, shape and position.
///
/// # Source
/// `[torchvision transforms.RandomErasing]` with its defaults: 0 after normalization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomErasing {
    /// Probability that a rectangle is erased, from 0 to 1.
    pub probability: f32,
}

/// Smallest and largest share of the image's area.
const SCALE: [f64; 2] = [0.02, 0.33];
/// Smallest and largest height over width.
const RATIO: [f64; 2] = [0.3, 3.3];
/// Draws before the image is left as it is.
const TRIES: usize = 10;

impl RandomErasing {
    /// Draws whether and where, and erases in place.
    ///
    /// # Shapes
    /// - `image`: `[side, side, 3]` f32, normalized
    ///
    /// # Panics
    /// `image` has another length.
    pub fn apply(&self, image: &mut [f32], side: u32, rng: &mut RngStream) {
        assert_eq!(image.len(), 3 * (side as usize).pow(2), "an image of side {side}");
        let Some(rect) = self.draw(side, rng) else { return };
        let row_floats = 3 * side as usize;
        for row in image.chunks_exact_mut(row_floats).skip(rect.top as usize).take(rect.height as usize) {
            row[3 * rect.left as usize..][..3 * rect.width as usize].fill(0.0);
        }
    }

    fn draw(&self, side: u32, rng: &mut RngStream) -> Option<Rect> {
        if rng.random::<f32>() >= self.probability {
            return None;
        }
        let whole = f64::from(side).powi(2);
        for _ in 0..TRIES {
            let area = whole * rng.random_range(SCALE[0]..=SCALE[1]);
            let ratio = rng.random_range(RATIO[0].ln()..=RATIO[1].ln()).exp();
            let height = (area * ratio).sqrt().round_ties_even() as u32;
            let width = (area / ratio).sqrt().round_ties_even() as u32;
            if height < side && width < side {
                let top = rng.random_range(0..=side - height);
                let left = rng.random_range(0..=side - width);
                return Some(Rect { left, top, width, height });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};

    use super::*;

    #[test]
    fn rectangles_are_as_frequent_and_as_large_as_asked() {
        let mut rng = Key::new(9, Purpose::Augment).stream();
        let n = 20_000;
        let draws: Vec<_> =
            (0..n).filter_map(|_| RandomErasing { probability: 0.2 }.draw(64, &mut rng)).collect();
        let share = draws.len() as f64 / f64::from(n);
        assert!((share - 0.2).abs() < 0.01, "{share}");
        let areas = draws.iter().map(|r| f64::from(r.width * r.height) / 4096.0);
        let mean = areas.clone().sum::<f64>() / draws.len() as f64;
        // Uniform on 0.02–0.33 would be 0.175; the largest ones do not fit in every shape.
        assert!((0.16..0.18).contains(&mean), "{mean}");
        assert!(areas.clone().all(|area| (0.015..0.34).contains(&area)));
        assert!(draws.iter().all(|r| r.left + r.width <= 64 && r.top + r.height <= 64));
    }

    #[test]
    fn a_rectangle_becomes_zero_and_the_rest_stays() {
        for sample in 0..50 {
            let mut rng = Key::new(9, Purpose::Augment).sample(sample).stream();
            let rect = RandomErasing { probability: 1.0 }.draw(16, &mut rng.clone()).unwrap();
            let mut image = vec![1.0; 3 * 16 * 16];
            RandomErasing { probability: 1.0 }.apply(&mut image, 16, &mut rng);
            let at = |x: u32, y: u32| image[3 * (16 * y + x) as usize..][..3].to_vec();
            let erased = image.iter().filter(|&&value| value == 0.0).count();
            assert_eq!(erased, 3 * (rect.width * rect.height) as usize);
            assert_eq!(at(rect.left, rect.top), [0.0; 3]);
            assert_eq!(at(rect.left + rect.width - 1, rect.top + rect.height - 1), [0.0; 3]);
        }
        let mut image = vec![1.0; 3 * 16 * 16];
        let mut rng = Key::new(9, Purpose::Augment).stream();
        RandomErasing { probability: 0.0 }.apply(&mut image, 16, &mut rng);
        assert!(image.iter().all(|&value| value == 1.0));
    }
}
