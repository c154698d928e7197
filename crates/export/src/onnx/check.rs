//! Compares what a written file computes with what the row computes.
//!
//! Separate from the interpreter, because the row is run by somebody else: only numbers come here.
//! Invariant: the images do not depend on anything but the row, so that a difference can be found again.

use std::path::Path;

use mutualnet_bundle::Bundle;
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Fit, Subnet, Tensor};
use rand::Rng;

use super::Interpreter;
use crate::{Error, Result};

/// The largest difference that rounding explains, in parts of the largest number.
const TOLERANCE: f32 = 1e-3;

/// Longest shorter side of images of any size: the check would else take minutes.
const MAX_SIDE: usize = 64;

/// Images to run both sides on.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    /// How many.
    pub n: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// `[n, h, w, 3]`, normalized.
    pub pixels: Vec<f32>,
}

impl Images {
    /// Images of noise, each with a contrast and a brightness of its own; the same each time.
    pub fn random(n: usize, size: [usize; 2], channels: usize) -> Self {
        let image = |idx: usize| {
            let mut rng = Key::new(0, Purpose::Generate).sample(idx as u64).stream();
            let (contrast, brightness) = (rng.random_range(0.2_f32..1.0), rng.random_range(-1.0_f32..1.0));
            let n = size[0] * size[1] * channels;
            let noise = (0..n).map(|_| brightness + contrast * rng.random_range(-1.5_f32..1.5));
            noise.collect::<Vec<_>>()
        };
        Self { n, size, pixels: (0..n).flat_map(image).collect() }
    }
}

/// Images for a row: squares for a network that sees those, in batches of 1 and 2; for one that sees whole images a square,
/// and a batch of images of another size and aspect.
///
/// # Errors
/// The network has no such width.
pub fn images(bundle: &Bundle, subnet: Subnet) -> Result<Vec<Images>> {
    let channels = bundle.network().channels(subnet.width)?[0];
    let side = subnet.input.resolution.get() as usize;
    let short = side.min(MAX_SIDE);
    let cases = match bundle.task().sees() {
        Fit::CenterCrop | Fit::Square => [(1, [side; 2]), (2, [side; 2])],
        Fit::Whole => [(1, [short; 2]), (2, [short, short * 3 / 2 + 1])],
    };
    Ok(cases.map(|(n, size)| Images::random(n, size, channels)).into())
}

/// How far two programs are apart.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Difference {
    /// The largest difference between two numbers.
    pub largest: f32,
    /// The largest absolute number.
    pub scale: f32,
}

impl Difference {
    /// The larger of both, each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { largest: self.largest.max(other.largest), scale: self.scale.max(other.scale) }
    }

    /// Accepts what rounding explains.
    ///
    /// # Errors
    /// [`Error::Differs`]: the difference is larger.
    pub fn check(self, path: &Path) -> Result<()> {
        let Self { largest, scale } = self;
        if largest <= TOLERANCE * scale.max(1.0) {
            return Ok(());
        }
        Err(Error::Differs { largest, scale, path: path.to_owned() })
    }
}

/// Runs a file on images and compares it with `expected`: by output its name and its numbers, `[n, h, w, c]`.
///
/// # Errors
/// The file cannot be run, or its outputs have other names or sizes.
pub fn compare(file: &Interpreter, images: &Images, expected: &[(&str, &[f32])]) -> Result<Difference> {
    let &Images { n, size: [height, width], ref pixels } = images;
    let channels = pixels.len() / (n * height * width);
    let data = transposed(pixels, n, [height * width, channels]);
    let outputs = file.run(Tensor { shape: vec![n, channels, height, width], data })?;
    let mut difference = Difference::default();
    if outputs.len() != expected.len() {
        return Err(Error::Outputs { expected: expected.len(), got: outputs.len() });
    }
    for ((name, output), (expected_name, expected)) in outputs.iter().zip(expected) {
        if name != expected_name || output.data.len() != expected.len() {
            let (what, reason) =
                (name.clone(), format!("the row has {} numbers of `{expected_name}`", expected.len()));
            return Err(Error::Onnx { what, reason });
        }
        let channels = output.shape[1];
        let positions = output.shape[2..].iter().product();
        let got = transposed(&output.data, n, [channels, positions]);
        for (a, b) in got.iter().zip(*expected) {
            // A number that is none is infinitely far from any other.
            let apart = (a - b).abs();
            let apart = if apart.is_nan() { f32::INFINITY } else { apart };
            difference = difference.max(Difference { largest: apart, scale: b.abs() });
        }
    }
    Ok(difference)
}

/// `[n, a, b]` as `[n, b, a]`.
fn transposed(data: &[f32], n: usize, [a, b]: [usize; 2]) -> Vec<f32> {
    let image = |idx: usize| {
        let image = &data[idx * a * b..][..a * b];
        (0..a * b).map(move |place| image[place % a * b + place / a])
    };
    (0..n).flat_map(image).collect()
}
