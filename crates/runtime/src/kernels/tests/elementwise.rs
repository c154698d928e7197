//! Kernels without weights: the epilogue alone, gates, curves, max pooling.

use super::*;

const NO_CLAMP: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// A call that changes nothing.
pub(super) fn call(work: Work, input: Feature, output: Feature) -> KernelCall {
    KernelCall {
        work,
        input,
        gate: None,
        residual: None,
        output,
        coefficients: 0,
        pre: NO_CLAMP,
        post: NO_CLAMP,
        curve: None,
    }
}

/// Scale and shift, the same for every channel.
pub(super) fn coefficients(output: Feature, scale: f32, shift: f32) -> Buffer {
    let mut coefficients = Buffer::zeroed(2 * output.stride_c).unwrap();
    coefficients[..output.channels].fill(scale);
    coefficients[output.stride_c..][..output.channels].fill(shift);
    coefficients
}

#[test]
fn pointwise_is_the_epilogue() {
    let (channels, size, n) = (20, [3, 5], 2);
    let values = numbers(7, n * size[0] * size[1] * channels);
    for isa in Isa::available() {
        let input = feature(0, size, channels);
        let output = feature(input.end(), size, channels);
        let (pre, post) = ([0.0, 1.0], [-0.25, f32::INFINITY]);
        let call = KernelCall { residual: Some(input), pre, post, ..call(Work::Pointwise, input, output) };
        let arena_len = output.end();
        let program = program(vec![call], input, output, coefficients(output, 2.0, -0.5), arena_len);
        let got = run(prepared(program, None, isa), 2, n, &values, None);
        for (got, x) in got.iter().zip(&values) {
            let expected = ((2.0 * x - 0.5).clamp(0.0, 1.0) + x).max(-0.25);
            assert!((got - expected).abs() < 1e-6, "{isa}: {got} {expected}");
        }
    }
}

#[test]
fn a_gate_is_a_factor_per_channel_of_its_image() {
    let (channels, size, n) = (20, [3, 5], 3);
    let values = numbers(7, n * size[0] * size[1] * channels);
    let factors = numbers(8, n * channels);
    for isa in Isa::available() {
        let input = feature(0, size, channels);
        let gate = feature(input.end(), [1, 1], channels);
        let output = feature(gate.end(), size, channels);
        for threads in [1, 2, 5] {
            let call = KernelCall { gate: Some(gate), ..call(Work::Pointwise, input, output) };
            let arena_len = output.end();
            let program = program(vec![call], input, output, coefficients(output, 1.0, 0.0), arena_len);
            let got = run(prepared(program, None, isa), threads, n, &values, Some((gate, factors.clone())));
            assert_eq!(got.len(), values.len());
            for (at, (got, x)) in got.iter().zip(&values).enumerate() {
                let factor = factors[at / (size[0] * size[1] * channels) * channels + at % channels];
                assert_eq!(*got, x * factor, "{isa}, number {at}");
            }
        }
    }
}

#[test]
fn curves_are_exact_to_a_few_units_in_the_last_place() {
    let mut values: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.005).collect();
    values.extend([-1e4, -100.0, -88.5, -87.0, -3.0, -1e-6, 0.0, 1e-6, 3.0, 87.0, 100.0, 1e4, f32::NAN]);
    for isa in Isa::available() {
        for curve in CURVES {
            let input = feature(0, [1, values.len()], 1);
            let output = feature(input.end(), [1, values.len()], 1);
            let call = KernelCall { curve: Some(curve), ..call(Work::Pointwise, input, output) };
            let arena_len = output.end();
            let program = program(vec![call], input, output, coefficients(output, 1.0, 0.0), arena_len);
            let got = run(prepared(program, None, isa), 1, 1, &values, None);
            for (got, x) in got.iter().zip(&values) {
                let expected = bent(curve, f64::from(*x));
                let off = (f64::from(*got) - expected).abs();
                // The rounding of the exponent counts in proportion to it. Below the smallest power that is computed there is
                // nothing but a very small number.
                let relative = 4e-7 + 6e-8 * f64::from(x.abs());
                let near = off <= relative * expected.abs() + 1e-33 || (*x < -80.0 && off < 1e-30);
                assert!(
                    near || (got.is_nan() && x.is_nan()),
                    "{isa} {curve:?} of {x}: {got}, not {expected}"
                );
            }
        }
    }
}

/// The largest value under a window of `[n, h, w, c]`.
fn largest(values: &[f32], [size, out]: [Pair; 2], channels: usize, window: Window) -> Vec<f32> {
    let [h, w] = out;
    let images = values.len() / (size[0] * size[1] * channels);
    let mut expected = Vec::new();
    for at in 0..images * h * w * channels {
        let (c, x, y) = (at % channels, at / channels % w, at / (channels * w) % h);
        let image = at / (channels * w * h) * size[0] * size[1] * channels;
        let mut best = f32::NEG_INFINITY;
        for (ky, kx) in (0..window.taps()).map(|tap| (tap / window.kernel[1], tap % window.kernel[1])) {
            let iy = (y * window.stride[0] + ky).checked_sub(window.padding[0]).filter(|&iy| iy < size[0]);
            let ix = (x * window.stride[1] + kx).checked_sub(window.padding[1]).filter(|&ix| ix < size[1]);
            let (Some(iy), Some(ix)) = (iy, ix) else { continue };
            let value = values[image + (iy * size[1] + ix) * channels + c];
            best = if value > best || value.is_nan() { value } else { best };
        }
        expected.push(best);
    }
    expected
}

#[test]
fn max_pooling_takes_the_largest_inside() {
    for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 3, 2), (1, 1, 0)] {
        for (size, channels, n) in [([9, 14], 24, 2), ([5, 5], 3, 1), ([1, 1], 16, 1), ([7, 6], 64, 3)] {
            let window = window(kernel, stride, padding);
            if size[0] + 2 * padding < kernel {
                continue;
            }
            let out = [0, 1].map(|axis| (size[axis] + 2 * padding - kernel) / stride + 1);
            // Below 0, so that a zero of the padding would win.
            let values = numbers(9, n * size[0] * size[1] * channels);
            let values: Vec<_> = values.into_iter().map(|value| value - 2.0).collect();
            let expected = largest(&values, [size, out], channels, window);
            for isa in Isa::available() {
                for threads in [1, 3] {
                    let input = feature(0, size, channels);
                    let output = feature(input.end(), out, channels);
                    let call = call(Work::MaxPool { window }, input, output);
                    let arena_len = output.end();
                    let program =
                        program(vec![call], input, output, coefficients(output, 1.0, 0.0), arena_len);
                    let got = run(prepared(program, None, isa), threads, n, &values, None);
                    assert_eq!(got, expected, "{isa} {window:?} of {size:?}");
                }
            }
        }
    }
}

#[test]
fn max_pooling_keeps_what_is_not_a_number() {
    for isa in Isa::available() {
        for at in 0..4 {
            let mut values = [1.0, 2.0, 3.0, 4.0];
            values[at] = f32::NAN;
            let input = feature(0, [2, 2], 1);
            let output = feature(input.end(), [1, 1], 1);
            let call = call(Work::MaxPool { window: window(2, 2, 0) }, input, output);
            let arena_len = output.end();
            let program = program(vec![call], input, output, coefficients(output, 1.0, 0.0), arena_len);
            let got = run(prepared(program, None, isa), 1, 1, &values, None);
            assert!(got[0].is_nan(), "{isa}: {got:?}");
        }
    }
}
