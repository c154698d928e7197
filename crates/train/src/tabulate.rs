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
use mutualnet_core::{Frames, Network, Preprocess, Subnet, Weights};
use mutualnet_data::{Dataset, Loader, Part};
use mutualnet_engine::Device;
use mutualnet_nn::{Net, Parameters, Statistics};
use mutualnet_report::{Cost, Page, page, plot};
use mutualnet_runtime::{MeasureConfig, Model, Session, measure};

use crate::calibrate::Calibration;
use crate::events::{Event, EventLog, Reporter, Stage};
use crate::feed::{Feed, IfBroken, loader_of};
use crate::plan::{Plan, Planned};
use crate::ranks::Ranks;
use crate::recipe::Recipe;
use crate::run_dir::RunDir;
use crate::step_batch::{StepBatch, images};
use crate::sweep::Sweep;
use crate::task::{Objective, for_task};
use crate::training::set_up;
use crate::{Error, Result};

mod precisions;
mod shares;

use shares::{Evaluated, Opened};

/// Images per evaluation batch, unless they are large. Memory depends on it, results do not.
const EVALUATION_BATCH: usize = 64;
/// Pixels per evaluation batch of whole images or clips, which may be large: those of so many images of 224 × 224.
const EVALUATION_PIXELS: usize = EVALUATION_BATCH * 224 * 224;
/// Single-image runs of a row before its times count.
pub(crate) const LATENCY_WARM_UP: usize = 5;
/// Limit on the time for one row at one thread count.
pub(crate) const LATENCY_TIME: Duration = Duration::from_secs(2);

/// Images or clips per evaluation batch.
pub(crate) fn evaluation_batch(recipe: &Recipe) -> usize {
    let Preprocess { crop, clip, .. } = recipe.preprocess();
    let frames = clip.map_or(Frames::ONE, |clip| clip.frames);
    let pixels = frames.get() as usize * (crop.get() as usize).pow(2);
    (EVALUATION_PIXELS / pixels).clamp(1, EVALUATION_BATCH)
}

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
    let parameters = Parameters::from_weights(&planned.shipped, &weights, device)?;
    let mut log = match ranks.is_first() {
        true => EventLog::open(&run.events(), console)?,
        false => EventLog::without_record(console),
    };
    planned.tell_notices(&mut log)?;
    tell_changes(&stored, &planned.plan, &mut log)?;
    let mut tabulation = Tabulation {
        net: Net::new(planned.shipped.clone()),
        rows: shares::own_rows(&planned.shipped, recipe.table_rows(), ranks)?,
        cores: ranks.cores(),
        log,
        recipe,
        parameters,
        device,
    };
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
    let Some(all) = own.gather(ranks, recipe.task.metric())? else { return Ok(None) };
    let bundle = bundle_of(all)?;
    let rows = tabulation.time(&bundle)?;
    let table = QueryTable::new(rows)?.measuring(recipe.task.metric()).measured_on(Host::detect());
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
    recipe: &'a Recipe,
    net: Net,
    parameters: Parameters,
    device: Device,
    /// Those that this process evaluates.
    rows: Vec<Subnet>,
    /// How many cores it has.
    cores: usize,
    log: EventLog<'a>,
}

impl Tabulation<'_> {
    /// The rows of this process; `bundle_of` makes a bundle of some rows.
    fn own_rows<O: Objective>(
        &mut self,
        planned: &Planned,
        bundle_of: &dyn Fn(Evaluated) -> Result<Bundle>,
    ) -> Result<Evaluated> {
        if self.rows.is_empty() {
            return Ok(Evaluated { rows: Vec::new(), stats: BTreeMap::new() });
        }
        let statistics = self.calibrate::<O>(&planned.train)?;
        let rows = self.evaluate::<O>(&planned.test, &statistics)?;
        let single = Evaluated { rows, stats: to_stats(&statistics)? };
        let further = &self.recipe.tabulate.precisions[1..];
        if further.is_empty() {
            return Ok(single);
        }
        let bundle = bundle_of(single)?;
        let rows = self.evaluate_in::<O>(further, &planned.test, &bundle)?;
        Ok(Evaluated { rows, stats: bundle.into_parts().stats })
    }

    /// A loader of whole batches.
    fn loader(&self, dataset: &Dataset, batch: usize, device: Device) -> Result<Loader> {
        loader_of(self.recipe, dataset.clone(), batch, device, (Part::default(), self.cores))
    }

    fn calibrate<O: Objective>(&mut self, train: &Dataset) -> Result<BTreeMap<Subnet, Statistics>> {
        let section = &self.recipe.tabulate;
        let loader = self.loader(train, self.recipe.calibration_batch(), self.device)?;
        let data = &self.recipe.data;
        let batches =
            loader.calibrate(data.augment, &self.recipe.preprocess(), section.calibration_batches)?;
        let mut feed = Feed::new(loader, batches, IfBroken::Replaced);
        let mut calibration = Calibration::new(&self.net, &self.rows, self.device)?;
        let mut done = 0;
        while let Some(mut batch) = feed.next(&mut self.log, || false)? {
            let images = images(&mut batch, self.device)?;
            calibration.add::<O>(&self.net, &self.parameters, &images)?;
            done += 1;
            self.tell(Stage::Calibrate, done, section.calibration_batches)?;
        }
        self.log.flush()?;
        Ok(calibration.finish())
    }

    fn evaluate<O: Objective>(
        &mut self,
        test: &Dataset,
        statistics: &BTreeMap<Subnet, Statistics>,
    ) -> Result<Vec<Row>> {
        let loader = self.loader(test, evaluation_batch(self.recipe), self.device)?;
        let batches = loader.evaluate(&self.recipe.preprocess())?;
        let mut feed = Feed::new(loader, batches, IfBroken::LeftOut);
        let mut sweep = Sweep::<O>::new(statistics);
        let of = test.samples().len() * self.recipe.tabulate.precisions.len();
        let limits = (EVALUATION_BATCH, EVALUATION_PIXELS);
        while let Some(mut batch) = feed.next_joined(limits, &mut self.log)? {
            let batch = StepBatch::<O>::new(&mut batch, self.device)?;
            sweep.add(&self.net, &self.parameters, &batch)?;
            self.tell(Stage::Evaluate, sweep.n() as usize, of)?;
        }
        self.tell(Stage::Evaluate, test.samples().len(), of)?;
        self.log.flush()?;
        sweep.rows(self.net.network())
    }

    /// Times the rows where they will run: in the run-side executor, on one thread and on all.
    fn time(&mut self, bundle: &Bundle) -> Result<Vec<Row>> {
        let mut rows = bundle.table().rows().to_vec();
        let model = Arc::new(Model::new(bundle)?);
        let thread_counts = thread_counts();
        let runs = self.recipe.tabulate.latency_runs;
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
                self.tell(Stage::Time, done, of)?;
            }
        }
        self.without_slow(rows)
    }

    fn tell(&mut self, stage: Stage, done: usize, of: usize) -> Result<()> {
        self.log.log(&Event::Tabulating { stage, done, of })
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
