//! What `plan` measures: enough to say how long a recipe takes, leaving nothing behind.

use std::time::Duration;

use mutualnet_train::{Plan, timing};

use crate::fixture::Fixture;

/// Times a recipe briefly.
fn measure(fixture: &Fixture, overrides: &[&str]) -> timing::Timing {
    let planned = Plan::make(&fixture.recipe(overrides)).unwrap();
    timing::measure(&planned, Duration::from_millis(300), &mut ()).unwrap()
}

#[test]
fn every_stage_is_timed() {
    let fixture = Fixture::new();
    let timing::Timing { train, tabulate, peak_memory_bytes } = measure(&fixture, &[]);
    assert!(train.measured_steps >= 1 && train.measured_batch == 8, "{train:?}");
    assert!(train.step_seconds > train.wait_seconds && train.checkpoint_seconds > 0.0, "{train:?}");
    let steps = 24.0 * train.step_seconds;
    assert_eq!(train.checkpoints, 2);
    assert!((train.seconds - steps - 2.0 * train.checkpoint_seconds).abs() < 1e-9, "{train:?}");
    let stages = [tabulate.calibrate_seconds, tabulate.evaluate_seconds, tabulate.latency_seconds];
    assert!(stages.iter().all(|&seconds| seconds > 0.0), "{tabulate:?}");
    assert!(tabulate.seconds >= stages.iter().sum() && tabulate.measured_rows == 6, "{tabulate:?}");
    if cfg!(target_os = "linux") {
        assert!(peak_memory_bytes.unwrap() > 10_000_000, "{peak_memory_bytes:?}");
    }
}

#[test]
fn a_large_batch_is_timed_on_fewer_images() {
    let fixture = Fixture::new();
    // A step of all images would take minutes.
    let overrides = ["network.name=wide_resnet16_8", "train.batch=96", "tabulate.width_step=0.75"];
    let timing = measure(&fixture, &overrides);
    assert!(timing.train.measured_batch < 96, "{timing:?}");
    assert!(timing.train.seconds > timing.train.step_seconds, "{timing:?}");
    assert_eq!(timing.tabulate.measured_rows, 6, "{timing:?}");
}

#[test]
fn whatever_would_stop_training_is_an_error() {
    let fixture = Fixture::new();
    let planned = Plan::make(&fixture.recipe(&["train.init=missing.safetensors"])).unwrap();
    let error = timing::measure(&planned, Duration::ZERO, &mut ()).unwrap_err();
    assert!(error.to_string().contains("missing.safetensors"), "{error}");
}
