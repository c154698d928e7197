//! From a finished run to its table and bundle: calibrate, evaluate, time, write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mutualnet_bundle::{
    BatchNormStats, Bundle, BundleParts, Host, Latency, Provenance, QueryTable, Row, RowStats,
    write_atomically,
};
use mutualnet_core::text::counted;
use mutualnet_core::{Network, Subnet, Weights};
use mutualnet_nn::Statistics;
use mutualnet_report::{Cost, Page, page, plot};
use mutualnet_runtime::{MeasureConfig, Model, Session, measure};

use crate::evaluation::Evaluation;
use crate::events::{Event, EventLog, Reporter, Stage};
use crate::plan::{Plan, Planned};
use crate::ranks::Ranks;
use crate::run_dir::RunDir;
use crate::task::{Objective, for_task};
use crate::training::set_up;
use crate::{Error, Result};

mod precisions;
mod shares;

pub(crate) use shares::Evaluated;
use shares::Opened;

/// Single-image runs of a row before its times count.
pub(crate) const LATENCY_WARM_UP: usize = 5;
/// Limit on the time for one row at one thread count.
pub(crate) const LATENCY_TIME: Duration = Duration::from_secs(2);

/// Calibrates, evaluates and times every row, and writes table, bundle, plots and report into the run directory, or for
/// [`RunDir::at_step`] into a directory in it.
///
/// `program` goes into the bundle's provenance: the version and commit of this program.
///
/// # Errors
/// The run is not finished, its data are gone, or something cannot be written.
pub fn tabulate(run: &RunDir, program: &str, console: &mut dyn Reporter) -> Result<QueryTable> {
    let table = tabulate_together(run, program, &Ranks::alone(), console)?;
    Ok(table.expect("a process of its own is the first one"))
}

/// As [`tabulate`], together with other processes that make the same call: each calibrates and evaluates some of the rows on
/// all images. The first one alone reads and writes the run directory, times the rows, and returns the table.
///
/// # Errors
/// As [`tabulate`]; or a process is gone ([`Error::Exchange`]), or the data differ ([`Error::Unlike`]).
pub fn tabulate_together(
    run: &RunDir,
    program: &str,
    ranks: &Ranks,
    console: &mut dyn Reporter,
) -> Result<Option<QueryTable>> {
    tabulate_own(run, program, ranks, console).map_err(|error| ranks.blame(error))
}

fn tabulate_own(
    run: &RunDir,
    program: &str,
    ranks: &Ranks,
    console: &mut dyn Reporter,
) -> Result<Option<QueryTable>> {
    let opened = ranks.share(
        || Opened::read(run),
        |opened| Ok(opened.to_bytes()),
        |bytes| Opened::from_bytes(bytes, run),
    )?;
    let Opened { plan: stored, weights, lock: _held } = opened;
    let recipe = &stored.recipe;
    let planned = Plan::make(recipe)?;
    let derived = &stored.derived;
    ranks.check_alike("the training data", &planned.plan.derived.train_sha256)?;
    ranks.check_alike("the test data", &planned.plan.derived.test_sha256)?;
    if planned.plan.derived.classes != derived.classes {
        return Err(Error::RunClasses { path: recipe.data.path.clone() });
    }
    let device = set_up(recipe, ranks)?;
    let weights = shipped(&planned.shipped, weights);
    let mut log = match ranks.is_first() {
        true => EventLog::open(&run.events(), console)?,
        false => EventLog::without_record(console),
    };
    planned.tell_notices(&mut log)?;
    tell_changes(&stored, &planned.plan, &mut log)?;
    let rows = recipe.table_rows();
    let evaluation = Evaluation::new((recipe, &planned.shipped), &weights, rows, (device, ranks))?;
    let mut tabulation = Tabulation { evaluation, log };
    let bundle_of = |Evaluated { rows, stats }: Evaluated| {
        let parts = BundleParts {
            task: recipe.task,
            network: planned.shipped.clone(),
            classes: derived.classes.clone(),
            preprocess: recipe.preprocess(),
            table: QueryTable::new(rows)?.measuring(recipe.task.metric()),
            weights: weights.clone(),
            stats,
            provenance: provenance(&stored, program),
        };
        Ok(Bundle::new(parts)?)
    };
    let own = for_task!(recipe.task, planned.shipped, O => tabulation.own_rows::<O>(&planned, &bundle_of))?;
    tabulation.evaluation.apart.wait()?;
    let Some(all) = own.gather(ranks, recipe.task.metric())? else { return Ok(None) };
    let bundle = bundle_of(all)?;
    let rows = tabulation.time(&bundle)?;
    let table = QueryTable::new(rows)?.measuring(recipe.task.metric()).measured_on(Host::detect());
    let table = table.on_regions(bundle.network());
    tabulation.log.flush()?;
    let dir = run.tabulated();
    fs::create_dir_all(&dir).map_err(|source| Error::write(&dir, source))?;
    Bundle::new(BundleParts { table: table.clone(), ..bundle.into_parts() })?.write(&run.bundle())?;
    table.write(&run.table())?;
    write_pictures(run, &stored, &table)?;
    Ok(Some(table))
}

