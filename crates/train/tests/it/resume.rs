//! The state after a step depends on the plan alone.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use mutualnet_bundle::{Bundle, QueryTable, safetensors};
use mutualnet_core::Subnet;
use mutualnet_train::{Error, Event, Outcome, Recipe, Reporter, RunDir, resume, tabulate, train};

use crate::fixture::{Fixture, STEPS_PER_EPOCH, StopAfter, evaluations, events, forget, state};

const LAST: u64 = 2 * STEPS_PER_EPOCH;

#[test]
fn a_resumed_run_ends_in_the_same_bits() {
    let fixture = Fixture::new();
    let straight = fixture.train("straight", &["train.checkpoint_steps=5"]);
    let recipe = fixture.recipe(&["train.checkpoint_steps=5"]);

    // Stopped in the middle of the first and of the second epoch.
    let run = fixture.run("stopped");
    for (step, first) in [(7, true), (17, false)] {
        let stop = AtomicBool::new(false);
        let mut console = StopAfter { step, stop: &stop };
        let outcome = match first {
            true => train(&recipe, &run, &stop, &mut console),
            false => resume(&recipe, &run, &stop, &mut console),
        };
        assert_eq!(outcome.unwrap(), Outcome::Interrupted { step, total_steps: LAST });
        assert!(events(&run).contains(&Event::Interrupted { step }));
    }
    // Killed: what was done since the last checkpoint but one is lost and done again.
    forget(&run, 17);
    assert_eq!(resume(&recipe, &run, &AtomicBool::new(false), &mut ()).unwrap(), Outcome::Finished);
    assert!(state(&run, LAST) == state(&straight, LAST));
}

#[test]
fn the_number_of_workers_leaves_no_trace() {
    let fixture = Fixture::new();
    let one = fixture.train("one", &["data.workers=1", "train.epochs=1"]);
    let four = fixture.train("four", &["data.workers=4", "train.epochs=1"]);
    assert!(state(&one, STEPS_PER_EPOCH) == state(&four, STEPS_PER_EPOCH));
}

#[test]
fn a_run_is_not_overwritten_or_resumed_as_another() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &["train.epochs=1"]);
    let stop = AtomicBool::new(false);
    let recipe = fixture.recipe(&["train.epochs=1"]);
    assert!(matches!(train(&recipe, &run, &stop, &mut ()), Err(Error::RunExists { .. })));
    let other = fixture.recipe(&["train.epochs=1", "train.lr=0.1"]);
    let error = resume(&other, &run, &stop, &mut ()).unwrap_err();
    assert!(matches!(error, Error::OtherRecipe { .. }));
    assert!(error.to_string().contains("train.lr was 0.05, now 0.1: "), "{error}");
    let class = fs::read_dir(fixture.data().join("train")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(fs::read_dir(class).unwrap().next().unwrap().unwrap().path()).unwrap();
    assert!(matches!(resume(&recipe, &run, &stop, &mut ()), Err(Error::OtherData { .. })));
    let nothing = fixture.run("nothing");
    assert!(matches!(resume(&recipe, &nothing, &stop, &mut ()), Err(Error::NoRun { .. })));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_told() {
    let fixture = Fixture::new();
    let straight = fixture.train("straight", &[]);
    let run = fixture.train("damaged", &[]);
    let weights = run.checkpoints().join(LAST.to_string()).join("weights.safetensors");
    fs::write(&weights, b"nothing").unwrap();
    let error = tabulate(&run, "test", &mut ()).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    resume(&fixture.recipe(&[]), &run, &AtomicBool::new(false), &mut ()).unwrap();
    assert!(events(&run).iter().any(|event| matches!(event, Event::DamagedCheckpoint { .. })));
    assert!(state(&run, LAST) == state(&straight, LAST));
}

#[test]
fn checkpoints_that_were_kept_can_be_tabulated() {
    let fixture = Fixture::new();
    let run = fixture.train(
        "run",
        &[
            "train.checkpoint_steps=3",
            "train.keep_checkpoints=1",
            "train.keep_every=2",
            "tabulate.latency_runs=1",
        ],
    );
    let mut kept: Vec<u64> = fs::read_dir(run.checkpoints())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, [6, 12, 18, LAST]);
    let error = tabulate(&run.at_step(9), "test", &mut ()).unwrap_err();
    assert!(error.hint().unwrap().starts_with("there are those of 6, 12, 18, 24; "), "{error}");
    let table = tabulate(&run.at_step(12), "test", &mut ()).unwrap();
    assert_eq!(QueryTable::read(&run.path().join("step-12/table.json")).unwrap(), table);
    assert!(!run.table().exists());
    let bundle = Bundle::read(&run.path().join("step-12/model.mnb")).unwrap();
    let weights = safetensors::read(&run.checkpoints().join("12/weights.safetensors")).unwrap();
    assert!(*bundle.weights() == weights);
}

