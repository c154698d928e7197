//! Runs of several ranks, which are threads here: the same steps as by hand, and what happens when one is lost.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use mutualnet_bundle::{Bundle, QueryTable, Row};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_data::{Batches, Loader, LoaderConfig, Part, Position};
use mutualnet_engine::{Device, Rendezvous, Tensor};
use mutualnet_nn::{Net, Parameters};
use mutualnet_train::checkpoint::Checkpoint;
use mutualnet_train::mutual_step::mutual_step;
use mutualnet_train::step_batch::StepBatch;
use mutualnet_train::step_rules::StepRules;
use mutualnet_train::task::Classify;
use mutualnet_train::update::Optimizer;
use mutualnet_train::{
    Error, Event, Outcome, Plan, Ranks, Recipe, Result, RunDir, tabulate, tabulate_together, train_together,
};

use crate::fixture::{Fixture, StopAfter, evaluations, events, state, train_in};
use crate::segment;

/// A network of few layers with many pixels: elsewhere rounding grows, and decides at which pixels ReLU has a gradient.
const STEADY: &str = "network.name=wide_resnet10_2";

/// Joins threads that work together, and returns what became of each.
fn on_ranks<T: Send>(n: usize, work: impl Fn(usize, Ranks) -> Result<T> + Sync) -> Vec<Result<T>> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (work, all) = (&work, &Barrier::new(n));
    thread::scope(|scope| {
        let spawn = |rank| {
            let timeout = Duration::from_secs(20);
            let host = "127.0.0.1".to_owned();
            let meet = Rendezvous { host, port, is_host: rank == 0, rank, size: n, timeout };
            scope.spawn(move || {
                let ranks = Ranks::join(&meet);
                // One that fails at once must not be gone while others still join.
                all.wait();
                work(rank, ranks?)
            })
        };
        let ranks: Vec<_> = (0..n).map(spawn).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn train_on_two(recipe: &Recipe, run: &RunDir, resumes: bool) {
    let stop = AtomicBool::new(false);
    let outcomes = on_ranks(2, |_, ranks| train_together(recipe, (run, resumes), ranks, &stop, &mut ()));
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), Outcome::Finished);
    }
}

/// The losses of the first steps, and the weights after them, if two halves of every batch are worked on one after another.
fn by_hand(recipe: &Recipe, learning_rates: &[f64]) -> (Vec<f64>, Parameters) {
    let planned = Plan::make(recipe).unwrap();
    let net = Net::new(planned.network.clone());
    let parameters = Parameters::init(net.network(), recipe.seed, Device::Cpu).unwrap();
    let mut optimizer = Optimizer::new(&parameters, &recipe.train.optimizer()).unwrap();
    let mut halves = [0, 1].map(|index| batches(recipe, planned.train.clone(), Part { index, of: 2 }));
    let mut losses = Vec::new();
    for (step, &lr) in learning_rates.iter().enumerate() {
        let key = Key::new(recipe.seed, Purpose::Sample).step(step as u64);
        let subnets = recipe.sampler().sample(key, None);
        let [first, second] = halves.each_mut().map(|batches| {
            let mut batch = batches.next().unwrap().unwrap();
            let batch = StepBatch::<Classify>::new(&mut batch, Device::Cpu).unwrap();
            mutual_step(&net, &parameters, &batch, &subnets, &StepRules::default()).unwrap()
        });
        let mean = |(a, b): (&Tensor, &Tensor)| a.add(b).unwrap().scale(0.5).unwrap();
        let gradients: Vec<_> = first.0.iter().zip(&second.0).map(mean).collect();
        optimizer.step(&parameters, &gradients, lr).unwrap();
        losses.push((first.1.full + second.1.full) / 2.0);
    }
    (losses, parameters)
}

/// Learning rate and loss of every step.
fn steps(run: &RunDir) -> Vec<(f64, f64)> {
    let of = |event: &Event| match event {
        Event::Step { lr, full_loss, .. } => Some((*lr, *full_loss)),
        _ => None,
    };
    events(run).iter().filter_map(of).collect()
}

