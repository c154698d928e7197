//! `mutualnet predict`: classify images under a budget.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use mutualnet_bundle::{Bundle, Row};
use mutualnet_core::{Macs, Preprocess, Subnet};
use mutualnet_data::preprocess_file;
use mutualnet_runtime::{Model, Session};
use serde::Serialize;

use crate::args::{PredictArgs, RowArgs};
use crate::text;

#[derive(Serialize)]
struct Report {
    row: RowReport,
    images: Vec<ImageReport>,
}

#[derive(Serialize)]
struct RowReport {
    #[serde(flatten)]
    subnet: Subnet,
    macs: Macs,
    accuracy: f64,
}

#[derive(Serialize)]
struct ImageReport {
    path: String,
    /// Time in the network, without reading and decoding.
    ms: f64,
    top: Vec<ClassReport>,
}

#[derive(Serialize)]
struct ClassReport {
    class: String,
    probability: f32,
}

pub(super) fn run(args: &PredictArgs) -> Result<()> {
    let bundle = Bundle::read(&args.bundle)?;
    let threads = args.threads.map_or_else(
        || Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        |threads| NonZeroUsize::new(threads).context("--threads: at least 1"),
    )?;
    let row = choose(&bundle, &args.row, args.threads)?;
    let preprocess = *bundle.preprocess();
    let mut session = Session::new(Arc::new(Model::new(bundle)?), threads)?;
    session.switch(row.subnet)?;
    let images = args.images.iter().map(|path| predict(&mut session, path, &preprocess, args.top));
    let report = Report {
        images: images.collect::<Result<_>>()?,
        row: RowReport { subnet: row.subnet, macs: row.macs, accuracy: row.accuracy.value },
    };
    if args.json { text::json(&report) } else { print(&report) }
}

/// The row that was asked for: by its name, by a budget, or the most accurate.
pub(super) fn choose(bundle: &Bundle, args: &RowArgs, threads: Option<usize>) -> Result<Row> {
    let table = bundle.table();
    if let (Some(width), Some(resolution)) = (args.width, args.resolution) {
        let subnet = Subnet::image(width, resolution);
        let row = table.row(subnet);
        return row
            .cloned()
            .with_context(|| format!("the table has no row {subnet}; `mutualnet table --all` lists them"));
    }
    match args.budget.get() {
        Some(budget) => Ok(table.choose(budget, threads)?.clone()),
        None => {
            let best = table.pareto().last();
            Ok(best.expect("a table has rows, and the most accurate is on the front").clone())
        }
    }
}

fn predict(session: &mut Session, path: &Path, preprocess: &Preprocess, top: usize) -> Result<ImageReport> {
    let input = preprocess_file(path, preprocess)?;
    let begun = std::time::Instant::now();
    let classes = session.predict(&input, top)?;
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    let top =
        classes.into_iter().map(|class| ClassReport { class: class.name, probability: class.probability });
    Ok(ImageReport { path: path.display().to_string(), ms, top: top.collect() })
}

fn print(report: &Report) -> Result<()> {
    let RowReport { subnet, macs, accuracy } = &report.row;
    text::note(&format!("row {subnet}: {macs} MACs, {:.1} % on the test split", accuracy * 100.0));
    for image in &report.images {
        let classes =
            image.top.iter().map(|class| format!("{} {:.1} %", class.class, class.probability * 100.0));
        text::line(&format!(
            "{}: {}  ({:.2} ms)",
            image.path,
            classes.collect::<Vec<_>>().join(", "),
            image.ms
        ))?;
    }
    Ok(())
}
