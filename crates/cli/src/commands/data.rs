//! `mutualnet data`: make, check and pack data sets.

use mutualnet_core::network::Rank;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use mutualnet_core::Task;
use mutualnet_core::text::{counted, shown, shown_dir};
use mutualnet_data::check::{
    Change, CheckReport, ClassCount, check_for, has_videos, stale_lists, task_of, write_quarantine,
};
use mutualnet_data::clips::{self, ClipsSpec};
use mutualnet_data::pack::{PackOptions, PackReport, SideLimit, Store, pack};
use mutualnet_data::scenes::{self, ScenesSpec};
use mutualnet_data::shapes::{self, ShapesSpec};
use mutualnet_data::{BrokenFile, Dataset, Error, Notice, Split};
use serde::Serialize;

use crate::args::{
    CheckArgs, ClipsArgs, DataCommand, MakeCommand, PackArgs, ScenesArgs, ShapesArgs, StoreArg,
};
use crate::{text, watch};

mod videos;

pub(super) fn run(command: DataCommand) -> Result<()> {
    match command {
        DataCommand::Make(MakeCommand::Shapes(args)) => make_shapes(&args),
        DataCommand::Make(MakeCommand::Scenes(args)) => make_scenes(&args),
        DataCommand::Make(MakeCommand::Clips(args)) => make_clips(&args),
        DataCommand::Check(args) => run_check(&args),
        DataCommand::Pack(args) => run_pack(&args),
    }
}

fn make_shapes(args: &ShapesArgs) -> Result<()> {
    let spec = ShapesSpec { seed: args.seed, train: args.train, test: args.test, side: args.side.get() };
    shapes::generate(&args.dir, &spec)?;
    let classes = shapes::class_names().len();
    text::note(&format!(
        "{} training and {} test images of {classes} classes in {}",
        args.train,
        args.test,
        shown(&args.dir)
    ));
    Ok(())
}

fn make_scenes(args: &ScenesArgs) -> Result<()> {
    let ScenesArgs { dir, train, test, side, min_object, seed } = args;
    let spec =
        ScenesSpec { seed: *seed, train: *train, test: *test, side: side.get(), min_object: *min_object };
    scenes::generate(dir, &spec)?;
    text::note(&format!("{train} training and {test} test pictures in {}", shown(dir)));
    Ok(())
}

fn make_clips(args: &ClipsArgs) -> Result<()> {
    let ClipsArgs { dir, train, test, side, frames, seed } = args;
    let spec = ClipsSpec { seed: *seed, train: *train, test: *test, side: side.get(), frames: *frames };
    clips::generate(dir, &spec)?;
    let classes = clips::class_names().len();
    text::note(&format!("{train} training and {test} test clips of {classes} classes in {}", shown(dir)));
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
    /// Parts of the data set that are missing or do not fit together.
    faults: Vec<String>,
    /// What is wrong with annotations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// In how many images each class is, if they have masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<InImages>,
}

#[derive(Serialize)]
struct InImages {
    class: String,
    images: usize,
}

#[derive(Serialize)]
struct Broken {
    path: String,
    reason: String,
}

impl From<BrokenFile> for Broken {
    fn from(file: BrokenFile) -> Self {
        Self { path: shown(&file.path), reason: file.reason }
    }
}

fn run_check(args: &CheckArgs) -> Result<()> {
    if args.clips || args.task.is_none() && has_videos(&args.dir) {
        return videos::run(args);
    }
    let task = args.task.unwrap_or_else(|| task_of(&args.dir));
    let report = watch::watched("images", |progress| check_for(task, &args.dir, progress))?;
    // Findings are printed first, because the directory may be read-only.
    print(args, &report)?;
    let change = written(write_quarantine(&args.dir, &report))?;
    if !args.json {
        note_change(change, "image");
        note_stale_lists(&args.dir, &report)?;
        note_splits(task, &args.dir);
    }
    match report.faults.into_iter().next() {
        Some(fault) => Err(Error::Parts { fault }.into()),
        None => Ok(()),
    }
}