fn batches(recipe: &Recipe, dataset: mutualnet_data::Dataset, part: Part) -> Batches {
    let config = LoaderConfig {
        batch_size: recipe.train.batch,
        part,
        workers: 1,
        prefetch: 2,
        seed: recipe.seed,
        broken_limit: 0.0,
    };
    let loader = Loader::new(Arc::new(dataset), config).unwrap();
    loader.train(recipe.data.augment, &recipe.preprocess(), Position::default(), 1).unwrap()
}

#[test]
fn two_ranks_take_the_steps_of_two_halves_by_hand() {
    let fixture = Fixture::new();
    // After more steps the rounding of some processors has grown above the limit.
    let recipe = fixture.recipe(&["train.epochs=1", "train.max_steps=6", STEADY]);
    let run = fixture.run("run");
    train_on_two(&recipe, &run, false);
    let (learning_rates, losses): (Vec<_>, Vec<_>) = steps(&run).into_iter().unzip();
    assert_eq!(losses.len(), 6);
    let (expected, parameters) = by_hand(&recipe, &learning_rates);
    for (step, (ours, expected)) in losses.iter().zip(&expected).take(3).enumerate() {
        assert!((ours - expected).abs() <= 1e-5, "step {step}: {ours} instead of {expected}");
    }
    let (mut checkpoint, _) = Checkpoint::latest(&run.checkpoints()).unwrap();
    let ours = checkpoint.take(mutualnet_train::checkpoint::WEIGHTS).unwrap();
    for (name, expected) in parameters.to_weights().unwrap() {
        let difference = ours[&name].data.iter().zip(&expected.data).map(|(a, b)| (a - b).abs());
        let largest = difference.fold(0.0, f32::max);
        assert!(largest <= 1e-3, "{name}: {largest}");
    }
}

#[test]
fn two_ranks_that_share_batch_norms_take_the_steps_of_one_process() {
    let fixture = Fixture::new();
    let (alone, together) = (fixture.run("alone"), fixture.run("together"));
    let recipe = fixture.recipe(&["train.sync_batch_norm=true", STEADY, "train.max_steps=3"]);
    train_together(&recipe, (&alone, false), Ranks::alone(), &AtomicBool::new(false), &mut ()).unwrap();
    train_on_two(&recipe, &together, false);
    for (step, ((_, ours), (_, expected))) in steps(&together).iter().zip(steps(&alone)).take(3).enumerate() {
        assert!((ours - expected).abs() <= 1e-5, "step {step}: {ours} instead of {expected}");
    }
}

#[test]
fn a_run_of_two_ranks_that_is_stopped_ends_in_the_same_bits() {
    let fixture = Fixture::new();
    let recipe = fixture.recipe(&["train.epochs=1", "train.evaluate_epochs=1"]);
    let (straight, stopped) = (fixture.run("straight"), fixture.run("stopped"));
    train_on_two(&recipe, &straight, false);
    let stop = [AtomicBool::new(false), AtomicBool::new(false)];
    // The second rank is told by nobody but the first.
    let outcomes = on_ranks(2, |rank, ranks| {
        let mut console = StopAfter { step: 5, stop: &stop[rank] };
        train_together(&recipe, (&stopped, false), ranks, &stop[rank], &mut console)
    });
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), Outcome::Interrupted { step: 5, total_steps: 12 });
    }
    train_on_two(&recipe, &stopped, true);
    assert_eq!(state(&straight, 12), state(&stopped, 12));

    // Each has evaluated one of two rows.
    let evaluated = evaluations(&straight);
    assert_eq!(evaluated, evaluations(&stopped));
    let table = tabulate(&straight, "test", &mut ()).unwrap();
    for &(subnet, value) in &evaluated[0].1 {
        assert_eq!(table.row(subnet).unwrap().quality.value, value, "{subnet}");
    }
}

