//! `mutualnet data`: make and check data sets.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use mutualnet_data::BrokenFile;
use mutualnet_data::check::{CheckReport, check_watched, write_quarantine};
use mutualnet_data::pack::{PackOptions, PackReport, Store, pack};
use mutualnet_data::shapes::{ShapesSpec, class_names, generate};
use mutualnet_data::{Dataset, Error, Notice, Split};
use serde::Serialize;

use crate::args::{CheckArgs, DataCommand, MakeCommand, PackArgs, ShapesArgs, StoreArg};
use crate::{text, watch};

pub(super) fn run(command: DataCommand) -> Result<()> {
    match command {
        DataCommand::Make(MakeCommand::Shapes(args)) => make_shapes(&args),
        DataCommand::Check(args) => run_check(&args),
        DataCommand::Pack(args) => run_pack(&args),
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

impl From<BrokenFile> for Broken {
    fn from(file: BrokenFile) -> Self {
        Self { path: file.path.display().to_string(), reason: file.reason }
    }
}

fn run_check(args: &CheckArgs) -> Result<()> {
    let report = watch::watched(|progress| check_watched(&args.dir, progress))?;
    // What was found is said first: the directory may belong to somebody else.
    print(args, report.clone())?;
    write_quarantine(&args.dir, &report).context("the quarantine list could not be written")?;
    if args.json {
        return Ok(());
    }
    if !report.broken.is_empty() {
        text::note("the broken ones are on a quarantine list in that directory; training leaves them out");
    }
    note_splits(&args.dir);
    Ok(())
}

fn print(args: &CheckArgs, report: CheckReport) -> Result<()> {
    let CheckReport { n_images, n_other, bytes, width_px, height_px, broken } = report;
    let broken = broken.into_iter().map(Broken::from);
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
    Ok(())
}

/// Tells what is odd about the splits as training would see them, now that what is broken is left out.
fn note_splits(dir: &Path) {
    for split in Split::USUAL {
        match Dataset::open_named(dir, split) {
            Ok(dataset) => {
                let is_of_classes =
                    |notice: &&Notice| matches!(notice, Notice::OneClass { .. } | Notice::EmptyClass { .. });
                for notice in dataset.notices().iter().filter(is_of_classes) {
                    text::note(&format!("note: {split}: {notice}"));
                }
            }
            Err(Error::NoDirectory { .. } | Error::NoSplit { .. }) => {}
            Err(error) => text::note(&format!("note: {split}: {error}")),
        }
    }
}

#[derive(Serialize)]
struct PackedSet {
    images: usize,
    splits: BTreeMap<String, usize>,
    bytes: u64,
    broken: Vec<Broken>,
}

fn run_pack(args: &PackArgs) -> Result<()> {
    let store = match args.store {
        StoreArg::Jpeg => Store::Jpeg,
        StoreArg::Raw => Store::Raw,
    };
    let max_side = args.max_side.map(mutualnet_core::Resolution::get);
    let options = PackOptions { splits: args.split.clone(), max_side, store, quality: args.quality };
    let report = watch::watched(|progress| pack(&args.dir, &args.out, &options, progress))?;
    let PackReport { n_images, splits, bytes, broken } = report;
    let of_splits: Vec<String> = splits.iter().map(|(split, n)| format!("{n} of {split}")).collect();
    let packed = PackedSet {
        images: n_images,
        splits: splits.into_iter().collect(),
        bytes,
        broken: broken.into_iter().map(Broken::from).collect(),
    };
    if args.json {
        return text::json(&packed);
    }
    for Broken { path, reason } in &packed.broken {
        text::line(&format!("{path}: {reason}"))?;
    }
    let (out, megabytes) = (args.out.display(), bytes as f64 / 1e6);
    let left_out = packed.broken.len();
    text::note(&format!(
        "{n_images} images ({}) in {out}, {megabytes:.1} MB; {left_out} broken ones left out",
        of_splits.join(", ")
    ));
    text::note(&format!("next: name it in a recipe, as data.path={out}"));
    Ok(())
}
