//! Compares losses with their formulas.

use super::{assert_close, noise, random, values};
use crate::Tensor;

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let total: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
    row.iter().map(|&v| f64::from(v) - total.ln()).collect()
}

#[test]
fn cross_entropy_is_the_mean_negative_log_likelihood() {
    let values = noise(3 * 4, 1);
    let labels = [2_i64, 0, 3];
    for smoothing in [0.0, 0.1] {
        let loss = |(row, label): (&[f32], i64)| {
            let log = log_softmax(row);
            -(1.0 - smoothing) * log[label as usize] - smoothing * log.iter().sum::<f64>() / 4.0
        };
        let expected = values.chunks(4).zip(labels).map(loss).sum::<f64>() / 3.0;
        let logits = Tensor::from_slice(&values, &[3, 4]).unwrap();
        let labels = Tensor::from_slice_i64(&labels, &[3]).unwrap();
        let loss = logits.cross_entropy(&labels, smoothing).unwrap().scalar().unwrap();
        assert!((loss - expected).abs() < 1e-6, "{loss}, not {expected}");
    }
}

#[test]
fn mixed_cross_entropy_is_what_timm_computes() {
    let lines = include_str!("../../golden/mixed_cross_entropy/expected.txt").lines();
    let numbers = lines.map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect());
    let [logits, first, second, shares, results @ ..]: [Vec<f32>; 8] =
        numbers.collect::<Vec<_>>().try_into().unwrap();
    let labels = [first, second].map(|labels| {
        let labels: Vec<_> = labels.into_iter().map(|label| label as i64).collect();
        Tensor::from_slice_i64(&labels, &[4]).unwrap()
    });
    let shares = Tensor::from_slice(&shares, &[4]).unwrap();
    for (smoothing, expected) in [0.0, 0.1].into_iter().zip(results.chunks(2)) {
        let logits = Tensor::from_slice(&logits, &[4, 5]).unwrap().require_grad().unwrap();
        let loss = logits.mixed_cross_entropy(labels.each_ref(), &shares, smoothing).unwrap();
        assert_close(&values(&loss), &expected[0], 1e-6);
        loss.backward().unwrap();
        assert_close(&values(&logits.grad().unwrap().unwrap()), &expected[1], 1e-6);
    }
}

#[test]
fn a_whole_share_is_plain_cross_entropy() {
    let logits = random(&[3, 4], 1);
    let [first, second] = [[2, 0, 3], [1, 1, 1]].map(|labels| Tensor::from_slice_i64(&labels, &[3]).unwrap());
    for (share, label) in [(1.0, &first), (0.0, &second)] {
        let shares = Tensor::from_slice(&[share; 3], &[3]).unwrap();
        let mixed = logits.mixed_cross_entropy([&first, &second], &shares, 0.1).unwrap();
        assert_close(&values(&mixed), &values(&logits.cross_entropy(label, 0.1).unwrap()), 1e-6);
    }
    let shares = Tensor::from_slice(&[1.0; 2], &[2]).unwrap();
    assert!(logits.mixed_cross_entropy([&first, &second], &shares, 0.0).is_err());
}

#[test]
fn alpha_divergence_is_what_alphanet_computes() {
    let lines = include_str!("../../golden/alpha_divergence/expected.txt").lines();
    let numbers = lines.map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect());
    let [student, teacher, images, gradient]: [Vec<f32>; 4] = numbers.collect::<Vec<_>>().try_into().unwrap();
    let student = Tensor::from_slice(&student, &[4, 5]).unwrap().require_grad().unwrap();
    let teacher = Tensor::from_slice(&teacher, &[4, 5]).unwrap();
    let loss = student.alpha_divergence(&teacher, 5.0).unwrap();
    let mean = f64::from(images.iter().sum::<f32>()) / 4.0;
    assert!((loss.scalar().unwrap() - mean).abs() < 1e-5 * mean, "{loss:?}, not {mean}");
    loss.backward().unwrap();
    assert_close(&values(&student.grad().unwrap().unwrap()), &gradient, 1e-5);
}

#[test]
fn kl_divergence_sums_over_classes_and_averages_over_the_batch() {
    let (student, teacher) = (noise(3 * 4, 1), noise(3 * 4, 2));
    let rows = student.chunks(4).zip(teacher.chunks(4));
    let expected: f64 = rows
        .flat_map(|(s, t)| log_softmax(s).into_iter().zip(log_softmax(t)))
        .map(|(s, t)| t.exp() * (t - s))
        .sum::<f64>()
        / 3.0;
    let student = Tensor::from_slice(&student, &[3, 4]).unwrap();
    let teacher = Tensor::from_slice(&teacher, &[3, 4]).unwrap();
    let loss = student.kl_divergence(&teacher).unwrap();
    assert_eq!(loss.shape(), Vec::<usize>::new());
    assert!((loss.scalar().unwrap() - expected).abs() < 1e-6);
    assert!(teacher.kl_divergence(&teacher).unwrap().scalar().unwrap().abs() < 1e-7);
}

#[test]
fn top1_counts_the_hits() {
    let logits = Tensor::from_slice(&[0.0, 1.0, 5.0, 2.0, 3.0, 4.0], &[3, 2]).unwrap();
    assert_eq!(logits.argmax().unwrap().to_vec_i64().unwrap(), [1, 0, 1]);
    let labels = Tensor::from_slice_i64(&[1, 1, 1], &[3]).unwrap();
    assert_eq!(logits.top1_correct(&labels).unwrap(), 2);
}

#[test]
fn softmax_sums_to_one() {
    let probabilities = values(&random(&[2, 5], 1).softmax().unwrap());
    for row in probabilities.chunks(5) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn losses_of_a_detector() {
    let logits = Tensor::from_slice(&[0.0, 0.0, 1.0, 3.0], &[2, 2]).unwrap();
    let labels = Tensor::from_slice_i64(&[1, 0], &[2]).unwrap();
    let each = logits.cross_entropy_each(&labels, 0.0).unwrap().to_vec_f32().unwrap();
    let expected = [2.0_f32.ln(), (1.0 + 2.0_f32.exp()).ln()];
    assert!(each.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{each:?}");
    // Half of 0.5 squared, and 3 less a half.
    let codes = Tensor::from_slice(&[0.5, -3.0], &[2]).unwrap();
    let loss = codes.smooth_l1(&Tensor::from_slice(&[0.0, 0.0], &[2]).unwrap(), 1.0).unwrap();
    assert!((loss.scalar().unwrap() - 2.625).abs() < 1e-6);
    // 0.5 less 0.125, and 3 less 0.125.
    let loss = codes.smooth_l1(&Tensor::from_slice(&[0.0, 0.0], &[2]).unwrap(), 0.25).unwrap();
    assert!((loss.scalar().unwrap() - 3.25).abs() < 1e-6);
    let none = Tensor::from_slice(&[], &[0, 4]).unwrap();
    assert_eq!(none.smooth_l1(&none, 1.0).unwrap().scalar().unwrap(), 0.0);
    // Of a logit of 0 and one of 3, for what is there and what is not.
    let logits = Tensor::from_slice(&[0.0, 3.0], &[2]).unwrap();
    let loss = logits.binary_cross_entropy(&Tensor::from_slice(&[1.0, 0.0], &[2]).unwrap()).unwrap();
    let expected = 2.0_f64.ln() + (1.0 + 3.0_f64.exp()).ln();
    assert!((loss.scalar().unwrap() - expected).abs() < 1e-6);
}
