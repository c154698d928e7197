//! Compares the fused norm, activation and depthwise convolution with the three separate operations.

use super::{CPU, EPS, assert_close, noise, random, relative_error, values};
use crate::{Activation, Affine, ConvGeometry, NormStatistics, Tensor, no_grad};

fn geometry(stride: &[usize; 2], channels: usize) -> ConvGeometry<'_> {
    ConvGeometry { stride, padding: &[1, 1], dilation: &[1, 1], groups: channels }
}

/// Side, stride and dilation of a kernel.
type Kernel = [usize; 3];

/// The output, and the gradients of input, scale, shift and kernel. `time` are the taps along time, for clips.
fn outcome(
    (shape, time): (&[usize], &[usize]),
    kernel: Kernel,
    activation: Activation,
    fused: bool,
) -> Vec<Vec<f32>> {
    let [side, stride, dilation] = kernel;
    let channels = shape[1];
    let axes = |of_time: fn(usize) -> usize, of_image: usize| -> Vec<usize> {
        time.iter().map(|&taps| of_time(taps)).chain([of_image; 2]).collect()
    };
    let leaf = |tensor: Tensor| tensor.require_grad().unwrap();
    let input = leaf(random(shape, 1).scale(3.0).unwrap());
    let weight = leaf(Tensor::from_slice(&noise(channels, 2), &[channels]).unwrap().scale(8.0).unwrap());
    let bias = leaf(Tensor::from_slice(&noise(channels, 3), &[channels]).unwrap());
    let kernel = leaf(random(&[vec![channels, 1], axes(|taps| taps, side)].concat(), 4));
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let (stride, padding) = (axes(|_| 1, stride), axes(|taps| taps / 2, side / 2 * dilation));
    let dilation = axes(|_| 1, dilation);
    let geometry = ConvGeometry { stride: &stride, padding: &padding, dilation: &dilation, groups: channels };
    let output = if fused {
        input
            .batch_norm_activation_convolution(affine, NormStatistics::Batch, activation, &kernel, &geometry)
            .unwrap()
    } else {
        let normalized = input.batch_norm(affine, NormStatistics::Batch).unwrap();
        normalized.activation(activation).unwrap().convolution(&kernel, None, &geometry).unwrap()
    };
    assert!(output.is_channels_last());
    output.multiply(&random(&output.shape(), 5)).unwrap().sum().unwrap().backward().unwrap();
    let grads = [&input, &weight, &bias, &kernel].map(|leaf| values(&leaf.grad().unwrap().unwrap()));
    std::iter::once(values(&output)).chain(grads).collect()
}

