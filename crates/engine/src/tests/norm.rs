//! Batch normalization in its three modes.

use super::{CPU, EPS, assert_close, noise, random, values};
use crate::{Activation, Affine, NormStatistics, Tensor};

/// Mean and unbiased variance of every channel.
fn statistics(batch: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let shape = batch.shape();
    let (channels, area) = (shape[1], shape[2..].iter().product::<usize>());
    let data = values(batch);
    let of = |channel: usize| -> Vec<f64> {
        data.chunks(area).skip(channel).step_by(channels).flatten().map(|&v| f64::from(v)).collect()
    };
    let pairs = (0..channels).map(|channel| {
        let all = of(channel);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        (mean, all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (all.len() - 1) as f64)
    });
    pairs.unzip()
}

fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

#[test]
fn batch_statistics_normalize_each_channel() {
    let (weight, bias) = (Tensor::ones(&[3], CPU).unwrap(), Tensor::zeros(&[3], CPU).unwrap());
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let output = random(&[4, 3, 5, 5], 1).batch_norm(affine, NormStatistics::Batch).unwrap();
    assert!(output.is_channels_last());
    let (mean, variance) = statistics(&output);
    assert!(mean.iter().all(|m| m.abs() < 1e-6));
    assert!(variance.iter().all(|v| (v - 100.0 / 99.0).abs() < 1e-3));
}

#[test]
fn fixed_statistics_are_a_scale_and_a_shift() {
    let weight = Tensor::from_slice(&[2.0], &[1]).unwrap();
    let bias = Tensor::from_slice(&[1.0], &[1]).unwrap();
    let mean = Tensor::from_slice(&[3.0], &[1]).unwrap();
    let variance = Tensor::from_slice(&[4.0], &[1]).unwrap();
    let input = Tensor::from_slice(&[3.0, 5.0], &[1, 1, 1, 2]).unwrap();
    let fixed = NormStatistics::Fixed { mean: &mean, variance: &variance };
    let output = input.batch_norm(Affine { weight: &weight, bias: &bias, eps: EPS }, fixed).unwrap();
    let expected = 1.0 + 4.0 / (4.0 + EPS).sqrt();
    assert_close(&values(&output), &[1.0, expected as f32], 1e-6);
}

#[test]
fn collecting_with_one_over_k_is_the_cumulative_average() {
    let (weight, bias) = (Tensor::ones(&[2], CPU).unwrap(), Tensor::zeros(&[2], CPU).unwrap());
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let mut mean = Tensor::zeros(&[2], CPU).unwrap();
    let mut variance = Tensor::ones(&[2], CPU).unwrap();
    let (mut mean_sum, mut variance_sum) = ([0.0; 2], [0.0; 2]);
    for k in 1..=3 {
        let batch = random(&[3, 2, 4, 4], k).scale(k as f64).unwrap();
        let collect =
            NormStatistics::Collect { mean: &mut mean, variance: &mut variance, momentum: 1.0 / k as f64 };
        batch.batch_norm(affine, collect).unwrap();
        let (m, v) = statistics(&batch);
        (0..2).for_each(|c| {
            mean_sum[c] += m[c] / 3.0;
            variance_sum[c] += v[c] / 3.0;
        });
    }
    assert_close(&values(&mean), &floats(&mean_sum), 1e-5);
    assert_close(&values(&variance), &floats(&variance_sum), 1e-5);
}

