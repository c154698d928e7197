//! Broken images and changed data: how training and tabulating deal with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use mutualnet_train::{Error, Event, Outcome, Plan, resume, tabulate, train};

use crate::fixture::{Fixture, STEPS_PER_EPOCH, events, state};

/// Some image of a split.
fn image(fixture: &Fixture, split: &str) -> PathBuf {
    let first = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_none_or(|ending| ending == "jpg")).min().unwrap()
    };
    first(&first(&fixture.data().join(split)))
}

#[test]
fn a_run_that_found_too_many_broken_images_goes_on_with_a_higher_limit() {
    let fixture = Fixture::new();
    fs::write(image(&fixture, "train"), b"not an image").unwrap();
    let recipe = |limit| fixture.recipe(&["train.epochs=1", limit]);
    let run = fixture.run("strict");
    let stop = AtomicBool::new(false);
    let error = train(&recipe("data.broken_limit=0"), &run, &stop, &mut ()).unwrap_err();
    assert!(error.to_string().starts_with("1 file cannot be decoded"), "{error}");
    let Some(Event::Checkpoint { step, .. }) = events(&run).pop() else { panic!("the state is saved") };
    assert!(step < STEPS_PER_EPOCH);
    let outcome = resume(&recipe("data.broken_limit=0.05"), &run, &stop, &mut ()).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    let stored = Plan::read(&run.plan()).unwrap();
    assert_eq!(stored.recipe.data.broken_limit, 0.05, "tabulating obeys the new limit");
    let straight = fixture.train("straight", &["train.epochs=1", "data.broken_limit=0.05"]);
    assert!(state(&run, STEPS_PER_EPOCH) == state(&straight, STEPS_PER_EPOCH));
    assert!(matches!(events(&straight).pop(), Some(Event::Trained { n_broken: 1, .. })));
}

#[test]
fn a_broken_test_image_is_left_out_and_told() {
    let fixture = Fixture::new();
    let overrides = ["train.epochs=1", "data.broken_limit=0.05", "network.widths=[1.0, 1.0]"];
    let run = fixture.train("run", &overrides);
    let broken = image(&fixture, "test");
    fs::write(&broken, b"not an image").unwrap();
    let table = tabulate(&run, "test", &mut ()).unwrap();
    assert!(table.rows().iter().all(|row| row.quality.n == 47));
    let told = events(&run).into_iter().find_map(|event| match event {
        Event::LeftOut { path, .. } => Some(path),
        _ => None,
    });
    assert!(broken.ends_with(told.unwrap()));
    let notice = "the test images changed since the run was started";
    let is_told = |event: &Event| matches!(event, Event::Notice { text } if text.starts_with(notice));
    assert!(events(&run).iter().any(is_told), "its size changed");
}

#[test]
fn labels_that_mean_something_else_are_not_tabulated() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &["train.epochs=1"]);
    for split in ["train", "test"] {
        let class = image(&fixture, split).parent().unwrap().to_owned();
        fs::rename(&class, class.with_file_name("zebra")).unwrap();
    }
    let error = tabulate(&run, "test", &mut ()).unwrap_err();
    assert!(matches!(error, Error::RunClasses { .. }), "{error}");
}

#[test]
fn a_checkpoint_without_a_part_that_is_needed_is_one_error_everywhere() {
    let fixture = Fixture::new();
    let overrides = ["train.epochs=1", "train.ema=0.9", "tabulate.weights=ema"];
    let run = fixture.train("run", &overrides);
    let path = run.checkpoints().join(STEPS_PER_EPOCH.to_string()).join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["sha256"].as_object_mut().unwrap().remove("ema").unwrap();
    // A file of version 2, which has no hash of its own.
    state["format_version"] = 2.into();
    state.as_object_mut().unwrap().remove("state_sha256").unwrap();
    fs::write(&path, state.to_string()).unwrap();
    let resumed = resume(&fixture.recipe(&overrides), &run, &AtomicBool::new(false), &mut ());
    for error in [resumed.unwrap_err(), tabulate(&run, "test", &mut ()).unwrap_err()] {
        assert_eq!(error.to_string(), "the checkpoint has no part `ema`");
        assert!(error.hint().is_some());
    }
}
