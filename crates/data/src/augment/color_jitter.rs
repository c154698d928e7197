//! Color jitter: random brightness, contrast and saturation, in random order.

use mutualnet_core::RngStream;
use rand::Rng;
use rand::seq::SliceRandom;

use mutualnet_image::Image;

use super::enhance::{brightness, contrast, saturation};

/// Blends the image with black, with its mean gray and with its own gray version.
///
/// # Source
/// `[torchvision transforms.ColorJitter]` on PIL images, with the same strength for all three; `[MN-code]`: 0.4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColorJitter {
    /// Factors are uniform on `1 - strength` to `1 + strength`; from 0 to 1.
    pub strength: f32,
}

impl ColorJitter {
    /// Draws order and factors and applies them in place.
    pub fn apply(&self, image: &mut Image, rng: &mut RngStream) {
        let mut steps: [fn(&mut Image, f32); 3] = [brightness, contrast, saturation];
        steps.shuffle(rng);
        for step in steps {
            let factor = rng.random_range(1.0 - self.strength..=1.0 + self.strength);
            step(image, factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};

    use super::*;

    #[test]
    fn strength_zero_changes_nothing_and_the_stream_decides() {
        let image = Image::new(2, 1, vec![200, 100, 50, 10, 20, 30]);
        let jittered = |strength, sample| {
            let mut image = image.clone();
            ColorJitter { strength }
                .apply(&mut image, &mut Key::new(1, Purpose::Augment).sample(sample).stream());
            image
        };
        assert_eq!(jittered(0.0, 1), image);
        assert_eq!(jittered(0.4, 1), jittered(0.4, 1));
        assert_ne!(jittered(0.4, 1), jittered(0.4, 2));
    }
}
