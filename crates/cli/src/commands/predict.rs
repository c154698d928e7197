//! `mutualnet predict`: classify or segment images, find objects in them, or classify videos, under a budget.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Result;
use mutualnet_bundle::{Bundle, Row};
use mutualnet_core::network::Rank;
use mutualnet_core::{Budget, InputSize, Precision, Preprocess, Subnet, Views};
use mutualnet_predict::{Answer, CocoIds, Config, Predictor};

use super::open;
use crate::args::{PredictArgs, RowArgs};
use crate::failure::{AlreadyTold, with_hint};
use crate::text;

mod images;
mod output;
mod pictures;
use images::Named;
use output::Output;
use pictures::{Pictures, no_mask, nothing_to_draw};

pub(super) fn run(args: &PredictArgs) -> Result<()> {
    let bundle = open::bundle(&args.bundle)?;
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = args.threads.unwrap_or_else(all);
    // The number it will run on, if the table has latencies for that.
    let metric = bundle.table().metric();
    let is_measured = bundle.table().threads().any(|measured| measured == threads.get());
    let compared = args.threads.or(is_measured.then_some(threads)).map(NonZeroUsize::get);
    let row = choose(&bundle, &args.row, (compared, args.arithmetic.precision))?;
    let latency_threads = match args.row.budget.get() {
        Some(Budget::Latency(_)) => Some(bundle.table().threads_for_latency(compared)?),
        _ => None,
    };
    let convolution = args.arithmetic.convolution();
    let precision = args.arithmetic.precision.unwrap_or(row.precision);
    if precision != row.precision {
        text::note(&format!(
            "note: the table has no rows in {precision}; its figures are for {}",
            row.precision
        ));
    }
    let precision = Some(precision);
    let views = views(args, &bundle)?;
    let least_score = args.score;
    let config = Config { top: args.top.get(), least_score, views: Some(views), convolution, precision };
    let mut predictor = Predictor::new(&bundle, threads, config)?;
    if args.coco.is_some() && !predictor.finds_objects() {
        let hint = "remove --coco".to_owned();
        return Err(with_hint("--coco is for objects, and this network finds none".to_owned(), hint));
    }
    let ids = args.coco.as_deref().map(|file| CocoIds::read(file, bundle.classes())).transpose()?;
    // The predictor holds a packed copy of the weights.
    drop(bundle);
    if (args.save.is_some() || args.mask.is_some()) && !predictor.draws() {
        return Err(nothing_to_draw());
    }
    if args.mask.is_some() && !predictor.has_masks() {
        return Err(no_mask());
    }
    predictor.session_mut().switch(row.subnet)?;
    let rank = if predictor.reads_clips() { Rank::Clip } else { Rank::Image };
    let images = images::named(&args.images, rank);
    let (n_images, mut n_failed) = (images.len(), 0);
    let paths: Vec<_> = images.iter().map(|image| image.path.as_path()).collect();
    let mut pictures = Pictures::new(args.save.as_deref(), args.mask.as_deref(), &paths)?;
    let mut output = match ids {
        Some(ids) => Output::coco(ids)?,
        None if args.json => Output::json(&row, metric)?,
        None => Output::lines(&row, metric, latency_threads),
    };
    for Named { path, problem } in images {
        let taken = problem.map_or_else(|| output.check(&path), Err);
        let answer = taken.and_then(|()| answer(&mut predictor, &mut pictures, &path));
        match answer {
            Ok(answer) => output.image(&path, &answer)?,
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
        let files = if rank == Rank::Clip { "videos" } else { "images" };
        text::note(&format!("{n_failed} of {n_images} {files} failed"));
    }
    Err(AlreadyTold.into())
}

/// The parts of a video to average over: those of the table, unless the arguments say something else.
fn views(args: &PredictArgs, bundle: &Bundle) -> Result<Views> {
    let Preprocess { views: measured, clip, .. } = *bundle.preprocess();
    for (flag, is_given) in [("--views", args.views.is_some()), ("--crops", args.crops.is_some())] {
        if is_given && clip.is_none() {
            let hint = format!("remove {flag}");
            return Err(with_hint(format!("{flag} is for videos, and this network reads images"), hint));
        }
    }
    Ok(Views { clips: args.views.unwrap_or(measured.clips), crops: args.crops.unwrap_or(measured.crops) })
}

/// The answer for an image, once its pictures are written.
fn answer(predictor: &mut Predictor, pictures: &mut Pictures, path: &Path) -> Result<Answer> {
    let answer = predictor.predict(path)?;
    pictures.write(path, &*answer.prediction)?;
    Ok(answer)
}

/// The chosen row: by its name, by a budget, or the best one. A precision that some rows of the table have restricts the
/// choice to these.
pub(super) fn choose(
    bundle: &Bundle,
    args: &RowArgs,
    (threads, precision): (Option<usize>, Option<Precision>),
) -> Result<Row> {
    let table = bundle.table();
    let asked: Vec<_> = precision.into_iter().filter(|asked| table.precisions().contains(asked)).collect();
    let precisions = if asked.is_empty() { table.precisions() } else { asked };
    let is_allowed = |row: &&Row| precisions.contains(&row.precision);
    if let (Some(width), Some(resolution)) = (args.width, args.resolution) {
        let input = InputSize { resolution, frames: args.frames.unwrap_or_default() };
        let subnet = Subnet { width, input };
        let row = table.rows().iter().filter(is_allowed).find(|row| row.subnet == subnet).cloned();
        return row.ok_or_else(|| {
            let all = "`mutualnet table BUNDLE --all` lists the rows";
            let needs_frames = bundle.preprocess().clip.is_some() && args.frames.is_none();
            let hint = if needs_frames { format!("give --frames as well; {all}") } else { all.to_owned() };
            with_hint(format!("the table has no row {subnet}"), hint)
        });
    }
    match args.budget.get() {
        Some(budget) => Ok(table.choose_in(&precisions, budget, threads)?.clone()),
        None => {
            let rows = table.rows().iter().filter(is_allowed);
            let best = rows.reduce(|a, b| if b.quality.value > a.quality.value { b } else { a });
            Ok(best.expect("the table has rows in these precisions").clone())
        }
    }
}
