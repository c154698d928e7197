//! Compares the losses over pixels with the separate operations of libtorch.

use super::{assert_close, noise, random, values};
use crate::pixels::composed;
use crate::{NO_CLASS, Tensor};

/// Maps and masks of `[n, classes, h, w]` and `[height, width]`: coarser, the same size, finer, and odd ones.
const CASES: [([usize; 4], [usize; 2]); 7] = [
    ([2, 6, 5, 5], [40, 40]),
    ([3, 2, 3, 4], [17, 29]),
    ([1, 21, 1, 1], [3, 5]),
    ([2, 4, 6, 7], [6, 7]),
    ([2, 3, 12, 12], [20, 33]),
    ([2, 5, 20, 23], [7, 5]),
    ([1, 1, 2, 2], [4, 4]),
];

/// About a seventh of the pixels has no class.
fn masks(shape: [usize; 4], [height, width]: [usize; 2]) -> Tensor {
    let label = |value: f32| match ((value + 1.0) * 1000.0) as usize {
        n if n % 7 == 0 => NO_CLASS,
        n => (n % shape[1]) as u8,
    };
    let labels: Vec<_> = noise(shape[0] * height * width, 9).into_iter().map(label).collect();
    Tensor::from_slice_u8(&labels, &[shape[0], height, width]).unwrap()
}

fn map(shape: [usize; 4], seed: u64) -> Tensor {
    random(&shape, seed).scale(4.0).unwrap()
}

/// The loss and its gradient with respect to the map, if the loss is weighted.
fn outcome(map: &Tensor, loss: impl Fn(&Tensor) -> Tensor) -> (f64, Vec<f32>) {
    let leaf = map.to_leaf().unwrap();
    let loss = loss(&leaf);
    assert_eq!(loss.shape(), Vec::<usize>::new());
    loss.scale(0.5).unwrap().backward().unwrap();
    (loss.scalar().unwrap(), values(&leaf.grad().unwrap().unwrap()))
}

fn assert_same(one: (f64, Vec<f32>), several: (f64, Vec<f32>)) {
    assert!((one.0 - several.0).abs() <= 2e-6 * several.0.abs().max(1.0), "{} {}", one.0, several.0);
    assert_close(&one.1, &several.1, 2e-5);
}

#[test]
fn losses_are_those_of_separate_operations() {
    for (shape, size) in CASES {
        let (own, masks) = (map(shape, 1), masks(shape, size));
        for smoothing in [0.0, 0.1] {
            assert_same(
                outcome(&own, |map| map.pixel_cross_entropy(&masks, smoothing).unwrap()),
                outcome(&own, |map| composed::cross_entropy(map, &masks, smoothing).unwrap()),
            );
        }
        let other = [shape[2] + 3, shape[3] + 1];
        let teacher = map([shape[0], shape[1], other[0], other[1]], 2);
        assert_same(
            outcome(&own, |map| map.pixel_kl_divergence(&teacher, &masks).unwrap()),
            outcome(&own, |map| composed::kl_divergence(map, &teacher, &masks).unwrap()),
        );
    }
}

#[test]
fn losses_of_scores_far_apart_are_exact() {
    let numbers: Vec<f32> = noise(2 * 3 * 16, 4).into_iter().map(|value| value * 200.0).collect();
    let own = Tensor::from_nhwc(&numbers, [2, 4, 4, 3], super::CPU).unwrap();
    let masks = masks([2, 3, 4, 4], [9, 9]);
    assert_same(
        outcome(&own, |map| map.pixel_cross_entropy(&masks, 0.0).unwrap()),
        outcome(&own, |map| composed::cross_entropy(map, &masks, 0.0).unwrap()),
    );
}

#[test]
fn answers_and_summaries_are_those_of_separate_operations() {
    for (shape, size) in CASES {
        let (map, masks) = (map(shape, 3), masks(shape, size));
        assert_eq!(map.pixel_answers(size).unwrap(), composed::answers(&map, size).unwrap());
        let (one, several) = (map.pixel_summary(&masks).unwrap(), composed::summary(&map, &masks).unwrap());
        assert!((one.information - several.information).abs() < 1e-5, "{one:?} {several:?}");
        assert_eq!(
            (one.n, one.correct, one.most_frequent),
            (several.n, several.correct, several.most_frequent)
        );
    }
}

#[test]
fn pixels_without_a_class_count_in_nothing() {
    let map = map([2, 3, 4, 4], 1);
    let masks = Tensor::from_slice_u8(&[NO_CLASS; 2 * 64], &[2, 8, 8]).unwrap();
    let losses: [&dyn Fn(&Tensor) -> Tensor; 4] = [
        &|map| map.pixel_cross_entropy(&masks, 0.1).unwrap(),
        &|map| map.pixel_kl_divergence(&self::map([2, 3, 4, 4], 2), &masks).unwrap(),
        &|map| composed::cross_entropy(map, &masks, 0.1).unwrap(),
        &|map| composed::kl_divergence(map, &self::map([2, 3, 4, 4], 2), &masks).unwrap(),
    ];
    for loss in losses {
        assert_eq!(outcome(&map, loss), (0.0, vec![0.0; 2 * 3 * 16]));
    }
    assert_eq!(map.pixel_summary(&masks).unwrap(), composed::summary(&map, &masks).unwrap());
}

#[test]
fn scores_that_are_not_finite_show_in_the_loss() {
    for broken in [f32::NAN, f32::INFINITY] {
        let mut numbers = noise(3 * 16, 1);
        numbers[20] = broken;
        let map = Tensor::from_nhwc(&numbers, [1, 4, 4, 3], super::CPU).unwrap();
        let masks = masks([1, 3, 4, 4], [8, 8]);
        let good = self::map([1, 3, 4, 4], 2);
        assert!(!map.pixel_cross_entropy(&masks, 0.0).unwrap().is_finite().unwrap());
        assert!(!map.pixel_kl_divergence(&good, &masks).unwrap().is_finite().unwrap());
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let map = map([1, 3, 4, 4], 1);
    let masks =
        |label: u8, images: usize| Tensor::from_slice_u8(&vec![label; images * 16], &[images, 4, 4]).unwrap();
    assert!(map.pixel_cross_entropy(&masks(2, 1), 0.0).is_ok());
    let error = map.pixel_cross_entropy(&masks(3, 1), 0.0).unwrap_err().to_string();
    assert!(error.contains("label 3 for 3 classes"), "{error}");
    assert!(map.pixel_cross_entropy(&masks(0, 2), 0.0).is_err());
    assert!(map.pixel_kl_divergence(&self::map([1, 4, 4, 4], 1), &masks(0, 1)).is_err());
    assert!(map.pixel_scores(&map).is_err());
}

#[test]
fn the_thread_count_changes_no_bit() {
    let before = crate::threads();
    let outcomes = [1, 2, 3].map(|threads| {
        crate::set_threads(threads).unwrap();
        let (shape, size) = ([5, 6, 5, 5], [40, 40]);
        let masks = masks(shape, size);
        outcome(&map(shape, 1), |map| map.pixel_kl_divergence(&self::map(shape, 2), &masks).unwrap())
    });
    crate::set_threads(before).unwrap();
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
}