#[test]
fn a_run_that_is_evaluated_keeps_its_best_checkpoint() {
    let fixture = Fixture::new();
    let keys = ["train.evaluate_epochs=1", "train.keep_checkpoints=1", "tabulate.latency_runs=1"];
    let run = fixture.train("evaluated", &keys);
    let found = evaluations(&run);
    assert_eq!(found.iter().map(|(step, ..)| *step).collect::<Vec<_>>(), [STEPS_PER_EPOCH, LAST]);
    let mean = |values: &[(Subnet, f64)]| values.iter().map(|(_, value)| value).sum::<f64>() / 2.0;
    let (best, values, _) = found.iter().rev().find(|(.., is_best)| *is_best).unwrap();
    assert!(found.iter().all(|(_, others, _)| mean(others) <= mean(values)), "{found:?}");

    // What was told is what the table of that checkpoint has.
    let table = tabulate(&run.at_best().unwrap(), "test", &mut ()).unwrap();
    assert!(run.path().join(format!("step-{best}/model.mnb")).exists());
    let ends =
        [table.rows().iter().min_by_key(|row| row.macs), table.rows().iter().max_by_key(|row| row.macs)];
    let ends = ends.map(|row| row.unwrap()).map(|row| (row.subnet, row.quality.value));
    assert_eq!(values[..], ends);

    // It changes nothing, and a run that is resumed knows what was the best.
    let straight = fixture.train("straight", &[]);
    assert!(state(&run, LAST) == state(&straight, LAST));
    assert!(matches!(straight.at_best(), Err(Error::NoBest { .. })));
    let recipe = fixture.recipe(&keys);
    let stopped = fixture.run("stopped");
    let stop = AtomicBool::new(false);
    train(&recipe, &stopped, &stop, &mut StopAfter { step: STEPS_PER_EPOCH + 3, stop: &stop }).unwrap();
    resume(&recipe, &stopped, &AtomicBool::new(false), &mut ()).unwrap();
    assert_eq!(evaluations(&stopped), found);

    // One that is stopped while it evaluates does so when it is resumed.
    let stopped = fixture.run("stopped while it evaluates");
    for (step, is_new) in [(STEPS_PER_EPOCH, true), (LAST, false)] {
        let stop = AtomicBool::new(false);
        let mut console = StopAtEvaluation { step, stop: &stop };
        let outcome = match is_new {
            true => train(&recipe, &stopped, &stop, &mut console),
            false => resume(&recipe, &stopped, &stop, &mut console),
        };
        let interrupted = Outcome::Interrupted { step, total_steps: LAST };
        assert_eq!(outcome.unwrap(), if step == LAST { Outcome::Finished } else { interrupted });
    }
    assert_eq!(evaluations(&stopped), found[..1]);
    resume(&recipe, &stopped, &AtomicBool::new(false), &mut ()).unwrap();
    assert_eq!(evaluations(&stopped), found);
    let report = stopped.at_best().unwrap().report();
    assert_eq!(report.parent().unwrap(), stopped.path().join(format!("step-{best}")));
}

/// Sets `stop` as soon as the run is evaluated after `step` steps.
struct StopAtEvaluation<'a> {
    step: u64,
    stop: &'a AtomicBool,
}

impl Reporter for StopAtEvaluation<'_> {
    fn report(&mut self, event: &Event) {
        if matches!(event, Event::Evaluating { step } if *step == self.step) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_broken_image_is_replaced_and_told() {
    let fixture = Fixture::new();
    let class = fs::read_dir(fixture.data().join("train")).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(class).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, b"not an image").unwrap();
    let run = fixture.train("broken", &["train.epochs=1", "data.broken_limit=0.05"]);
    let told = events(&run).into_iter().filter_map(|event| match event {
        Event::Quarantined { path, .. } => Some(path),
        _ => None,
    });
    assert_eq!(
        told.map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>(),
        [file.file_name().unwrap()]
    );
}

#[test]
fn a_run_that_diverges_says_where_and_stops() {
    let fixture = Fixture::new();
    let recipe = fixture.recipe(&["train.lr=1e30", "train.non_finite_limit=2"]);
    let run = fixture.run("diverged");
    let error = train(&recipe, &run, &AtomicBool::new(false), &mut ()).unwrap_err();
    assert!(matches!(error, Error::Diverged { n: 3, .. }), "{error}");
    let found = events(&run).into_iter().filter_map(|event| match event {
        Event::NonFinite { layer, samples, .. } => Some((layer, samples.len())),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|(layer, n)| layer.is_some() && *n == 8), "{found:?}");
}

/// A second process is refused while the first one trains, and not afterwards.
#[test]
fn a_run_is_trained_by_one_process_at_a_time() {
    struct Second<'a>(&'a Recipe, &'a RunDir, Option<String>);
    impl Reporter for Second<'_> {
        fn report(&mut self, event: &Event) {
            if matches!(event, Event::Step { step: 3, .. }) {
                let error = resume(self.0, self.1, &AtomicBool::new(false), &mut ()).unwrap_err();
                self.2 = Some(error.to_string());
            }
        }
    }
    let fixture = Fixture::new();
    let (recipe, run) = (fixture.recipe(&["train.epochs=1"]), fixture.run("run"));
    let mut second = Second(&recipe, &run, None);
    train(&recipe, &run, &AtomicBool::new(false), &mut second).unwrap();
    let told = second.2.unwrap();
    assert!(told.starts_with("another process is working on this run: "), "{told}");
    resume(&recipe, &run, &AtomicBool::new(false), &mut ()).unwrap();
}
