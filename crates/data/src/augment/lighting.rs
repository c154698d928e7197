//! Lighting: a random shift of all colors along the principal components of natural images.

use mutualnet_core::RngStream;
use rand::Rng;

/// Adds random multiples of the principal components of ImageNet's colors.
///
/// Deviation: the reference adds the shift, which is meant for colors from 0 to 1, to bytes and truncates the result,
/// which only lowers about half of the channels by one level; here it is added as a float on the scale 0–1, as in the
/// code that the reference took it from.
///
/// # Source
/// `[AlexNet §4.1]`, `[fb.resnet.torch datasets/transforms.lua]`, `[MN-code utils/transforms.py]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lighting {
    /// Standard deviation of the three multiples; 0.1 in the reference.
    pub strength: f32,
}

/// Eigenvalues of the covariance of ImageNet's colors (standard deviations, scale 0–1).
const EIGENVALUES: [f64; 3] = [0.2175, 0.0188, 0.0045];

/// Eigenvectors in columns; rows are red, green, blue.
const EIGENVECTORS: [[f64; 3]; 3] =
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];

impl Lighting {
    /// Draws what is added to red, green and blue, on the scale 0–1.
    pub fn draw(&self, rng: &mut RngStream) -> [f32; 3] {
        let along = EIGENVALUES.map(|value| value * f64::from(self.strength) * normal(rng));
        EIGENVECTORS.map(|row| row.iter().zip(along).map(|(a, b)| a * b).sum::<f64>() as f32)
    }
}

/// A draw from the standard normal distribution, by the method of Box and Muller.
fn normal(rng: &mut RngStream) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};

    use super::*;

    #[test]
    fn shifts_have_the_covariance_of_the_components() {
        let mut rng = Key::new(5, Purpose::Augment).stream();
        let n = 20_000;
        let draws: Vec<_> = (0..n).map(|_| Lighting { strength: 0.1 }.draw(&mut rng)).collect();
        for c in 0..3 {
            let variance = draws.iter().map(|d| f64::from(d[c]).powi(2)).sum::<f64>() / f64::from(n);
            let expected: f64 = (0..3).map(|k| (EIGENVECTORS[c][k] * EIGENVALUES[k] * 0.1).powi(2)).sum();
            assert!((variance / expected - 1.0).abs() < 0.05, "{c}: {variance} {expected}");
        }
    }
}
