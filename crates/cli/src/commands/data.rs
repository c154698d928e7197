//! `mutualnet data`: make and check data sets.

use std::path::Path;

use anyhow::Result;
use mutualnet_data::check::{CheckReport, write_quarantine};
use mutualnet_data::shapes::{ShapesSpec, class_names, generate};
use mutualnet_data::{Dataset, Error, Notice, Split};
use serde::Serialize;

use crate::args::{CheckArgs, DataCommand, MakeCommand, ShapesArgs};
use crate::{text, watch};

pub(super) fn run(command: DataCommand) -> Result<()> {
    match command {
        DataCommand::Make(MakeCommand::Shapes(args)) => make_shapes(&args),
        DataCommand::Check(args) => run_check(&args),
    }
}

fn make_shapes(args: &ShapesArgs) -> Result<()> {
    let spec = ShapesSpec { seed: args.seed, train: args.train, test: args.test, side: args.side.get() };
    generate(&args.dir, &spec)?;
    let classes = class_names().len();
    text::note(&format!(
        "{} training and {} test images of {classes} classes in {}",
        args.train,
        args.test,
        args.dir.display()
    ));
    Ok(())
}

#[derive(Serialize)]
struct Checked {
    images: usize,
    other_files: usize,
    bytes: u64,
    width_px: [u32; 2],
    height_px: [u32; 2],
    broken: Vec<Broken>,
}

#[derive(Serialize)]
struct Broken {
    path: String,
    reason: String,
}

fn run_check(args: &CheckArgs) -> Result<()> {
    let report = watch::check(&args.dir)?;
    write_quarantine(&args.dir, &report)?;
    let CheckReport { n_images, n_other, bytes, width_px, height_px, broken } = report;
    let broken =
        broken.into_iter().map(|file| Broken { path: file.path.display().to_string(), reason: file.reason });
    let checked = Checked {
        images: n_images,
        other_files: n_other,
        bytes,
        width_px,
        height_px,
        broken: broken.collect(),
    };
    if args.json {
        return text::json(&checked);
    }
    for file in &checked.broken {
        text::line(&format!("{}: {}", file.path, file.reason))?;
    }
    let n_broken = checked.broken.len();
    text::note(&format!("{n_images} images checked, {n_broken} broken"));
    if n_broken > 0 {
        text::note("the broken ones are on a quarantine list in that directory; training leaves them out");
    }
    note_splits(&args.dir);
    Ok(())
}

/// Tells what is odd about the splits as training would see them, now that what is broken is left out.
fn note_splits(dir: &Path) {
    for split in [Split::Train, Split::Val, Split::Test] {
        match Dataset::open_split(dir, split) {
            Ok(dataset) => {
                let is_of_classes =
                    |notice: &&Notice| matches!(notice, Notice::OneClass { .. } | Notice::EmptyClass { .. });
                for notice in dataset.notices().iter().filter(is_of_classes) {
                    text::note(&format!("note: {}: {notice}", split.folder()));
                }
            }
            Err(Error::NoDirectory { .. } | Error::NoSplit { .. }) => {}
            Err(error) => text::note(&format!("note: {}: {error}", split.folder())),
        }
    }
}
