//! The fused AdamW update against the textbook formula.

use super::{assert_close, noise, random, values};
use crate::{AdamWStep, FusedAdamW, Tensor};

const STEP: AdamWStep = AdamWStep { lr: 0.01, betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.1 };

/// `torch.optim.AdamW` for one element at a time: decay, running means, bias correction, step.
fn formula(param: &mut f32, buffers: &mut [f64; 2], grad: f32, n: i32) {
    let grad = f64::from(grad);
    let [mean, square] = buffers;
    *mean = STEP.betas[0] * *mean + (1.0 - STEP.betas[0]) * grad;
    *square = STEP.betas[1] * *square + (1.0 - STEP.betas[1]) * grad * grad;
    let mean = *mean / (1.0 - STEP.betas[0].powi(n));
    let root = (*square / (1.0 - STEP.betas[1].powi(n))).sqrt();
    let decayed = f64::from(*param) * (1.0 - STEP.lr * STEP.weight_decay);
    *param = (decayed - STEP.lr * mean / (root + STEP.eps)) as f32;
}

#[test]
fn three_steps_follow_the_formula_and_resuming_changes_no_bit() {
    let shape = [5, 4, 3, 3];
    let (straight, resumed) = (random(&shape, 1), random(&shape, 1));
    let mut expected = values(&straight);
    let mut buffers = vec![[0.0; 2]; expected.len()];
    let mut adamw = FusedAdamW::new(&[&straight]).unwrap();
    let mut other = FusedAdamW::new(&[&resumed]).unwrap();
    for round in 0..3 {
        // The gradient is row-major and the weights are channels-last, because the layout must not matter.
        let grad = Tensor::from_slice(&noise(expected.len(), 10 + round), &shape).unwrap();
        adamw.step(&[&straight], &[&grad], &STEP).unwrap();
        other.step(&[&resumed], &[&grad], &STEP).unwrap();
        let stored = |buffers: &[Tensor]| vec![buffers[0].contiguous().unwrap()];
        other = FusedAdamW::resume(stored(other.means()), stored(other.squares()), other.n_steps());
        for (at, grad) in values(&grad).into_iter().enumerate() {
            formula(&mut expected[at], &mut buffers[at], grad, round as i32 + 1);
        }
    }
    assert_close(&values(&straight), &expected, 1e-6);
    assert_eq!(values(&straight), values(&resumed));
    assert_eq!(adamw.n_steps(), 3);
}

#[test]
fn a_gradient_of_another_shape_is_an_error() {
    let param = random(&[3], 1);
    let mut adamw = FusedAdamW::new(&[&param]).unwrap();
    assert!(adamw.step(&[&param], &[&random(&[2], 1)], &STEP).is_err());
}
