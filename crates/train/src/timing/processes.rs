//! How long a step takes if several processes share it.
//!
//! The work of one process and the exchange between those of a machine are timed here; the network between machines is given
//! as a number. `docs/timing.md` has the model.

use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use mutualnet_engine::{Device, Group, Rendezvous, Tensor};
use mutualnet_nn::Net;
use serde::Serialize;

use super::steps;
use crate::events::{EventLog, Reporter};
use crate::plan::{DataFacts, Plan, Planned, StepCost};
use crate::ranks::{self, Ranks, check_batch};
use crate::recipe::Recipe;
use crate::state::State;
use crate::task::{Objective, for_task};
use crate::trainer::Trainer;
use crate::training::{device_of, set_up};
use crate::{Error, Result};

/// How often the exchange is timed, after a first one.
const N_EXCHANGES: usize = 7;
/// How long the processes of the timed exchange wait for each other.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Processes that share every batch, on machines like this one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Processes {
    /// How many machines.
    pub machines: usize,
    /// How many processes on each of them.
    pub per_machine: usize,
    /// How much a machine can send, and receive at the same time, in 10⁹ bits per second.
    pub gbit_per_s: f64,
}

impl Processes {
    /// All of them.
    pub fn n(&self) -> usize {
        self.machines * self.per_machine
    }
}

/// How long a step of the recipe's batch takes with several processes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SharedStep {
    /// How many processes share it.
    pub processes: usize,
    /// The whole step.
    pub seconds: f64,
    /// What each process does with its part of the batch, including the wait for its images.
    pub work_seconds: f64,
    /// Exchanging the gradients of all sub-networks.
    pub exchange_seconds: f64,
    /// The part of the exchange during which the last student works.
    pub hidden_seconds: f64,
    /// Bytes of the gradients.
    pub bytes: u64,
}

/// Times the work of one of several processes, for `time`, and an exchange of gradients between those of this machine.
///
/// # Errors
/// They cannot share the batch equally, or would train on GPUs; or as for [`measure`](super::measure).
pub fn measure_shared(
    planned: &Planned,
    processes: Processes,
    time: Duration,
    console: &mut dyn Reporter,
) -> Result<SharedStep> {
    let recipe = &planned.plan.recipe;
    device_of(recipe, processes.n())?;
    check_batch(recipe, processes.n())?;
    let part = part_of(planned, processes)?;
    let work = for_task!(recipe.task, part.network, O => work::<O>(&part, time, console))?;
    let crowding = processes.per_machine as f64 / cores() as f64;
    let work_seconds = work * crowding.max(1.0);

    let derived = &planned.plan.derived;
    let bytes = derived.params * size_of::<f32>() as u64;
    let n = processes.n() as f64;
    let sent_by_machine = if processes.machines > 1 { 2.0 * (n - 1.0) / n * bytes as f64 } else { 0.0 };
    let between_machines = 8.0 * sent_by_machine / (processes.gbit_per_s * 1e9);
    let exchange_seconds = exchange(processes.per_machine, derived.params as usize)?.max(between_machines);

    let cost = StepCost::new(recipe, derived.classes.len())?;
    let hidden_seconds = exchange_seconds.min(work_seconds * cost.of_last_student()? / cost.expected()?);
    let afterwards = if recipe.train.method.has_students() {
        let narrowest = planned.network.params(recipe.trained_widths().smallest())?;
        exchange_seconds * narrowest as f64 / derived.params as f64
    } else {
        0.0
    };
    let seconds = work_seconds + exchange_seconds - hidden_seconds + afterwards;
    Ok(SharedStep {
        processes: processes.n(),
        seconds,
        work_seconds,
        exchange_seconds,
        hidden_seconds,
        bytes,
    })
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// The plan of one process: its part of the batch, on its share of the cores.
fn part_of(planned: &Planned, processes: Processes) -> Result<Planned> {
    let Plan { recipe, derived, .. } = &planned.plan;
    let share = (cores() / processes.per_machine).max(1);
    let mut keys = vec![format!("train.batch={}", recipe.train.batch / processes.n())];
    for (key, value) in [("train.threads", recipe.train.threads), ("data.workers", recipe.data.workers)] {
        if value == 0 {
            keys.push(format!("{key}={share}"));
        }
    }
    let recipe = Recipe::parse(&recipe.to_toml(), &keys)?;
    let facts = DataFacts {
        classes: derived.classes.clone(),
        n_train: derived.n_train,
        n_test: derived.n_test,
        train_sha256: derived.train_sha256.clone(),
        test_sha256: derived.test_sha256.clone(),
    };
    let (plan, network) = Plan::of(&recipe, facts)?;
    let (shipped, train, test) = (planned.shipped.clone(), planned.train.clone(), planned.test.clone());
    Ok(Planned { plan, network, shipped, train, test, first_weights: None })
}

/// Seconds of a step of one process, if it were alone.
fn work<O: Objective>(planned: &Planned, time: Duration, console: &mut dyn Reporter) -> Result<f64> {
    let device = set_up(&planned.plan.recipe, &Ranks::alone())?;
    let mut log = EventLog::without_record(console);
    let state = State::first(planned, device)?;
    let net = Net::new(planned.network.clone());
    let mut trainer = Trainer::<O>::new(&planned.plan, net, device, Rc::default(), state);
    Ok(steps::measure(planned, &mut trainer, time, &mut log)?.0.step_seconds)
}

/// Seconds in which `n` processes of this machine average so many numbers; threads stand in for them.
fn exchange(n: usize, numbers: usize) -> Result<f64> {
    if n == 1 {
        return Ok(0.0);
    }
    let host = "127.0.0.1".to_owned();
    let address = TcpListener::bind((&*host, 0)).and_then(|listener| listener.local_addr());
    let no_port = |source| Error::Launch { reason: format!("there is no free port on {host}: {source}") };
    let port = address.map_err(no_port)?.port();
    let times = |rank| {
        let meet =
            Rendezvous { host: host.clone(), port, is_host: rank == 0, rank, size: n, timeout: TIMEOUT };
        let group = Group::join(&meet).map_err(ranks::exchange)?;
        let mut seconds = Vec::new();
        for _ in 0..=N_EXCHANGES {
            let gradients = vec![Tensor::zeros(&[numbers], Device::Cpu)?];
            // So that all begin together.
            group.sum_numbers(&mut [0.0]).map_err(ranks::exchange)?;
            let begun = Instant::now();
            group.average(gradients).map_err(ranks::exchange)?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        seconds.remove(0);
        seconds.sort_unstable_by(f64::total_cmp);
        Ok(seconds[N_EXCHANGES / 2])
    };
    let times = &times;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..n).map(|rank| scope.spawn(move || times(rank))).collect();
        let medians = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
        medians.collect::<Result<Vec<f64>>>().map(|medians| medians.into_iter().fold(0.0, f64::max))
    })
}
