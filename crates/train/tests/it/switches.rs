//! Every method and every switch trains, and a run that was stopped in the middle ends in the same bits.

use std::sync::atomic::AtomicBool;

use mutualnet_bundle::Bundle;
use mutualnet_train::{Event, Outcome, Plan, RunDir, resume, tabulate, train};

use crate::fixture::{Fixture, STEPS_PER_EPOCH, StopAfter, events};

/// Short, narrow: the arithmetic is tested elsewhere, this is about what is kept between steps.
const SHORT: [&str; 3] = ["train.epochs=1", "network.widths=[0.25, 0.5]", "network.resolutions=[32, 24]"];

fn all_files(run: &RunDir) -> Vec<(String, Vec<u8>)> {
    let dir = run.checkpoints().join(STEPS_PER_EPOCH.to_string());
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn all_switches_together_are_resumed_in_the_same_bits() {
    let fixture = Fixture::new();
    let switches = [
        "data.augment.mixup=0.2",
        "data.augment.cutmix=1.0",
        "data.augment.repeats=3",
        "train.warmup_epochs=0.5",
        "train.optimizer=adamw",
        "train.lr=0.002",
        "train.clip={ kind = \"norm\", limit = 1.0 }",
        "train.adaptive_sampling=0.5",
        "train.ema=0.9",
        "train.teacher=ema",
        "train.divergence=alpha",
        "train.label_smoothing=0.1",
        "train.dropout=0.2",
        "train.regularize=full",
        "train.students_start=0.25",
        "train.students_ramp=0.5",
        "train.full_weight=2.0",
        "train.student_weights=width",
        "train.student_labels=0.5",
        "network.channel_divisor=1",
        "tabulate.weights=ema",
    ];
    let overrides = [SHORT.as_slice(), &switches].concat();
    let straight = fixture.train("straight", &overrides);
    let run = fixture.run("stopped");
    let recipe = fixture.recipe(&overrides);
    let stop = AtomicBool::new(false);
    let outcome = train(&recipe, &run, &stop, &mut StopAfter { step: 5, stop: &stop });
    assert!(matches!(outcome.unwrap(), Outcome::Interrupted { .. }));
    assert_eq!(resume(&recipe, &run, &AtomicBool::new(false), &mut ()).unwrap(), Outcome::Finished);
    let names: Vec<_> = all_files(&run).into_iter().map(|(name, _)| name).collect();
    let parts = ["ema", "momentum", "regret", "square", "weights"];
    assert!(parts.iter().all(|part| names.contains(&format!("{part}.safetensors"))), "{names:?}");
    assert!(all_files(&run) == all_files(&straight));

    // What is shipped is the average, not the last weights.
    tabulate(&run, "test", &mut ()).unwrap();
    let bundle = Bundle::read(&run.bundle()).unwrap();
    let named = |part: &str| {
        let (_, bytes) = all_files(&run).into_iter().find(|(name, _)| name.starts_with(part)).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        tensors.tensor("classifier.0.bias").unwrap().data().to_vec()
    };
    let shipped = &bundle.weights()["classifier.0.bias"].data;
    let shipped: Vec<_> = shipped.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(shipped, named("ema"));
    assert_ne!(shipped, named("weights"));
}

#[test]
fn every_method_trains_its_own_sub_networks() {
    let fixture = Fixture::new();
    for (method, n_students, rows) in [
        ("us", 3, 4),
        ("us-multi-scale", 3, 4),
        ("multi-scale", 0, 2),
        ("plain", 0, 2),
        ("independent", 0, 1),
    ] {
        let key = format!("train.method={method}");
        let mut overrides = SHORT.to_vec();
        overrides.push(&key);
        if method == "independent" {
            overrides.push("train.subnet=0.25-24");
        }
        let run = fixture.train(method, &overrides);
        let mut full_resolutions = 0;
        for event in events(&run) {
            if let Event::Step { students, full_loss, .. } = event {
                assert!(full_loss.is_finite());
                assert_eq!(students.len(), n_students, "{method}");
                let sides: std::collections::BTreeSet<_> =
                    students.iter().map(|student| student.subnet.input.resolution.get()).collect();
                assert!(sides.len() <= 1, "{method}: one resolution per step");
                full_resolutions += usize::from(sides.contains(&32));
            }
        }
        if method == "us" {
            assert_eq!(full_resolutions as u64, STEPS_PER_EPOCH);
        }
        let table = tabulate(&run, "test", &mut ()).unwrap();
        assert_eq!(table.rows().len(), rows, "{method}");
    }
}

#[test]
fn students_join_late() {
    let fixture = Fixture::new();
    let late = ["train.students_start=0.25", "train.students_ramp=0.25"];
    let run = fixture.train("late", &[SHORT.as_slice(), &late].concat());
    let n_students = events(&run).into_iter().filter_map(|event| match event {
        Event::Step { students, .. } => Some(students.len()),
        _ => None,
    });
    assert_eq!(n_students.collect::<Vec<_>>(), [0, 0, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    // A step without students costs as much as one of plain training.
    let plan = Plan::make(&fixture.recipe(&[SHORT.as_slice(), &late].concat())).unwrap().plan;
    let from_the_start = Plan::make(&fixture.recipe(&SHORT)).unwrap().plan;
    let (late, early) = (plan.derived.relative_cost, from_the_start.derived.relative_cost);
    assert!((late - (0.25 + 0.75 * early)).abs() < 1e-9, "{late} {early}");
}

#[test]
fn a_warm_start_takes_the_weights_and_may_leave_the_head() {
    let fixture = Fixture::new();
    let first = fixture.train("first", &SHORT);
    let weights = first.checkpoints().join(STEPS_PER_EPOCH.to_string()).join("weights.safetensors");
    let init = format!("train.init={:?}", weights.to_str().unwrap());
    let warm = |name: &str, more: &[&str]| {
        let overrides = [SHORT.as_slice(), &[init.as_str(), "train.lr=1e-9"], more].concat();
        let run = fixture.train(name, &overrides);
        let bytes = std::fs::read(run.checkpoints().join("12").join("weights.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        ["features.0.0.weight", "classifier.0.weight"].map(|name| {
            let data = tensors.tensor(name).unwrap().data().to_vec();
            data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
        })
    };
    let bytes = std::fs::read(&weights).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let near = |ours: &[f32], name: &str| {
        let data = tensors.tensor(name).unwrap().data();
        let theirs = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5)
    };
    let [stem, head] = warm("whole", &[]);
    assert!(near(&stem, "features.0.0.weight") && near(&head, "classifier.0.weight"));
    let [stem, head] = warm("new head", &["train.new_head=true"]);
    assert!(near(&stem, "features.0.0.weight") && !near(&head, "classifier.0.weight"));

    let other = fixture.recipe(&[init.as_str(), "network.widths=[0.25, 1.0]"]);
    let error = train(&other, &fixture.run("other"), &AtomicBool::new(false), &mut ()).unwrap_err();
    assert!(error.to_string().contains("do not fit the network"), "{error}");
}
