//! `mutualnet plan`: what a recipe will do, and how long it will take on this machine.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::Result;
use mutualnet_core::Network;
use mutualnet_core::network::Rank;
use mutualnet_core::text::{counted, shown};
use mutualnet_train::plan::{DataFacts, too_narrow};
use mutualnet_train::timing::{self, HeldUpBy, Processes, SharedStep, Timing, TrainTiming};
use mutualnet_train::{Plan, Planned, Recipe};
use serde::Serialize;

use crate::args::PlanArgs;
use crate::interrupt::Signals;
use crate::progress::Progress;
use crate::{text, watch};

/// What is printed.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    plan: Plan,
    /// `None` where nothing was timed.
    timing: Option<Timing>,
    /// With several processes, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_step: Option<SharedStep>,
}

pub(super) fn run(args: &PlanArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe.recipe, &args.recipe.overrides)?;
    let (report, not_timed) = match (args.train_images, args.classes) {
        (Some(n_train), Some(classes)) => {
            let classes = (0..classes).map(|class| format!("class {class}")).collect();
            // The share is taken of each class, so this is close but not exact.
            let n_train = (n_train as f64 * recipe.data.train_share).round() as usize;
            let facts = DataFacts { classes, n_train, ..DataFacts::default() };
            let (plan, network) = Plan::start_of(&recipe, facts)?;
            warn_of_width(&network);
            let not_timed = "--train-images stands for data that are not there";
            (Report { plan, timing: None, shared_step: None }, not_timed)
        }
        _ => {
            let planned = make(&recipe)?;
            let timing = if args.no_timing { None } else { Some(time(&planned)?) };
            let shared_step = match processes(args) {
                None => None,
                Some(processes) => {
                    text::note("timing the work and the exchange of one of these processes, about 10 s");
                    Some(timing::measure_shared(
                        &planned,
                        processes,
                        timing::STEP_TIME,
                        &mut Progress::quiet(),
                    )?)
                }
            };
            (Report { plan: planned.plan, timing, shared_step }, "--no-timing was given")
        }
    };
    if args.json {
        return text::json(&report);
    }
    print_plan(&report.plan)?;
    match &report.timing {
        Some(timing) => {
            print_timing(&report.plan, timing)?;
            report.shared_step.as_ref().map_or(Ok(()), |shared| print_shared(shared, &timing.train))
        }
        None => entry("time", &format!("not measured: {not_timed}")),
    }
}

fn make(recipe: &Recipe) -> Result<Planned> {
    let planned = {
        let _display = watch::searching("images");
        Plan::start(recipe)?
    };
    for dataset in [&planned.train, &planned.test] {
        for notice in dataset.notices() {
            let kind = if notice.is_warning() { "warning" } else { "note" };
            text::note(&format!("{kind}: {notice}: {}", shown(dataset.dir())));
        }
    }
    if let Some(told) = &planned.first_weights {
        text::note(&format!("note: {told}"));
    }
    warn_of_width(&planned.network);
    Ok(planned)
}

fn warn_of_width(network: &Network) {
    if let Some(warning) = too_narrow(network) {
        text::note(&format!("warning: {warning}"));
    }
}

fn time(planned: &Planned) -> Result<Timing> {
    Signals::listen()?.end_the_process("nothing was written".to_owned(), "--no-timing skips the timing");
    text::note("timing a few steps on this machine, about 20 s (--no-timing skips it)");
    Ok(timing::measure(planned, timing::STEP_TIME, &mut Progress::quiet())?)
}

fn entry(what: &str, value: &str) -> Result<()> {
    text::line(&format!("{what:<18}{value}"))
}

fn print_timing(plan: &Plan, Timing { train, tabulate, peak_memory_bytes }: &Timing) -> Result<()> {
    let samples = plan.recipe.rank().samples();
    let checkpoints = counted(train.checkpoints as usize, "checkpoint");
    let evaluations = match train.evaluations {
        0 => String::new(),
        n => format!(", {} of {}", counted(n as usize, "evaluation"), seconds(train.evaluation_seconds)),
    };
    entry(
        "training",
        &format!(
            "about {}: {} steps of {} ({} {samples}/s), {checkpoints} of {}{evaluations}",
            seconds(train.seconds),
            plan.derived.total_steps,
            seconds(train.step_seconds),
            rounded(plan.recipe.train.batch as f64 / train.step_seconds),
            seconds(train.checkpoint_seconds)
        ),
    )?;
    entry(
        "tabulating",
        &format!(
            "about {}: {} to calibrate, {} to evaluate, {} to time {}",
            seconds(tabulate.seconds),
            seconds(tabulate.calibrate_seconds),
            seconds(tabulate.evaluate_seconds),
            seconds(tabulate.latency_seconds),
            counted(plan.derived.rows, "row")
        ),
    )?;
    let waiting = format!(
        "{:.0} % of a step is spent waiting for {samples}",
        100.0 * train.wait_seconds / train.step_seconds
    );
    entry(
        "bottleneck",
        &match train.held_up_by {
            HeldUpBy::Step => format!("the training step; {waiting}"),
            HeldUpBy::Loader => {
                format!("loading {samples}; {waiting} (mutualnet bench data says which stage)")
            }
        },
    )?;
    let memory = peak_memory_bytes.map_or("unknown on this system".to_owned(), bytes);
    entry("peak memory", &memory)?;
    entry(
        "measured",
        &format!(
            "{} of {} {samples}, {} of {}",
            counted(train.measured_steps as usize, "step"),
            train.measured_batch,
            tabulate.measured_rows,
            counted(plan.derived.rows, "row")
        ),
    )
}

