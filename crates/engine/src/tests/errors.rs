//! Misuse is an error that names the operation and the shapes, never a panic.

use super::{CPU, EPS, random, values};
use crate::{Affine, ConvGeometry, EngineError, NormStatistics, Tensor};

const POINTWISE: ConvGeometry<'_> =
    ConvGeometry { stride: &[1, 1], padding: &[0, 0], dilation: &[1, 1], groups: 1 };

#[test]
fn a_convolution_with_wrong_channels_names_itself_and_both_shapes() {
    let error =
        random(&[1, 3, 8, 8], 1).convolution(&random(&[4, 2, 1, 1], 2), None, &POINTWISE).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("convolution of [1, 3, 8, 8] and [4, 2, 1, 1]: "), "{message}");
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn mismatches_are_errors() {
    let (a, b) = (random(&[2, 3], 1), random(&[4, 5], 2));
    assert!(a.add(&b).is_err());
    assert!(a.linear(&b, None).is_err());
    assert!(a.kl_divergence(&b).is_err());
    assert!(a.reshape(&[5]).is_err());
    assert!(a.narrow(0, 1, 2).is_err());
    assert!(a.prefix(&[3]).is_err());
    assert!(a.prefix(&[1, 1, 1]).is_err());
    assert!(a.copy().unwrap().add_prefix_(&b).is_err());
    assert!(a.copy().unwrap().copy_from(&b).is_err());
    assert!(a.scalar().is_err());
    assert!(a.global_average().is_err());
    assert!(a.resize_bilinear(2).is_err());
    assert!(a.backward().is_err());
    assert!(a.cross_entropy(&Tensor::from_slice_i64(&[0, 3], &[2]).unwrap(), 0.0).is_err());
    assert!(a.top1_correct(&Tensor::from_slice_i64(&[0, 1, 2], &[3]).unwrap()).is_err());
    assert!(Tensor::from_slice_i64(&[1], &[1]).unwrap().require_grad().is_err());
}

#[test]
fn a_batch_norm_of_other_channels_is_an_error() {
    let (weight, bias) = (Tensor::ones(&[4], CPU).unwrap(), Tensor::zeros(&[4], CPU).unwrap());
    let affine = Affine { weight: &weight, bias: &bias, eps: EPS };
    assert!(random(&[2, 3, 4, 4], 1).batch_norm(affine, NormStatistics::Batch).is_err());
}

#[test]
fn values_must_fill_the_shape() {
    let error = Tensor::from_slice(&[1.0, 2.0], &[3]).unwrap_err();
    assert!(matches!(error, EngineError::Length { expected: 3, got: 2, .. }));
}

#[test]
fn the_engine_works_on_after_an_error() {
    assert!(random(&[2, 3], 1).add(&random(&[4, 5], 1)).is_err());
    let sum = Tensor::ones(&[2], CPU).unwrap().add(&Tensor::ones(&[2], CPU).unwrap()).unwrap();
    assert_eq!(values(&sum), [2.0, 2.0]);
}