/// The third rank leaves after some steps; the first saves the state, and both name it.
#[test]
fn a_rank_that_is_lost_is_named_and_the_state_is_saved() {
    let fixture = Fixture::new();
    let recipe = fixture.recipe(&["train.batch=12"]);
    let run = fixture.run("run");
    let outcomes = on_ranks(3, |rank, ranks| {
        let never = AtomicBool::new(false);
        if rank < 2 {
            return train_together(&recipe, (&run, false), ranks, &never, &mut ());
        }
        let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            train_together(&recipe, (&run, false), ranks, &never, &mut LeaveAfter(4))
        }));
        assert!(left.is_err());
        Ok(Outcome::Finished)
    });
    for outcome in &outcomes[..2] {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!(error.to_string(), "process 2 is gone or does not answer");
        assert!(error.hint().unwrap().contains("--resume"));
    }
    let (checkpoint, _) = Checkpoint::latest(&run.checkpoints()).unwrap();
    assert_eq!(checkpoint.step, 4);
}

/// Panics after a number of steps, in place of a process that is killed.
struct LeaveAfter(u64);

impl mutualnet_train::Reporter for LeaveAfter {
    fn report(&mut self, event: &Event) {
        if matches!(event, Event::Step { step, .. } if *step + 1 == self.0) {
            std::panic::resume_unwind(Box::new(()));
        }
    }
}

#[test]
fn ranks_that_do_not_train_the_same_are_refused() {
    let fixture = Fixture::new();
    let run = fixture.run("run");
    let never = AtomicBool::new(false);
    let recipes = [fixture.recipe(&[]), fixture.recipe(&["train.lr=0.04"])];
    let outcomes =
        on_ranks(2, |rank, ranks| train_together(&recipes[rank], (&run, false), ranks, &never, &mut ()));
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.to_string(), "the recipe of process 1 differs from that of process 0");
    }
    let odd = fixture.recipe(&["train.batch=7"]);
    let outcomes =
        on_ranks(2, |_, ranks| train_together(&odd, (&fixture.run("odd"), false), ranks, &never, &mut ()));
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, Error::Recipe { .. }));
        assert!(
            error.to_string().contains("train.batch is 7, which 2 processes cannot share equally"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("train.batch=8"));
    }
}

#[test]
fn rows_of_several_ranks_are_those_of_one() {
    let fixture = Fixture::new();
    // Four rows, so that one of five ranks has none.
    let keys = [
        "train.epochs=1",
        "tabulate.width_step=0.75",
        "network.resolutions=[32, 20]",
        "tabulate.precisions=[\"f32\", \"bf16\"]",
    ];
    let run = fixture.train("run", &keys);
    check_shared_rows(&run, &[2, 5]);
}

#[test]
fn rows_of_several_ranks_that_segment_are_those_of_one() {
    let dir = tempfile::tempdir().unwrap();
    segment::scenes(&dir.path().join("data"));
    check_shared_rows(&train_in(dir.path(), segment::RECIPE, &["train.max_steps=2"]), &[3]);
}

/// Tabulates a run of four sub-networks alone and with others.
fn check_shared_rows(run: &RunDir, ranks: &[usize]) {
    let measured = |table: &QueryTable| {
        let bundle = Bundle::read(&run.bundle()).unwrap();
        let of = |row: &Row| {
            let stats = bundle.stats(row.subnet).unwrap().clone();
            ((row.subnet, row.precision), (row.macs, row.quality, stats))
        };
        let rows: BTreeMap<_, _> = table.rows().iter().map(of).collect();
        assert_eq!(rows.keys().filter(|(_, precision)| precision.is_f32()).count(), 4);
        rows
    };
    let alone = measured(&tabulate(run, "test", &mut ()).unwrap());
    for &n in ranks {
        let tables = on_ranks(n, |_, ranks| tabulate_together(run, "test", &ranks, &mut ()));
        let mut tables: Vec<_> = tables.into_iter().map(Result::unwrap).collect();
        assert!(tables[1..].iter().all(Option::is_none));
        for (row, numbers) in &measured(&tables.remove(0).unwrap()) {
            // Rows in bf16 are kept if they are fast, which is up to the clock.
            assert!(alone.get(row).is_none_or(|alone| alone == numbers), "{n} ranks: {row:?}");
        }
    }
}
