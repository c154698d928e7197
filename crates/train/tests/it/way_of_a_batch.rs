//! The way of a batch, line by line: files → plan → train → calibrate → sweep → bundle → choose → run.

use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::{Bundle, QueryTable};
use mutualnet_core::{Budget, Macs};
use mutualnet_data::Dataset;
use mutualnet_engine::{Device, Tensor, no_grad};
use mutualnet_image::preprocess_test;
use mutualnet_nn::{Net, Norm, Parameters, Statistics};
use mutualnet_runtime::{Model, Session};
use mutualnet_train::{Plan, RunDir, tabulate};

use crate::fixture::{Fixture, has};

/// Largest difference relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

/// Test images, preprocessed at the largest resolution.
fn inputs(fixture: &Fixture, bundle: &Bundle, n: usize) -> Vec<Vec<f32>> {
    let test = Dataset::open(&fixture.data().join("test")).unwrap();
    let images = (0..test.samples().len()).step_by(7).take(n);
    images
        .map(|index| preprocess_test(&test.image(index).unwrap(), bundle.preprocess()).unwrap().pixels)
        .collect()
}

/// The run side's logits of every row against the engine's.
fn check_every_row(fixture: &Fixture, bundle: &Bundle) {
    let net = Net::new(bundle.network().clone());
    let parameters = Parameters::from_weights(net.network(), bundle.weights(), Device::Cpu).unwrap();
    let inputs = inputs(fixture, bundle, 4);
    let n = inputs.len();
    let images = Tensor::from_nhwc(&inputs.concat(), [n, 32, 32, 3], Device::Cpu).unwrap();

    let model = Arc::new(Model::new(bundle).unwrap());
    let mut session = Session::new(model, NonZeroUsize::new(2).unwrap()).unwrap();
    for row in bundle.table().rows() {
        let layers = bundle.stats(row.subnet).unwrap().iter();
        let layers: Vec<_> = layers.map(|layer| (layer.mean.clone(), layer.var.clone())).collect();
        let statistics = Statistics::from_vecs(&layers, Device::Cpu).unwrap();
        let side = row.subnet.input.resolution.get() as usize;
        let slice = net.slice(&parameters, row.subnet.width).unwrap();
        let resized = images.resize_bilinear(side).unwrap();
        let logits = no_grad(|| net.forward(&slice, &resized, Norm::Fixed(&statistics))).unwrap();
        let engine = logits.to_vec_f32().unwrap();

        session.switch(row.subnet).unwrap();
        let ours = session.run(&inputs.concat(), n).unwrap();
        let scale = engine.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let difference = ours.iter().zip(&engine).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(difference <= TOLERANCE * scale, "{}: {}", row.subnet, difference / scale);
    }
}

fn check_files(run: &RunDir) {
    for name in [
        "plan.toml",
        "events.jsonl",
        "table.json",
        "model.mnb",
        "report.html",
        "accuracy_over_macs.svg",
        "accuracy_over_latency.svg",
    ] {
        assert!(has(run, name), "{name}");
    }
}

#[test]
fn from_files_to_a_prediction() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &[]);
    let plan = Plan::read(&run.plan()).unwrap();
    assert_eq!((plan.derived.n_train, plan.derived.n_test, plan.derived.total_steps), (96, 48, 24));

    let table = tabulate(&run, "test", &mut ()).unwrap();
    check_files(&run);
    assert_eq!(table.rows().len(), 16);
    assert!(table.rows().iter().all(|row| row.quality.n == 48 && !row.latency.is_empty()));
    assert_eq!(QueryTable::read(&run.table()).unwrap(), table);

    let bundle = Bundle::read(&run.bundle()).unwrap();
    assert_eq!(bundle.table(), &table);
    let [first, second] = ["0.25-20", "0.25-32"].map(|row| bundle.stats(row.parse().unwrap()).unwrap());
    assert_ne!(first, second, "every row has statistics of its own");
    check_every_row(&fixture, &bundle);

    let most_expensive = table.rows().last().unwrap().macs;
    let row = table.choose(Budget::Macs(Macs(most_expensive.0 / 3)), None).unwrap();
    assert!(row.macs.0 <= most_expensive.0 / 3);
    let mut session = Session::new(Arc::new(Model::new(&bundle).unwrap()), NonZeroUsize::MIN).unwrap();
    session.switch(row.subnet).unwrap();
    let logits = session.run(&inputs(&fixture, &bundle, 1)[0], 1).unwrap();
    assert_eq!(logits.len(), bundle.classes().len());
}

#[test]
fn tabulating_twice_gives_the_same_accuracies_and_statistics() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &["train.epochs=1", "tabulate.width_step=0.75"]);
    let mut tables = [(); 2].map(|()| {
        let table = tabulate(&run, "test", &mut ()).unwrap();
        let bundle = Bundle::read(&run.bundle()).unwrap();
        let accuracies: Vec<_> = table.rows().iter().map(|row| (row.subnet, row.quality)).collect();
        let statistics: Vec<_> =
            accuracies.iter().map(|(row, _)| bundle.stats(*row).unwrap().clone()).collect();
        (accuracies, statistics)
    });
    let [first, second] = &mut tables;
    assert!(first == second);
}
