//! `mutualnet predict`: classify images under a budget.

use std::num::NonZeroUsize;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use mutualnet_bundle::{Bundle, Row};
use mutualnet_core::{Budget, Preprocess, Subnet};
use mutualnet_image::{DecodeError, Error, Preprocessed, preprocess_file};
use mutualnet_runtime::{Model, Session};

use super::open;
use crate::args::{PredictArgs, RowArgs};
use crate::failure::{AlreadyTold, with_hint};
use crate::text;

mod images;
mod output;
use images::Named;
use output::Output;

pub(super) fn run(args: &PredictArgs) -> Result<()> {
    let bundle = open::bundle(&args.bundle)?;
    let threads = args.threads.map_or_else(
        || Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        |threads| NonZeroUsize::new(threads).context("--threads must be at least 1"),
    )?;
    // The number it will run on, if the table has latencies for that.
    let metric = bundle.table().metric();
    let is_measured = bundle.table().threads().any(|measured| measured == threads.get());
    let compared = args.threads.or(is_measured.then_some(threads.get()));
    let row = choose(&bundle, &args.row, compared)?;
    let latency_threads = match args.row.budget.get() {
        Some(Budget::Latency(_)) => Some(bundle.table().threads_for_latency(compared)?),
        _ => None,
    };
    let preprocess = *bundle.preprocess();
    let model = Model::new(&bundle)?;
    // The model holds a packed copy of the weights.
    drop(bundle);
    let mut session = Session::new(Arc::new(model), threads)?;
    session.switch(row.subnet)?;
    let images = images::named(&args.images);
    let mut output =
        if args.json { Output::json(&row, metric)? } else { Output::lines(&row, metric, latency_threads) };
    let (n_images, mut n_failed) = (images.len(), 0);
    for Named { path, problem } in images {
        match problem.map_or_else(|| read(&path, &preprocess), Err) {
            Ok(input) => {
                let begin = Instant::now();
                let top = session.predict(&input.pixels, args.top)?;
                output.image(&path, begin.elapsed().as_secs_f64() * 1e3, &top)?;
            }
            Err(error) => {
                n_failed += 1;
                output.failed(&path, &error)?;
            }
        }
    }
    output.end()?;
    if n_failed == 0 {
        return Ok(());
    }
    if n_images > 1 {
        text::note(&format!("{n_failed} of {n_images} images could not be classified"));
    }
    Err(AlreadyTold.into())
}

/// The chosen row: by its name, by a budget, or the most accurate one.
pub(super) fn choose(bundle: &Bundle, args: &RowArgs, threads: Option<usize>) -> Result<Row> {
    let table = bundle.table();
    if let (Some(width), Some(resolution)) = (args.width, args.resolution) {
        let subnet = Subnet::image(width, resolution);
        let row = table.row(subnet).cloned();
        return row.ok_or_else(|| {
            let hint = "`mutualnet table --all` lists the rows".to_owned();
            with_hint(format!("the table has no row {subnet}"), hint)
        });
    }
    match args.budget.get() {
        Some(budget) => Ok(table.choose(budget, threads)?.clone()),
        None => {
            let best = table.pareto().last();
            Ok(best.expect("a table has rows, and the most accurate is on the front").clone())
        }
    }
}

/// Decodes an image; a file that makes a library panic is a broken file like others.
fn read(path: &Path, preprocess: &Preprocess) -> Result<Preprocessed> {
    let input = catch_unwind(|| preprocess_file(path, preprocess));
    Ok(input.unwrap_or_else(|_| Err(Error::Decode { path: path.to_owned(), source: DecodeError::Panic }))?)
}
