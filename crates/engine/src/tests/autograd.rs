//! Gradients: finite differences, slices, and what is recorded.

use super::{CPU, assert_close, random, values};
use crate::{ConvGeometry, Tensor, no_grad};

const SAME: ConvGeometry<'_> =
    ConvGeometry { stride: &[1, 1], padding: &[1, 1], dilation: &[1, 1], groups: 1 };

#[test]
fn a_gradient_agrees_with_a_finite_difference() {
    let input = random(&[1, 2, 4, 4], 1);
    let loss = |weight: &Tensor| {
        let output = input.convolution(weight, None, &SAME).unwrap().relu().unwrap();
        output.multiply(&output).unwrap().sum().unwrap()
    };
    let start = random(&[3, 2, 3, 3], 2);
    let weight = start.copy().unwrap().require_grad().unwrap();
    loss(&weight).backward().unwrap();
    let grad = values(&weight.grad().unwrap().unwrap());
    let step = 1e-2;
    let numeric: Vec<f32> = (0..start.elements())
        .map(|index| {
            let at = |delta: f32| {
                let mut moved = values(&start);
                moved[index] += delta;
                loss(&Tensor::from_slice(&moved, &[3, 2, 3, 3]).unwrap()).scalar().unwrap()
            };
            ((at(step) - at(-step)) / f64::from(2.0 * step)) as f32
        })
        .collect();
    assert_close(&grad, &numeric, 2e-2);
}

#[test]
fn gradients_accumulate_until_they_are_forgotten() {
    let mut x = Tensor::from_slice(&[3.0], &[1]).unwrap().require_grad().unwrap();
    assert!(x.grad().unwrap().is_none());
    for expected in [6.0, 12.0] {
        x.multiply(&x).unwrap().sum().unwrap().backward().unwrap();
        assert_eq!(values(&x.grad().unwrap().unwrap()), [expected]);
    }
    x.zero_grad().unwrap();
    assert!(x.grad().unwrap().is_none());
    x.set_grad(&Tensor::ones(&[1], CPU).unwrap()).unwrap();
    assert_eq!(values(&x.grad().unwrap().unwrap()), [1.0]);
}

#[test]
fn detached_and_unrecorded_results_ask_for_no_gradient() {
    let x = Tensor::ones(&[2], CPU).unwrap().require_grad().unwrap();
    assert!(x.scale(2.0).unwrap().requires_grad());
    assert!(!x.scale(2.0).unwrap().detach().unwrap().requires_grad());
    assert!(!no_grad(|| x.scale(2.0)).unwrap().requires_grad());
    assert!(x.scale(2.0).unwrap().requires_grad());
}

#[test]
fn leaf_prefixes_collect_what_autograd_slices_would() {
    let (images, whole) = (random(&[2, 4, 5, 5], 1), random(&[6, 4, 3, 3], 2));
    let pass = |weight: &Tensor| {
        let input = images.prefix(&[2, weight.shape()[1]]).unwrap();
        let output = input.convolution(weight, None, &SAME).unwrap();
        output.multiply(&output).unwrap().sum().unwrap().backward().unwrap();
    };

    let sliced = whole.copy().unwrap().require_grad().unwrap();
    pass(&sliced);
    pass(&sliced.prefix(&[3, 2]).unwrap());
    let expected = values(&sliced.grad().unwrap().unwrap());

    let full = whole.leaf_prefix(&[6, 4]).unwrap();
    pass(&full);
    let mut total = full.grad().unwrap().unwrap();
    let narrow = whole.leaf_prefix(&[3, 2]).unwrap();
    assert!(narrow.is_channels_last() && narrow.requires_grad());
    pass(&narrow);
    total.add_prefix_(&narrow.grad().unwrap().unwrap()).unwrap();
    assert_close(&values(&total), &expected, 1e-6);
}

#[test]
fn a_dense_prefix_shares_memory_with_its_weight() {
    let mut depthwise = random(&[8, 1, 3, 3], 1);
    let leaf = depthwise.leaf_prefix(&[4]).unwrap();
    depthwise.copy_from(&Tensor::zeros(&[8, 1, 3, 3], CPU).unwrap()).unwrap();
    assert!(values(&leaf).iter().all(|&value| value == 0.0));
    assert!(!depthwise.requires_grad());
}
