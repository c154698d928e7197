//! `mutualnet bench data`: images per second of a recipe's data path, and which stage holds it up.

use std::io::BufRead;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mutualnet_core::text::counted;
use mutualnet_data::{Batch, Dataset, Loader, LoaderConfig, Part, Position};
use mutualnet_engine::Device;
use mutualnet_image::StageTimes;
use mutualnet_train::Recipe;
use mutualnet_train::step_batch::{Images, Pyramid};
use serde::Serialize;

use crate::args::BenchDataArgs;
use crate::text;

/// Batches made ahead, as in training.
const PREFETCH: usize = 4;

#[derive(Serialize)]
struct Report {
    /// Images or clips.
    samples: &'static str,
    images: usize,
    workers: usize,
    /// Speed of the loader with all workers.
    images_per_s: f64,
    /// Thread time for each stage.
    stages: Vec<Stage>,
    /// The stage that holds up the rest.
    bottleneck: String,
    /// Broken files, which were replaced by others.
    broken: usize,
}

#[derive(Serialize)]
struct Stage {
    stage: String,
    us_per_image: f64,
    /// Speed if this were the only stage, with all workers for those of the loader; `None` if it takes no time.
    images_per_s: Option<f64>,
    share: f64,
}

pub(super) fn run(args: &BenchDataArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe.recipe, &args.recipe.overrides)?;
    mutualnet_engine::set_threads(1)?;
    let bench = Bench::new(recipe)?;
    if args.lockstep {
        return bench.lockstep();
    }
    let report = bench.measure(args.images)?;
    if args.json { text::json(&report) } else { print(&report) }
}

fn print(report: &Report) -> Result<()> {
    let rows: Vec<_> = report
        .stages
        .iter()
        .map(|Stage { stage, us_per_image, images_per_s, share }| {
            let share = format!("{:.0} %", 100.0 * share);
            let alone = images_per_s.map_or("–".to_owned(), rate);
            vec![stage.clone(), format!("{us_per_image:.0}"), share, alone]
        })
        .collect();
    let samples = report.samples;
    let sample = samples.trim_end_matches('s');
    let columns = [format!("µs per {sample}"), format!("{samples}/s alone")];
    text::table(&["stage", &columns[0], "share", &columns[1]], &rows)?;
    text::line(&format!(
        "{} {samples}/s with {} workers ({} {samples}); most of the time goes to: {}",
        rate(report.images_per_s),
        report.workers,
        report.images,
        report.bottleneck
    ))?;
    if report.broken > 0 {
        text::note(&format!(
            "note: {} replaced by others",
            counted(report.broken, &format!("broken {sample}"))
        ));
    }
    Ok(())
}

/// Samples per second; clips may be few.
fn rate(per_s: f64) -> String {
    if per_s < 10.0 { format!("{per_s:.2}") } else { format!("{per_s:.0}") }
}

struct Bench {
    recipe: Recipe,
    loader: Loader,
    workers: usize,
}

