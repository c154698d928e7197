//! Every network overfits eight images, at every width that was trained; a run that learns nothing says so.

use mutualnet_core::network::Rank;
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::sample::{InputChoice, SubnetSampler, WidthChoice};
use mutualnet_core::{InputSize, Resolution, Task};
use mutualnet_engine::{Device, Tensor, no_grad, set_threads};
use mutualnet_nn::{Net, Norm, Parameters};
use mutualnet_train::Event;
use mutualnet_train::events::Symptom;
use mutualnet_train::mutual_step::mutual_step;
use mutualnet_train::step_batch::{Images, StepBatch};
use mutualnet_train::step_rules::StepRules;
use mutualnet_train::task::{Classify, Labels};
use mutualnet_train::update::{Decay, Optimizer, OptimizerConfig, Rule};
use rand::Rng;

use crate::fixture::{Fixture, events, small_network};

const LABELS: [i64; 8] = [0, 1, 2, 3, 3, 2, 1, 0];

/// Noise, with a little more of one color or of none.
fn batch() -> StepBatch<Classify> {
    let mut rng = Key::new(5, Purpose::Generate).stream();
    let mut images = Vec::new();
    for label in LABELS {
        for channel in (0..32 * 32).flat_map(|_| 0..3) {
            let tint = if channel == label { 0.4 } else { 0.0 };
            images.push(rng.random_range(-1.5_f32..1.5) + tint);
        }
    }
    StepBatch {
        images: Images::with_full_sides(Tensor::from_nhwc(&images, [8, 32, 32, 3], Device::Cpu).unwrap()),
        targets: Labels { labels: Tensor::from_slice_i64(&LABELS, &[8]).unwrap(), second: None, views: None },
    }
}

#[test]
fn a_run_that_stays_at_guessing_says_so_once() {
    let fixture = Fixture::new();
    // 240 steps that change nothing.
    let overrides = [
        "train.lr=1e-9",
        "train.epochs=20",
        "train.method=plain",
        "network.widths=[0.25, 0.25]",
        "network.resolutions=[24]",
    ];
    let run = fixture.train("stuck", &overrides);
    let told: Vec<_> = events(&run)
        .into_iter()
        .filter_map(|event| match event {
            Event::NotLearning { step, symptom, hint } => Some((step, symptom, hint)),
            _ => None,
        })
        .collect();
    let [(step, symptom, hint)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(*step, 200);
    assert!(matches!(symptom, Symptom::AsBadAsGuessing { loss, guessing } if loss > guessing), "{symptom:?}");
    assert!(hint.contains("train.zero_init_residual=true"), "{hint}");
}

#[test]
fn every_family_learns_eight_images_by_heart() {
    set_threads(1).unwrap();
    for name in mutualnet_zoo::samples_of(Task::Classify, Rank::Image) {
        let net = Net::new(small_network(name));
        let widths = net.network().widths();
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        let config = OptimizerConfig {
            rule: Rule::Sgd { momentum: 0.9, nesterov: true },
            weight_decay: 1e-4,
            decay: Decay::Weights,
            auxiliary_lr_factor: 1.0,
        };
        let mut optimizer = Optimizer::new(&parameters, &config).unwrap();
        let inputs = vec![InputSize::image(Resolution::new(32).unwrap())];
        let sampler = SubnetSampler {
            widths: WidthChoice::Continuous(widths),
            inputs,
            input_choice: InputChoice::Own,
            n_random: Some(1),
        };
        let batch = batch();
        let mut first = None;
        for step in 0..60 {
            let plan = sampler.sample(Key::new(1, Purpose::Sample).step(step), None);
            let (gradients, losses) =
                mutual_step(&net, &parameters, &batch, &plan, &StepRules::default()).unwrap();
            first.get_or_insert(losses.full);
            optimizer.step(&parameters, &gradients, 0.02).unwrap();
        }
        for width in [widths.smallest(), widths.full()] {
            let slice = net.slice(&parameters, width).unwrap();
            let logits = no_grad(|| net.forward(&slice, &batch.images.pixels, Norm::Batch)).unwrap();
            let loss = logits.cross_entropy(&batch.targets.labels, 0.0).unwrap().scalar().unwrap();
            assert_eq!(
                logits.top1_correct(&batch.targets.labels).unwrap(),
                8,
                "{name} at {width}: loss {loss}"
            );
            assert!(loss < 0.5 * first.unwrap(), "{name} at {width}: loss {loss}, first {first:?}");
        }
    }
}