/// Reports splits that changed since the run was started.
fn tell_changes(stored: &Plan, now: &Plan, log: &mut EventLog<'_>) -> Result<()> {
    let (then, now) = (&stored.derived, &now.derived);
    for (split, is_changed, effect) in [
        ("training", then.train_sha256 != now.train_sha256, "calibration uses the images as they are now"),
        ("test", then.test_sha256 != now.test_sha256, "rows are evaluated on the images as they are now"),
    ] {
        if is_changed {
            let text = format!("the {split} images changed since the run was started; {effect}");
            log.log(&Event::Notice { text })?;
        }
    }
    Ok(())
}

struct Tabulation<'a> {
    evaluation: Evaluation<'a>,
    log: EventLog<'a>,
}

impl Tabulation<'_> {
    /// The rows of this process; `bundle_of` makes a bundle of some rows.
    fn own_rows<O: Objective>(
        &mut self,
        planned: &Planned,
        bundle_of: &dyn Fn(Evaluated) -> Result<Bundle>,
    ) -> Result<Evaluated> {
        let single = Evaluated::by::<O>(&self.evaluation, planned, &mut self.log)?;
        if single.rows.is_empty() {
            return Ok(single);
        }
        let further = &self.evaluation.recipe.tabulate.precisions[1..];
        if further.is_empty() {
            return Ok(single);
        }
        let bundle = bundle_of(single)?;
        let rows = self.evaluate_in::<O>(further, &planned.test, &bundle)?;
        Ok(Evaluated { rows, stats: bundle.into_parts().stats })
    }

    /// Times the rows where they will run: in the run-side executor, on one thread and on all.
    fn time(&mut self, bundle: &Bundle) -> Result<Vec<Row>> {
        let mut rows = bundle.table().rows().to_vec();
        let model = Arc::new(Model::new(bundle)?);
        let thread_counts = thread_counts();
        let runs = self.evaluation.recipe.tabulate.latency_runs;
        let config = MeasureConfig { warmup: LATENCY_WARM_UP, runs, time: LATENCY_TIME };
        let of = rows.len() * thread_counts.len();
        let mut done = 0;
        for threads in thread_counts {
            let mut session = Session::new(Arc::clone(&model), threads)?;
            for row in &mut rows {
                session.switch_precision(row.precision)?;
                let times = measure(&mut session, row.subnet, config)?;
                row.latency.push(Latency {
                    threads: threads.get(),
                    p50_ms: times.p50_ms,
                    p99_ms: times.p99_ms,
                    n: times.n as u64,
                });
                done += 1;
                self.evaluation.tell(&mut self.log, Stage::Time, done, of)?;
            }
        }
        self.without_slow(rows)
    }
}

/// The weights that a network without the outputs of training has.
pub(crate) fn shipped(network: &Network, mut weights: Weights) -> Weights {
    let names: BTreeSet<_> = network.parameters().into_iter().map(|parameter| parameter.name).collect();
    weights.retain(|name, _| names.contains(name));
    weights
}

/// How many threads latencies are for: one, and one per core.
pub(crate) fn thread_counts() -> Vec<NonZeroUsize> {
    let all = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut counts = vec![NonZeroUsize::MIN, all];
    counts.dedup();
    counts
}

pub(crate) fn to_stats(statistics: &BTreeMap<Subnet, Statistics>) -> Result<BTreeMap<Subnet, RowStats>> {
    let rows = statistics.iter().map(|(&subnet, statistics)| {
        let layers = statistics.to_vecs()?.into_iter();
        Ok((subnet, layers.map(|(mean, var)| BatchNormStats { mean, var }).collect()))
    });
    rows.collect()
}

fn provenance(plan: &Plan, program: &str) -> Provenance {
    Provenance {
        recipe_sha256: plan.derived.recipe_sha256.clone(),
        data_sha256: plan.derived.train_sha256.clone(),
        seed: plan.recipe.seed,
        commit: program.to_owned(),
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        host: Some(Host::detect()),
    }
}

fn write_pictures(run: &RunDir, plan: &Plan, table: &QueryTable) -> Result<()> {
    let metric = table.metric();
    for (path, cost) in
        [(run.plot(metric, "macs"), Cost::Macs), (run.plot(metric, "latency"), Cost::Latency { threads: 1 })]
    {
        if let Some(svg) = plot(table, cost) {
            write_atomically(&path, svg.as_bytes())?;
        }
    }
    let (recipe, derived) = (&plan.recipe, &plan.derived);
    let widths = recipe.network.widths;
    let so_far = run.step().map_or_else(String::new, |step| format!(", of which {step} were done"));
    let resolutions: Vec<_> = recipe.network.resolutions.iter().map(ToString::to_string).collect();
    let facts = [
        ("network", format!("{}, widths {} to {}", recipe.network.name, widths.smallest(), widths.full())),
        ("resolutions", format!("{} px", resolutions.join(", "))),
        (
            "data",
            format!(
                "{}: {} training, {} test images",
                recipe.data.path.display(),
                derived.n_train,
                derived.n_test
            ),
        ),
        ("training", format!("method {}, steps: {}{so_far}", recipe.train.method.name(), plan.extent())),
        ("cost of a step", format!("{:.2} × that of plain training", derived.relative_cost)),
        ("host", table.host().map_or_else(String::new, |host| format!("{}, {} cores", host.cpu, host.cores))),
    ];
    let subnets = counted(table.subnets().count(), "sub-network");
    let title = format!("{}: {} and cost of {subnets}", recipe.network.name, table.metric());
    let html = page(&Page { title: &title, facts: &facts, table });
    Ok(write_atomically(&run.report(), html.as_bytes())?)
}
