//! Sessions that switch between f32 and bf16.

use std::sync::Arc;

use mutualnet_bundle::{Bundle, BundleParts, Provenance, QueryTable};
use mutualnet_core::{Subnet, Task, Tensor};
use mutualnet_runtime::{Convolution, Error, Isa, Model, ModelConfig, Precision, Session};
use mutualnet_zoo::samples;

use crate::allocation::allocations;
use crate::fixture::{bundle, clips, images, rows_of, session, subnet, zoo};
use crate::interpreter;

const ROWS: [&str; 3] = ["1.0-32", "0.6-24", "0.35-16"];

fn both(name: &str, isa: Isa) -> Arc<Model> {
    let precisions = vec![Precision::F32, Precision::Bf16];
    let config = ModelConfig { isa, convolution: Convolution::Fast, precisions };
    Arc::new(Model::with_config(&bundle_of(name), config).unwrap())
}

fn bundle_of(name: &str) -> Bundle {
    let network = zoo(name);
    let rows = rows_of(&network, ROWS);
    bundle(&network, &rows.each_ref().map(String::as_str))
}

fn run(session: &mut Session, row: Subnet, precision: Precision, n: usize) -> Vec<f32> {
    session.switch(row).unwrap();
    session.switch_precision(precision).unwrap();
    session.run(&clips(n, row.input), n).unwrap().to_vec()
}

/// A bundle whose weights are bf16, apart from those of batch norms and biases.
fn rounded(bundle: &Bundle) -> Bundle {
    let round = |(name, tensor): (&String, &Tensor)| {
        let mut tensor = tensor.clone();
        if tensor.shape.len() > 1 {
            tensor.data.iter_mut().for_each(|x| *x = interpreter::to_bf16((*x).into()) as f32);
        }
        (name.clone(), tensor)
    };
    Bundle::new(BundleParts {
        task: bundle.task(),
        network: bundle.network().clone(),
        classes: bundle.classes().to_vec(),
        preprocess: *bundle.preprocess(),
        table: bundle.table().clone(),
        weights: bundle.weights().iter().map(round).collect(),
        stats: bundle.table().subnets().map(|row| (row, bundle.stats(row).unwrap().clone())).collect(),
        provenance: Provenance::default(),
    })
    .unwrap()
}

/// Against the interpreter, which rounds what is stored and nothing else. A sum in f32 that is near the middle of two bf16
/// may be rounded to the other one, and what follows moves away; this is rare enough at a small row that most outputs agree
/// as they do in f32.
#[test]
fn every_family_rounds_what_is_stored() {
    let (mut all, mut equal) = (0, 0);
    for name in samples(Task::Classify) {
        let row = subnet(&rows_of(&zoo(name), ROWS)[2]);
        let image = clips(1, row.input);
        let halves = rounded(&bundle_of(name));
        let expected = interpreter::outputs_in_bf16(&halves, row, &image).remove(0);
        let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        for isa in Isa::available() {
            let mut session = session(&both(name, isa), 1);
            let got = run(&mut session, row, Precision::Bf16, 1);
            let off = got.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs() / largest);
            let off = off.fold(0.0, f64::max);
            assert!(off < 5e-3, "{name} {isa}: off by {off} of {largest}");
            all += 1;
            equal += usize::from(off < 1e-4);
        }
    }
    assert!(2 * equal > all, "only {equal} of {all}");
}

#[test]
fn results_do_not_depend_on_threads_batches_or_what_ran_before() {
    for name in ["mobilenet_v2", "wide_resnet10_1"] {
        let model = both(name, Isa::choose().unwrap());
        let (mut one, mut three) = (session(&model, 1), session(&model, 3));
        for row in ROWS.map(subnet) {
            let alone = run(&mut one, row, Precision::Bf16, 1);
            let f32 = run(&mut three, row, Precision::F32, 2);
            let two = run(&mut three, row, Precision::Bf16, 2);
            assert_eq!(two[..alone.len()], alone, "{name} {row}");
            assert_ne!(two, f32, "{name} {row}");
            assert_eq!(run(&mut one, row, Precision::F32, 2), f32, "{name} {row}");
        }
    }
}