/// What was changed in a quarantine list.
fn written(change: Result<Change, Error>) -> Result<Change> {
    match change {
        Err(error @ Error::AllBroken { .. }) => Err(error.into()),
        change => change.context("the quarantine list could not be written"),
    }
}

fn note_change(Change { listed, removed }: Change, sample: &str) {
    if listed > 0 {
        text::note(&format!(
            "the broken {sample}s are now on the directory's quarantine list; training leaves them out"
        ));
    }
    if removed > 0 {
        let are = if removed == 1 { "is" } else { "are" };
        text::note(&format!(
            "{} {are} no longer broken; removed from the quarantine list",
            counted(removed, sample)
        ));
    }
}

/// The most problems of annotations that are printed one by one.
const MOST_PROBLEMS: usize = 50;

fn print(args: &CheckArgs, report: &CheckReport) -> Result<()> {
    let CheckReport {
        task: _,
        n_images,
        splits: _,
        others,
        bytes,
        width_px,
        height_px,
        broken,
        faults,
        problems,
        in_images,
    } = report.clone();
    let counts = in_images.into_iter().map(|ClassCount { class, images }| InImages { class, images });
    let broken = broken.into_iter().map(Broken::from);
    let checked = Checked {
        images: n_images,
        other_files: others.n(),
        bytes,
        width_px,
        height_px,
        broken: broken.collect(),
        faults: faults.iter().map(ToString::to_string).collect(),
        problems,
        classes: counts.collect(),
    };
    if args.json {
        return text::json(&checked);
    }
    for file in &checked.broken {
        text::line(&format!("{}: {}", file.path, file.reason))?;
    }
    for fault in checked.faults.iter().chain(checked.problems.iter().take(MOST_PROBLEMS)) {
        text::line(fault)?;
    }
    if let Some(more) = checked.problems.len().checked_sub(MOST_PROBLEMS).filter(|more| *more > 0) {
        text::line(&format!("and {}, which --json lists", counted(more, "more problem")))?;
    }
    let n_broken = checked.broken.len();
    text::note(&format!("{} checked, {n_broken} broken", counted(n_images, "image")));
    if !others.is_empty() {
        text::note(&format!("note: {}", Notice::Ignored { rank: Rank::Image, others }));
    }
    note_classes(&checked.classes);
    Ok(())
}

/// Tells in how many images each class is, if they have masks or annotations.
fn note_classes(classes: &[InImages]) {
    if !classes.is_empty() {
        let counts: Vec<_> =
            classes.iter().map(|InImages { class, images }| format!("{class} {images}")).collect();
        text::note(&format!("images with each class: {}", counts.join(", ")));
    }
}

/// Points out quarantine lists of other directories that leave out images which are not broken.
fn note_stale_lists(dir: &Path, report: &CheckReport) -> Result<()> {
    for list in stale_lists(dir, report)? {
        let (path, images, dir) = (shown(&list.path), list.images, shown_dir(&list.dir));
        text::note(&format!(
            "warning: {path} leaves out {} not broken: run `mutualnet data check {dir}`, or delete it",
            if images == 1 { "1 image that is".to_owned() } else { format!("{images} images that are") }
        ));
    }
    Ok(())
}

/// Points out what is odd about the splits as training would see them, without the broken images.
fn note_splits(task: Task, dir: &Path) {
    let mut train = None;
    for split in Split::USUAL {
        match Dataset::open_for(task, Rank::Image, dir, split) {
            Ok(dataset) => {
                let overlap = train.as_ref().and_then(|train: &Dataset| train.overlap(&dataset));
                let differ = train.as_ref().and_then(|train| train.check_same_classes(&dataset).err());
                if let Some(error) = differ {
                    text::note(&format!("warning: {split} and {}: {error}", Split::Train.folder()));
                }
                let notices = dataset.notices().iter().filter(|notice| is_of_classes(notice)).chain(&overlap);
                for notice in notices {
                    let kind = if notice.is_warning() { "warning" } else { "note" };
                    text::note(&format!("{kind}: {split}: {notice}"));
                }
                if split == Split::Train.folder() {
                    train = Some(dataset);
                }
            }
            // The report has already named missing parts.
            Err(
                Error::NoSplit { .. }
                | Error::NoMasks { .. }
                | Error::NoAnnotations { .. }
                | Error::NotPacked { .. }
                | Error::Parts { .. },
            ) => {}
            Err(error) => text::note(&format!("note: {split}: {error}")),
        }
    }
}