#[test]
fn one_operation_equals_three() {
    // The sizes cover odd and even sides, every block and remainder of columns, bands, lane widths and tails.
    let shapes: [[usize; 4]; 7] = [
        [2, 8, 1, 1],
        [2, 3, 2, 3],
        [3, 24, 7, 7],
        [1, 41, 10, 11],
        [2, 16, 33, 16],
        [4, 32, 56, 9],
        [40, 16, 5, 6],
    ];
    for shape in shapes {
        for (kernel, activations) in [
            (
                [3, 1, 1],
                &[Activation::Identity, Activation::Relu, Activation::Relu6, Activation::HardSwish][..],
            ),
            ([3, 2, 1], &[Activation::Identity, Activation::Relu, Activation::Relu6, Activation::HardSwish]),
            ([3, 1, 2], &[Activation::Relu6]),
            ([3, 2, 3], &[Activation::HardSwish]),
            ([5, 1, 1], &[Activation::Relu, Activation::HardSwish]),
            ([5, 2, 1], &[Activation::Relu, Activation::HardSwish]),
            ([5, 1, 2], &[Activation::HardSwish]),
            ([5, 2, 2], &[Activation::Relu6]),
        ] {
            for &activation in activations {
                let one = outcome((&shape, &[]), kernel, activation, true);
                let three = outcome((&shape, &[]), kernel, activation, false);
                for (index, (one, three)) in one.iter().zip(&three).enumerate() {
                    let error = relative_error(one, three);
                    assert!(error <= 1e-5, "{shape:?} / {kernel:?} {activation:?}, part {index}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn one_operation_equals_three_on_clips() {
    for shape in [[2, 8, 1, 1, 1], [1, 3, 2, 2, 3], [2, 24, 3, 7, 7], [1, 41, 5, 10, 11], [3, 54, 4, 17, 9]] {
        for (time, kernel, activation) in [
            (3, [3, 1, 1], Activation::Relu),
            (3, [3, 2, 1], Activation::Relu),
            (3, [3, 1, 1], Activation::HardSwish),
            (3, [3, 1, 2], Activation::Relu6),
            (1, [3, 2, 1], Activation::Identity),
        ] {
            let one = outcome((&shape, &[time]), kernel, activation, true);
            let three = outcome((&shape, &[time]), kernel, activation, false);
            for (index, (one, three)) in one.iter().zip(&three).enumerate() {
                let error = relative_error(one, three);
                assert!(
                    error <= 1e-5,
                    "{shape:?} / {time} {kernel:?} {activation:?}, part {index}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn collected_and_fixed_statistics_are_the_plain_ones() {
    let weight = Tensor::from_slice(&noise(5, 5), &[5]).unwrap();
    let bias = Tensor::from_slice(&noise(5, 6), &[5]).unwrap();
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let (input, kernel) = (random(&[4, 5, 6, 7], 1), random(&[5, 1, 3, 3], 2));
    let geometry = geometry(&[2, 2], 5);
    let start = || (Tensor::zeros(&[5], CPU).unwrap(), Tensor::ones(&[5], CPU).unwrap());
    let ((mut mean, mut variance), (mut plain_mean, mut plain_variance)) = (start(), start());
    let collect = NormStatistics::Collect { mean: &mut mean, variance: &mut variance, momentum: 0.5 };
    input.batch_norm_activation_convolution(affine, collect, Activation::Relu6, &kernel, &geometry).unwrap();
    let collect =
        NormStatistics::Collect { mean: &mut plain_mean, variance: &mut plain_variance, momentum: 0.5 };
    input.batch_norm(affine, collect).unwrap();
    assert_close(&values(&mean), &values(&plain_mean), 1e-5);
    assert_close(&values(&variance), &values(&plain_variance), 1e-5);

    let fixed = || NormStatistics::Fixed { mean: &mean, variance: &variance };
    let one = input
        .batch_norm_activation_convolution(affine, fixed(), Activation::Relu6, &kernel, &geometry)
        .unwrap();
    let three = input.batch_norm(affine, fixed()).unwrap().relu6().unwrap();
    let three = three.convolution(&kernel, None, &geometry).unwrap();
    assert_close(&values(&one), &values(&three), 1e-5);
}

#[test]
fn the_thread_count_changes_no_bit() {
    let before = crate::threads();
    let outcomes = [1, 2, 3].map(|threads| {
        crate::set_threads(threads).unwrap();
        let image = outcome((&[4, 24, 40, 40], &[]), [5, 1, 2], Activation::Relu6, true);
        let clip = outcome((&[2, 24, 3, 40, 40], &[3]), [3, 2, 1], Activation::Relu, true);
        (image, clip)
    });
    crate::set_threads(before).unwrap();
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn other_convolutions_are_the_plain_operations() {
    let (weight, bias) = (Tensor::ones(&[4], CPU).unwrap(), Tensor::zeros(&[4], CPU).unwrap());
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let (input, kernel) = (random(&[2, 4, 5, 5], 1), random(&[6, 4, 1, 1], 2));
    let pointwise = ConvGeometry { stride: &[1, 1], padding: &[0, 0], dilation: &[1, 1], groups: 1 };
    let run = || {
        input
            .batch_norm_activation_convolution(
                affine,
                NormStatistics::Batch,
                Activation::Relu,
                &kernel,
                &pointwise,
            )
            .unwrap()
    };
    let apart = input.batch_norm(affine, NormStatistics::Batch).unwrap().relu().unwrap();
    let apart = apart.convolution(&kernel, None, &pointwise).unwrap();
    assert_close(&values(&no_grad(run)), &values(&apart), 1e-5);
}
