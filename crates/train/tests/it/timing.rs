//! What `plan` measures: enough to say how long a recipe takes, leaving nothing behind.

use std::time::Duration;

use mutualnet_train::timing::{Processes, SharedStep, measure_shared};
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

#[test]
fn a_step_is_shared_by_processes() {
    let fixture = Fixture::new();
    let planned = Plan::make(&fixture.recipe(&[])).unwrap();
    let shared = |machines, per_machine, gbit_per_s| {
        let processes = Processes { machines, per_machine, gbit_per_s };
        measure_shared(&planned, processes, Duration::from_millis(300), &mut ())
    };
    let SharedStep { processes, seconds, work_seconds, exchange_seconds, hidden_seconds, bytes } =
        shared(1, 2, 10.0).unwrap();
    assert_eq!((processes, bytes), (2, 4 * planned.plan.derived.params));
    assert!(work_seconds > 0.0 && exchange_seconds > 0.0 && hidden_seconds <= exchange_seconds);
    let shown = exchange_seconds - hidden_seconds;
    assert!((work_seconds + shown..work_seconds + shown + exchange_seconds).contains(&seconds), "{seconds}");
    // Each of four sends one and a half times the gradients over a network of a thousandth of 10⁹ bits per second.
    let slow = shared(4, 1, 0.001).unwrap();
    assert!((slow.exchange_seconds - 1.5 * bytes as f64 * 8e-6).abs() < 1e-9, "{slow:?}");
    assert!(slow.hidden_seconds < slow.work_seconds && slow.seconds > slow.exchange_seconds, "{slow:?}");
    let error = shared(3, 1, 10.0).unwrap_err();
    assert!(error.to_string().contains("which 3 processes cannot share equally"), "{error}");
}