/// The output, and the gradients of input, weight and bias for a loss that weights every output.
fn outcome(
    shape: &[usize],
    activation: Activation,
    run: impl Fn(&Tensor, Affine<'_>, Activation) -> Tensor,
) -> Vec<Vec<f32>> {
    let channels = shape[1];
    let leaf = |tensor: Tensor| tensor.require_grad().unwrap();
    // The values are far from zero mean and unit variance, so that about half of the outputs are clamped.
    let shift = Tensor::from_slice(&noise(channels, 4), &[1, channels, 1, 1]).unwrap();
    let input = random(shape, 1).scale(3.0).unwrap();
    let input = leaf(if shape.len() == 4 { input.add(&shift).unwrap() } else { input });
    let weight = leaf(Tensor::from_slice(&noise(channels, 5), &[channels]).unwrap().scale(8.0).unwrap());
    let bias = leaf(Tensor::from_slice(&noise(channels, 6), &[channels]).unwrap());
    let output = run(&input, Affine { weight: &weight, bias: &bias, eps: EPS }, activation);
    output.multiply(&random(shape, 7)).unwrap().sum().unwrap().backward().unwrap();
    assert!(output.is_channels_last());
    let grads = [&input, &weight, &bias].map(|leaf| values(&leaf.grad().unwrap().unwrap()));
    std::iter::once(values(&output)).chain(grads).collect()
}

#[test]
fn norm_and_activation_together_are_norm_then_activation() {
    // The channel counts cover every lane width and tail; the sizes cover every block, unroll and chunk.
    let shapes: [&[usize]; 5] =
        [&[4, 3, 5, 5], &[2, 24, 17, 19], &[3, 41, 1, 7], &[2, 64, 40, 41], &[2, 9, 3, 4, 5]];
    for shape in shapes {
        for activation in [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::HardSwish] {
            let apart = outcome(shape, activation, |x, affine, activation| {
                x.batch_norm(affine, NormStatistics::Batch).unwrap().activation(activation).unwrap()
            });
            let together = outcome(shape, activation, |x, affine, activation| {
                x.batch_norm_activation(affine, NormStatistics::Batch, activation).unwrap()
            });
            for (together, apart) in together.iter().zip(&apart) {
                assert_close(together, apart, 1e-5);
            }
        }
    }
}

#[test]
fn fused_statistics_are_collected_and_fixed_like_the_plain_ones() {
    let weight = Tensor::from_slice(&noise(5, 5), &[5]).unwrap();
    let bias = Tensor::from_slice(&noise(5, 6), &[5]).unwrap();
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let input = random(&[4, 5, 6, 7], 1);
    let collected = |fused: bool| {
        let mut mean = random(&[5], 8);
        let mut variance = Tensor::ones(&[5], CPU).unwrap();
        let statistics = NormStatistics::Collect { mean: &mut mean, variance: &mut variance, momentum: 0.25 };
        if fused {
            input.batch_norm_activation(affine, statistics, Activation::Relu6).unwrap();
        } else {
            input.batch_norm(affine, statistics).unwrap();
        }
        (mean, variance)
    };
    let ((mean, variance), (plain_mean, plain_variance)) = (collected(true), collected(false));
    assert_close(&values(&mean), &values(&plain_mean), 1e-6);
    assert_close(&values(&variance), &values(&plain_variance), 1e-6);

    let fixed = || NormStatistics::Fixed { mean: &mean, variance: &variance };
    let together = input.batch_norm_activation(affine, fixed(), Activation::Relu6).unwrap();
    let apart = input.batch_norm(affine, fixed()).unwrap().relu6().unwrap();
    assert_close(&values(&together), &values(&apart), 1e-6);
}

#[test]
fn fixed_statistics_still_give_gradients() {
    let (mean, variance) = (Tensor::zeros(&[2], CPU).unwrap(), Tensor::ones(&[2], CPU).unwrap());
    let weight = Tensor::ones(&[2], CPU).unwrap().require_grad().unwrap();
    let bias = Tensor::zeros(&[2], CPU).unwrap();
    let fixed = NormStatistics::Fixed { mean: &mean, variance: &variance };
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let output = random(&[2, 2, 3, 3], 1).batch_norm_activation(affine, fixed, Activation::Relu).unwrap();
    output.sum().unwrap().backward().unwrap();
    assert!(weight.grad().unwrap().is_some());
}

#[test]
fn a_large_mean_costs_no_accuracy() {
    let (weight, bias) = (Tensor::ones(&[3], CPU).unwrap(), Tensor::zeros(&[3], CPU).unwrap());
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    let offset = Tensor::from_slice(&[100.0, -300.0, 0.0], &[1, 3, 1, 1]).unwrap();
    let input = random(&[4, 3, 20, 20], 1).add(&offset).unwrap();
    let apart = input.batch_norm(affine, NormStatistics::Batch).unwrap();
    let together = input.batch_norm_activation(affine, NormStatistics::Batch, Activation::Identity).unwrap();
    assert_close(&values(&together), &values(&apart), 1e-4);
}