fn is_of_classes(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::OneClass { .. }
            | Notice::EmptyClasses { .. }
            | Notice::JunkListed { .. }
            | Notice::LooksMasked
            | Notice::MasksAlone { .. }
    )
}

#[derive(Serialize)]
struct PackedSet {
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    videos: Option<usize>,
    splits: BTreeMap<String, usize>,
    bytes: u64,
    broken: Vec<Broken>,
    quarantined: usize,
    other_files: usize,
    other_splits: Vec<String>,
}

fn run_pack(args: &PackArgs) -> Result<()> {
    let store = match args.store {
        StoreArg::Jpeg => Store::Jpeg,
        StoreArg::Raw => Store::Raw,
    };
    let longer = args.max_side.map(|side| SideLimit::Longer(side.get()));
    let limit = longer.or_else(|| args.shorter_side.map(|side| SideLimit::Shorter(side.get())));
    let (rank, sample) =
        if args.clips || has_videos(&args.dir) { (Rank::Clip, "video") } else { (Rank::Image, "image") };
    let options = PackOptions { splits: args.split.clone(), rank, limit, store, quality: args.quality };
    let report =
        watch::watched(&format!("{sample}s"), |progress| pack(&args.dir, &args.out, &options, progress))?;
    let left_out = left_out(&report, sample);
    let PackReport { n_samples, splits, bytes, broken, quarantined, others, other_splits } = report;
    let of_splits: Vec<String> = splits.iter().map(|(split, n)| format!("{split}: {n}")).collect();
    let packed = PackedSet {
        images: (rank == Rank::Image).then_some(n_samples),
        videos: (rank == Rank::Clip).then_some(n_samples),
        splits: splits.into_iter().collect(),
        bytes,
        broken: broken.into_iter().map(Broken::from).collect(),
        quarantined,
        other_files: others.n(),
        other_splits,
    };
    if args.json {
        return text::json(&packed);
    }
    for Broken { path, reason } in &packed.broken {
        text::line(&format!("{path}: {reason}"))?;
    }
    let (out, megabytes) = (shown(&args.out), bytes as f64 / 1e6);
    let samples = counted(n_samples, sample);
    text::note(&format!("{samples} ({}) in {out}, {megabytes:.1} MB", of_splits.join(", ")));
    if !left_out.is_empty() {
        text::note(&format!("left out: {}", left_out.join("; ")));
    }
    text::note(&format!("next: use it in a recipe, as data.path={out}"));
    Ok(())
}

/// What is in a data set but not in its packed file.
fn left_out(report: &PackReport, sample: &str) -> Vec<String> {
    let PackReport { broken, quarantined, others, other_splits, .. } = report;
    let mut left_out = Vec::new();
    if !broken.is_empty() {
        left_out.push(format!("{}, named above", counted(broken.len(), &format!("broken {sample}"))));
    }
    if *quarantined > 0 {
        left_out.push(format!("{} on a quarantine list", counted(*quarantined, sample)));
    }
    if !others.is_empty() {
        let kinds = if sample == "image" { "JPEG, PNG or WebP" } else { "videos" };
        left_out.push(format!("files that are not {kinds} ({others})"));
    }
    if !other_splits.is_empty() {
        let names = other_splits.join(", ");
        left_out.push(format!("other splits ({names}), which are packed only if --split names them"));
    }
    left_out
}