impl Bench {
    fn new(recipe: Recipe) -> Result<Self> {
        let data = &recipe.data;
        let dataset = Dataset::open_for(recipe.task, recipe.rank(), &data.path, &data.train)?;
        let dataset = dataset.share(data.train_share)?;
        let batch_size = recipe.train.batch.min(dataset.samples().len());
        let config = LoaderConfig {
            batch_size,
            workers: data.workers,
            prefetch: PREFETCH,
            seed: recipe.seed,
            broken_limit: data.broken_limit,
            part: Part::default(),
        };
        let workers = match data.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        };
        Ok(Self { loader: Loader::new(Arc::new(dataset), config)?, recipe, workers })
    }

    /// Loads as training does, after a first round that fills caches and buffers.
    fn measure(&self, images: usize) -> Result<Report> {
        let per_epoch = self.loader.steps_per_epoch();
        let batch_size = self.recipe.train.batch.min(self.loader.dataset().samples().len());
        let steps = images.div_ceil(batch_size).max(1);
        let warm_up = per_epoch.min(steps);
        // Long enough that at the end as many batches are being made ahead as at the start.
        let epochs = (warm_up + steps + 2 * PREFETCH).div_ceil(per_epoch);
        let epochs = u32::try_from(epochs).context("--images: too many")?;
        let preprocess = self.recipe.preprocess();
        let augment = self.recipe.data.augment;
        let mut batches = self.loader.train(augment, &preprocess, Position::default(), epochs)?;
        let (mut begun, mut before, mut pyramid) = (Instant::now(), StageTimes::default(), Duration::ZERO);
        for step in 0..warm_up + steps {
            if step == warm_up {
                (begun, before, pyramid) = (Instant::now(), self.loader.stage_times(), Duration::ZERO);
            }
            let batch = batches.next().context("the epochs hold all steps")??;
            pyramid += self.pyramid(batch)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let n = steps * batch_size;
        Ok(self.report(n, seconds, since(&before, &self.loader.stage_times()), pyramid))
    }

    fn report(&self, n: usize, seconds: f64, times: StageTimes, pyramid: Duration) -> Report {
        let per_image = |time: Duration, images: f64| time.as_secs_f64() * 1e6 / images.max(1.0);
        let workers = self.workers as f64;
        let loading = times.stages().map(|(stage, time)| (stage, per_image(time, times.images as f64)));
        let pyramid = match self.recipe.inputs().len() {
            1 => None,
            _ => Some(("smaller resolutions", per_image(pyramid, n as f64))),
        };
        let total = |stages: &[(&str, f64)]| stages.iter().map(|(_, us)| us).sum::<f64>();
        let all = total(&[&loading[..], pyramid.as_slice()].concat());
        let stage = |(stage, us_per_image): (&str, f64), threads: f64| Stage {
            stage: stage.to_owned(),
            us_per_image,
            images_per_s: (us_per_image > 0.0).then(|| threads * 1e6 / us_per_image),
            share: us_per_image / all,
        };
        let stages = loading.iter().map(|&us| stage(us, workers)).chain(pyramid.map(|us| stage(us, 1.0)));
        // The workers share the loader's stages; the smaller resolutions are made by the thread that takes the batches.
        let bottleneck = match pyramid {
            Some((stage, us)) if us > total(&loading) / workers => stage,
            _ => loading.iter().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or("", |(stage, _)| stage),
        };
        Report {
            samples: self.recipe.rank().samples(),
            images: n,
            workers: self.workers,
            images_per_s: n as f64 / seconds,
            stages: stages.collect(),
            bottleneck: bottleneck.to_owned(),
            broken: self.loader.broken_files().len(),
        }
    }

    /// Makes the smaller resolutions as a training step does; returns how long it took.
    fn pyramid(&self, mut batch: Batch) -> Result<Duration> {
        let inputs = self.recipe.inputs();
        let begun = Instant::now();
        if inputs.len() > 1 {
            Pyramid::new(&Images::new(&mut batch, Device::Cpu)?, inputs.iter().copied())?;
        }
        Ok(begun.elapsed())
    }

    /// Prints `ready`, then for every line `step FIRST N` makes one batch of the samples FIRST to FIRST + N - 1,
    /// starting over after the last one, and prints its seconds. Nothing is made ahead.
    fn lockstep(&self) -> Result<()> {
        text::line("ready")?;
        let n_samples = self.loader.dataset().samples().len();
        for request in std::io::stdin().lock().lines() {
            let request = request?;
            let words: Vec<&str> = request.split_whitespace().collect();
            ensure!(words.len() == 3 && words[0] == "step", "a request is `step FIRST N`");
            let (first, n): (usize, usize) = (words[1].parse()?, words[2].parse()?);
            ensure!(n > 0, "a step needs at least one sample");
            let indices: Vec<u32> = (first..first + n).map(|i| (i % n_samples) as u32).collect();
            let begun = Instant::now();
            let batch =
                self.loader.batch_of(self.recipe.data.augment, &self.recipe.preprocess(), &indices)?;
            self.pyramid(batch)?;
            text::line(&begun.elapsed().as_secs_f64().to_string())?;
        }
        Ok(())
    }
}

fn since(before: &StageTimes, after: &StageTimes) -> StageTimes {
    StageTimes {
        images: after.images - before.images,
        read: after.read - before.read,
        decode: after.decode - before.decode,
        resize: after.resize - before.resize,
        augment: after.augment - before.augment,
        normalize: after.normalize - before.normalize,
    }
}
