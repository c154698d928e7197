//! RandAugment: a few random operations out of fourteen, all with the same magnitude.
//!
//! Invariant: for the same operation, magnitude and sign, the result is that of torchvision on PIL images, byte for byte.

use mutualnet_core::RngStream;
use rand::Rng;
use serde::{Deserialize, Serialize};

use mutualnet_image::Image;

use super::affine::Affine;
use super::{enhance, tone};

/// Applies `n` operations, each drawn independently.
///
/// Interpolation is by the nearest pixel, and black comes in from outside.
///
/// # Source
/// `[RandAugment]`, in the form of `[torchvision transforms.RandAugment]` with 31 magnitudes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    /// How many of torchvision's fourteen operations are applied to an image, from 1 to 14; one may be drawn twice.
    pub n: u32,
    /// How strong they are, from 0 to 30.
    pub magnitude: u32,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self { n: 2, magnitude: 9 }
    }
}

impl RandAugment {
    /// The largest magnitude.
    pub const MAX_MAGNITUDE: u32 = 30;

    /// Draws operations and signs and applies them; the content of `spare` does not matter before or after.
    pub fn apply(&self, image: &mut Image, spare: &mut Vec<u8>, rng: &mut RngStream) {
        for _ in 0..self.n {
            let operation = Operation::ALL[rng.random_range(0..Operation::ALL.len())];
            let strength = operation.strength(self.magnitude, image);
            let is_negative = operation.is_signed() && rng.random();
            operation.apply(image, spare, if is_negative { -strength } else { strength });
        }
    }
}

/// What can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

impl Operation {
    /// In torchvision's order.
    const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// What a magnitude means: a slope, pixels, degrees, a change of a factor, bits that are kept, or a threshold.
    fn strength(self, magnitude: u32, image: &Image) -> f32 {
        let pixels = |side: u32| evenly(0.0, (150.0 / 331.0 * f64::from(side)) as f32, magnitude);
        match self {
            Self::Identity | Self::AutoContrast | Self::Equalize => 0.0,
            Self::ShearX | Self::ShearY => evenly(0.0, 0.3, magnitude),
            Self::TranslateX => pixels(image.width()),
            Self::TranslateY => pixels(image.height()),
            Self::Rotate => evenly(0.0, 30.0, magnitude),
            Self::Brightness | Self::Color | Self::Contrast | Self::Sharpness => evenly(0.0, 0.9, magnitude),
            Self::Posterize => 8.0 - (magnitude as f32 / 7.5).round_ties_even(),
            Self::Solarize => evenly(255.0, 0.0, magnitude),
        }
    }

    /// Whether the strength may also be negative.
    fn is_signed(self) -> bool {
        match self {
            Self::ShearX | Self::ShearY | Self::TranslateX | Self::TranslateY | Self::Rotate => true,
            Self::Brightness | Self::Color | Self::Contrast | Self::Sharpness => true,
            Self::Identity | Self::Posterize | Self::Solarize | Self::AutoContrast | Self::Equalize => false,
        }
    }

    fn apply(self, image: &mut Image, spare: &mut Vec<u8>, strength: f32) {
        let amount = f64::from(strength);
        match self {
            Self::Identity => {}
            Self::ShearX => Affine::shear_x(amount).apply(image, spare),
            Self::ShearY => Affine::shear_y(amount).apply(image, spare),
            Self::TranslateX => Affine::shift(amount.trunc(), 0.0).apply(image, spare),
            Self::TranslateY => Affine::shift(0.0, amount.trunc()).apply(image, spare),
            Self::Rotate => Affine::rotation(amount, image).apply(image, spare),
            Self::Brightness => enhance::brightness(image, 1.0 + strength),
            Self::Color => enhance::saturation(image, 1.0 + strength),
            Self::Contrast => enhance::contrast(image, 1.0 + strength),
            Self::Sharpness => enhance::sharpness(image, spare, 1.0 + strength),
            Self::Posterize => tone::posterize(image, strength as u32),
            Self::Solarize => tone::solarize(image, strength),
            Self::AutoContrast => tone::auto_contrast(image),
            Self::Equalize => tone::equalize(image),
        }
    }
}

/// Entry `magnitude` of the evenly spaced numbers between two ends, counted from the nearer end as `torch.linspace`
/// does: in single precision the other end would give other numbers.
fn evenly(first: f32, last: f32, magnitude: u32) -> f32 {
    let step = (last - first) / RandAugment::MAX_MAGNITUDE as f32;
    if magnitude < RandAugment::MAX_MAGNITUDE / 2 {
        first + step * magnitude as f32
    } else {
        last - step * (RandAugment::MAX_MAGNITUDE - magnitude) as f32
    }
}

#[cfg(test)]
mod tests;
