//! Tests of the engine against hand computations, identities and finite differences.

mod adamw;
mod autograd;
mod depthwise;
mod errors;
mod group;
mod layout;
mod loss;
mod norm;
mod ops;
mod pixels;
mod sgd;

use crate::{Device, Tensor};

/// The eps of every batch norm in these tests.
const EPS: f64 = 1e-5;

/// Reproducible values in `[-1, 1)` that do not use libtorch's generator.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A tensor of `noise`, in channels-last memory if it has a spatial dimension.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let flat = Tensor::from_slice(&noise(shape.iter().product(), seed), shape).unwrap();
    flat.channels_last().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec_f32().unwrap()
}

/// The largest difference, relative to the largest expected magnitude.
fn relative_error(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1e-6_f32, |top, value| top.max(value.abs()));
    got.iter().zip(expected).fold(0.0_f32, |top, (a, b)| top.max((a - b).abs())) / scale
}

fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
    let error = relative_error(got, expected);
    assert!(error <= tolerance, "relative error {error:e}\n got {got:?}\n expected {expected:?}");
}

const CPU: Device = Device::Cpu;
