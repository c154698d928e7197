//! Mixed images and weighted losses: what a step learns is the weighted sum of what its parts are learned from alone.

use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::sample::StepSubnets;
use mutualnet_engine::{Device, Tensor, set_threads};
use mutualnet_nn::{Net, Parameters};
use mutualnet_train::mutual_step::{StepLosses, mutual_step};
use mutualnet_train::step_batch::{Images, StepBatch};
use mutualnet_train::step_rules::{StepRules, StudentWeights};
use mutualnet_train::task::{Classify, Labels, SecondLabels};
use rand::Rng;

use crate::fixture::small_network;

const N: usize = 4;
const FIRST: [i64; N] = [0, 1, 2, 3];
const SECOND: [i64; N] = [1, 0, 3, 2];
const STUDENTS: [&str; 2] = ["0.5-24", "0.25-20"];

fn labels(labels: [i64; N]) -> Tensor {
    Tensor::from_slice_i64(&labels, &[N]).unwrap()
}

fn step(first: [i64; N], second: Option<([i64; N], f32)>) -> (Vec<Vec<f32>>, StepLosses) {
    step_with(first, second, &STUDENTS, &StepRules { label_smoothing: 0.1, ..StepRules::default() })
}

fn step_with(
    first: [i64; N],
    second: Option<([i64; N], f32)>,
    students: &[&str],
    rules: &StepRules<'_>,
) -> (Vec<Vec<f32>>, StepLosses) {
    step_of(first, second, ["1.0-32"].iter().chain(students), rules)
}

/// A step of a network that teaches, the first one, and its students.
fn step_of<'a>(
    first: [i64; N],
    second: Option<([i64; N], f32)>,
    subnets: impl IntoIterator<Item = &'a &'a str>,
    rules: &StepRules<'_>,
) -> (Vec<Vec<f32>>, StepLosses) {
    let net = Net::new(small_network("mobilenet_v2"));
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let mut rng = Key::new(5, Purpose::Generate).stream();
    let images: Vec<f32> = (0..N * 32 * 32 * 3).map(|_| rng.random_range(-1.5..1.5)).collect();
    let second = second.map(|(second, share)| SecondLabels {
        labels: labels(second),
        shares: Tensor::from_slice(&[share; N], &[N]).unwrap(),
    });
    let batch = StepBatch::<Classify> {
        images: Images::with_full_sides(Tensor::from_nhwc(&images, [N, 32, 32, 3], Device::Cpu).unwrap()),
        targets: Labels { labels: labels(first), second, views: None },
    };
    let mut subnets = subnets.into_iter().map(|subnet| subnet.parse().unwrap());
    let subnets = StepSubnets { full: subnets.next().unwrap(), students: subnets.collect() };
    let (gradients, losses) = mutual_step(&net, &parameters, &batch, &subnets, rules).unwrap();
    (gradients.iter().map(|gradient| gradient.to_vec_f32().unwrap()).collect(), losses)
}

#[test]
fn labels_count_by_their_shares() {
    set_threads(1).unwrap();
    let (share, rest) = (0.3_f32, 0.7_f32);
    let (of_first, first) = step(FIRST, None);
    let (of_second, second) = step(SECOND, None);
    let (of_mixed, mixed) = step(FIRST, Some((SECOND, share)));
    assert!((first.full - second.full).abs() > 0.01, "the labels are told apart");
    let expected = f64::from(share) * first.full + f64::from(rest) * second.full;
    assert!((mixed.full - expected).abs() < 1e-5, "{} {expected}", mixed.full);
    assert_eq!(mixed.full_accuracy, first.full_accuracy, "the first label counts");
    for students in [&first.students, &second.students] {
        assert_eq!(&mixed.students, students, "students see no labels");
    }
    // What is learned from the labels is linear in them, and what students learn is the same in all three.
    assert_sum(&of_mixed, &[(share, &of_first), (rest, &of_second)]);
}

/// Asserts that gradients are a weighted sum of others.
fn assert_sum(gradients: &[Vec<f32>], parts: &[(f32, &[Vec<f32>])]) {
    for (idx, gradient) in gradients.iter().enumerate() {
        let mut expected = vec![0.0; gradient.len()];
        for (weight, part) in parts {
            for (sum, value) in expected.iter_mut().zip(&part[idx]) {
                *sum += weight * value;
            }
        }
        let scale = expected.iter().fold(1e-3_f32, |max, value| max.max(value.abs()));
        let difference = gradient.iter().zip(&expected).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
        // Rounding alone gave 1.04e-3 on a processor with AVX-512.
        assert!(difference <= 1e-2 * scale, "tensor {idx}: {}", difference / scale);
    }
}

#[test]
fn losses_count_by_their_weights() {
    set_threads(1).unwrap();
    let default = StepRules::default();
    let (alone, _) = step_with(FIRST, None, &[], &default);
    let (with_wide, _) = step_with(FIRST, None, &STUDENTS[..1], &default);
    let (with_narrow, _) = step_with(FIRST, None, &STUDENTS[1..], &default);
    let of_both = [(1.0, with_wide.as_slice()), (1.0, &with_narrow), (-1.0, &alone)];
    assert_sum(&step_with(FIRST, None, &STUDENTS, &default).0, &of_both);

    let rules = StepRules { full_weight: 3.0, ramp: 0.5, student_weights: StudentWeights::Width, ..default };
    let (weighted, losses) = step_with(FIRST, None, &STUDENTS, &rules);
    // Half of the ramp times widths of 0.5 and 0.25.
    let parts = [(0.25, with_wide.as_slice()), (0.125, &with_narrow), (3.0 - 0.375, &alone)];
    assert_sum(&weighted, &parts);
    let unweighted = step_with(FIRST, None, &STUDENTS, &default).1;
    assert_eq!(
        (losses.full, &losses.students),
        (unweighted.full, &unweighted.students),
        "as if weights were 1"
    );
}

#[test]
fn students_learn_from_labels_as_the_full_network_does() {
    set_threads(1).unwrap();
    let rules = StepRules { label_smoothing: 0.1, ..StepRules::default() };
    let student = &STUDENTS[..1];
    let (alone, _) = step_with(FIRST, None, &[], &rules);
    let (taught, losses) = step_with(FIRST, None, student, &rules);
    let (supervised, from_labels) = step_of(FIRST, None, student, &rules);
    for share in [0.25, 1.0] {
        let rules = StepRules { student_labels: f64::from(share), ..rules };
        let (both, same) = step_with(FIRST, None, student, &rules);
        assert_sum(&both, &[(share, &alone), (share, &supervised), (1.0 - share, &taught)]);
        let told = same.students[0].loss;
        let expected = if share < 1.0 { losses.students[0].loss } else { from_labels.full };
        assert_eq!(told, expected, "the divergence is told if there is a teacher");
    }
}