#[test]
fn switching_does_not_allocate() {
    let model = both("mobilenet_v2", Isa::choose().unwrap());
    let mut session = session(&model, 1);
    let inputs = ROWS.map(|row| (subnet(row), images(2, subnet(row).input.resolution)));
    session.run(&inputs[0].1, 2).unwrap();
    let allocated = allocations(|| {
        for (row, input) in &inputs {
            for precision in Precision::ALL {
                session.switch(*row).unwrap();
                session.switch_precision(precision).unwrap();
                session.run(input, 2).unwrap();
            }
        }
    });
    assert_eq!(allocated, 0);
}

/// A size that no row has is laid out for each precision.
#[test]
fn other_sizes() {
    let model = both("mobilenet_v2", Isa::choose().unwrap());
    let mut session = session(&model, 1);
    let pixels = crate::fixture::numbers("wide", 40 * 27 * 3);
    let f32 = session.run_at(&pixels, 1, [40, 27]).unwrap().to_vec();
    session.switch_precision(Precision::Bf16).unwrap();
    let bf16 = session.run_at(&pixels, 1, [40, 27]).unwrap().to_vec();
    assert_ne!(f32, bf16);
    session.switch_precision(Precision::F32).unwrap();
    assert_eq!(session.run_at(&pixels, 1, [40, 27]).unwrap(), f32);
    assert_eq!(session.precision(), Precision::F32);
}

#[test]
fn a_precision_that_was_not_prepared_is_an_error() {
    let model = Arc::new(Model::new(&bundle(&zoo("mobilenet_v2"), &ROWS)).unwrap());
    let mut session = session(&model, 1);
    let error = session.switch_precision(Precision::Bf16).unwrap_err();
    assert_eq!(error.to_string(), "the model is not prepared for bf16");
    assert_eq!(error.hint().unwrap(), "it is prepared for f32");
    let config = ModelConfig { precisions: Vec::new(), ..ModelConfig::choose().unwrap() };
    let error = Model::with_config(&bundle(&zoo("mobilenet_v2"), &ROWS), config).unwrap_err();
    assert!(matches!(error, Error::NoPrecisions), "{error}");
}

#[test]
fn a_budget_switches_the_precision_of_its_row() {
    let single = bundle(&zoo("mobilenet_v2"), &ROWS);
    let rows = single.table().rows().iter().cloned();
    // The widest sub-network in bf16 only, so that no budget buys it in f32.
    let rows = rows.map(|row| if row.subnet == subnet(ROWS[0]) { row.at(Precision::Bf16) } else { row });
    let (table, stats) = (QueryTable::new(rows.collect()).unwrap(), single.clone());
    let stats = ROWS.map(subnet).map(|row| (row, stats.stats(row).unwrap().clone())).into();
    let mixed = Bundle::new(BundleParts { table, stats, ..single.into_parts() }).unwrap();
    let model = Arc::new(Model::new(&mixed).unwrap());
    let mut session = session(&model, 1);
    for row in mixed.table().rows() {
        let chosen = session.switch_to_budget(mutualnet_core::Budget::Macs(row.macs)).unwrap();
        let best = mixed.table().row(chosen).unwrap();
        assert_eq!((session.subnet(), session.precision()), (best.subnet, best.precision));
    }
    let config = ModelConfig { precisions: vec![Precision::F32], ..ModelConfig::choose().unwrap() };
    let model = Model::with_config(&mixed, config).unwrap();
    let all = mutualnet_core::Budget::Macs(mixed.table().rows().last().unwrap().macs);
    assert_eq!(model.choose(all, None).unwrap().precision, Precision::F32);
}
