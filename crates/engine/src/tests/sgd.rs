//! Compares the fused SGD update with the textbook formula.

use super::{CPU, assert_close, noise, random, values};
use crate::{FusedSgd, SgdStep, Tensor};

/// `torch.optim.SGD` with dampening 0, for one element at a time.
fn formula(param: &mut f32, momentum: &mut Option<f32>, grad: f32, step: &SgdStep) {
    let grad = f64::from(grad) + step.weight_decay * f64::from(*param);
    let velocity = momentum.map_or(grad, |old| f64::from(old) * step.momentum + grad);
    *momentum = Some(velocity as f32);
    let direction = if step.nesterov { grad + step.momentum * velocity } else { velocity };
    *param -= (step.lr * direction) as f32;
}

#[test]
fn three_steps_follow_the_formula() {
    for (weight_decay, nesterov) in [(0.0, false), (0.0, true), (0.1, false), (0.1, true)] {
        let step = SgdStep { lr: 0.3, momentum: 0.9, weight_decay, nesterov };
        let shapes: [&[usize]; 3] = [&[5, 4, 3, 3], &[7], &[6, 1, 3, 3]];
        let params: Vec<Tensor> =
            shapes.iter().map(|shape| random(shape, 1).require_grad().unwrap()).collect();
        let params: Vec<&Tensor> = params.iter().collect();
        let mut expected: Vec<Vec<f32>> = params.iter().map(|param| values(param)).collect();
        let mut momentum: Vec<Vec<Option<f32>>> = expected.iter().map(|v| vec![None; v.len()]).collect();
        let mut sgd = FusedSgd::new(&params).unwrap();
        assert!(!sgd.started());
        for round in 0..3 {
            // The gradients are row-major and the weights are channels-last, because the layout must not matter.
            let grads: Vec<Tensor> = shapes
                .iter()
                .map(|s| Tensor::from_slice(&noise(s.iter().product(), 10 + round), s).unwrap())
                .collect();
            sgd.step(&params, &grads.iter().collect::<Vec<_>>(), &step).unwrap();
            for (index, grad) in grads.iter().enumerate() {
                for (at, value) in values(grad).into_iter().enumerate() {
                    formula(&mut expected[index][at], &mut momentum[index][at], value, &step);
                }
            }
        }
        for (param, expected) in params.iter().zip(&expected) {
            assert_close(&values(param), expected, 1e-6);
        }
        let stored: Vec<f32> = momentum[0].iter().map(|value| value.unwrap()).collect();
        assert_close(&values(&sgd.buffers()[0]), &stored, 1e-6);
    }
}

#[test]
fn a_resumed_update_continues_in_the_same_bits() {
    let step = SgdStep { lr: 0.1, momentum: 0.9, weight_decay: 1e-4, nesterov: true };
    let (straight, resumed) = (random(&[4, 3, 2, 2], 1), random(&[4, 3, 2, 2], 1));
    let grads = [random(&[4, 3, 2, 2], 2), random(&[4, 3, 2, 2], 3)];
    let mut first = FusedSgd::new(&[&straight]).unwrap();
    first.step(&[&straight], &[&grads[0]], &step).unwrap();
    let mut before = FusedSgd::new(&[&resumed]).unwrap();
    before.step(&[&resumed], &[&grads[0]], &step).unwrap();
    let stored = before.buffers()[0].contiguous().unwrap();
    let mut after = FusedSgd::resume(vec![stored]);
    first.step(&[&straight], &[&grads[1]], &step).unwrap();
    after.step(&[&resumed], &[&grads[1]], &step).unwrap();
    assert_eq!(values(&straight), values(&resumed));
}

#[test]
fn a_gradient_of_another_shape_is_an_error() {
    let param = Tensor::ones(&[3], CPU).unwrap();
    let step = SgdStep { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
    let mut sgd = FusedSgd::new(&[&param]).unwrap();
    assert!(sgd.step(&[&param], &[&Tensor::ones(&[2], CPU).unwrap()], &step).is_err());
}