/// The processes that the arguments ask for.
fn processes(args: &PlanArgs) -> Option<Processes> {
    let [machines, per_machine] = [args.machines, args.processes].map(|n| n.map_or(1, NonZeroUsize::get));
    let is_asked = args.machines.is_some() || args.processes.is_some();
    is_asked.then_some(Processes { machines, per_machine, gbit_per_s: args.gbit_per_s })
}

fn print_shared(shared: &SharedStep, alone: &TrainTiming) -> Result<()> {
    let SharedStep { work_seconds, exchange_seconds, hidden_seconds, .. } = *shared;
    entry(
        &match shared.processes {
            1 => "1 process".to_owned(),
            n => format!("{n} processes"),
        },
        &format!(
            "about {} per step, {:.2} × as fast as this machine with one process",
            seconds(shared.seconds),
            alone.step_seconds / shared.seconds
        ),
    )?;
    entry(
        "",
        &format!(
            "{} of work; {} to exchange {}, of which {} are hidden behind the work",
            seconds(work_seconds),
            seconds(exchange_seconds),
            bytes(shared.bytes),
            seconds(hidden_seconds)
        ),
    )
}

/// `0.213 s`, `4.1 s`, `3 min 20 s`.
fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.3} s"),
        s if s < 20.0 => format!("{s:.1} s"),
        s => text::duration(Duration::from_secs_f64(s)),
    }
}

/// `4.1` or `213`: one decimal below ten, none above.
fn rounded(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn bytes(n: u64) -> String {
    let gigabytes = n as f64 / 1e9;
    if gigabytes < 1.0 { format!("{:.0} MB", n as f64 / 1e6) } else { format!("{gigabytes:.1} GB") }
}

fn print_plan(plan: &Plan) -> Result<()> {
    let (recipe, derived) = (&plan.recipe, &plan.derived);
    let range = recipe.trained_widths();
    let resolutions: BTreeSet<_> = recipe.inputs().iter().map(|input| Reverse(input.resolution)).collect();
    let frames: BTreeSet<_> = recipe.inputs().iter().map(|input| Reverse(input.frames)).collect();
    let frames = match recipe.rank() {
        Rank::Image => String::new(),
        Rank::Clip => format!(", {} frames at a stride of {}", joined(&frames), recipe.data.frame_stride),
    };
    // There are none where the plan is made from a number of training images.
    let test = match derived.n_test {
        0 => String::new(),
        n => format!(" and {n} test"),
    };
    for (what, value) in [
        (
            "network",
            format!(
                "{}, {}, {} px{frames}",
                recipe.network.name,
                if range.smallest() == range.full() {
                    format!("width {}", range.full())
                } else {
                    format!("widths {} to {}", range.smallest(), range.full())
                },
                joined(&resolutions)
            ),
        ),
        ("method", recipe.train.method.name().to_owned()),
        ("full network", format!("{} MACs, {} parameters", derived.full_macs, derived.params)),
        ("smallest network", format!("{} MACs", derived.smallest_macs)),
        (
            "data",
            format!(
                "{} training{test} {}, {} classes",
                derived.n_train,
                recipe.rank().samples(),
                derived.classes.len()
            ),
        ),
        ("steps", plan.extent()),
        ("cost of a step", format!("{:.2} × that of plain training", derived.relative_cost)),
        ("query table", counted(derived.rows, "row")),
    ] {
        entry(what, &value)?;
    }
    Ok(())
}

/// `64/48/32`, largest first.
fn joined<T: Display>(numbers: &BTreeSet<Reverse<T>>) -> String {
    numbers.iter().map(|number| number.0.to_string()).collect::<Vec<_>>().join("/")
}
