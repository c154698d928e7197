//! Checks images together with their annotations in COCO's format.
//!
//! Separate because annotations are checked against the images that they name.
//! Invariant: nothing that is wrong with an annotation or an image stops the check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mutualnet_core::Task;
use mutualnet_core::network::Rank;
use mutualnet_core::text::shown;
use mutualnet_image::Others;
use mutualnet_image::decode::check_variable;
use rayon::prelude::*;

use super::{CheckReport, ClassCount, no_directory, ranges};
use crate::index::nearby::no_split;
use crate::index::objects;
use crate::{BrokenFile, Dataset, Error, Label, Progress, Result, SampleError, SampleRef, Split};

/// As [`check_watched`](super::check_watched), for a data set with annotations: those of the usual splits, and of every
/// `annotations/instances_SPLIT.json`. Counts in how many images each class is.
///
/// # Errors
/// The directory does not exist or has no split with annotations, or a file of annotations is something else.
pub fn check_objects(dir: &Path, progress: &Progress) -> Result<CheckReport> {
    if !dir.is_dir() {
        return Err(no_directory(dir));
    }
    check_variable()?;
    let found = find(dir)?;
    progress.begin(found.iter().map(|(_, dataset)| dataset.samples().len()).sum());
    let all: Vec<_> = found.iter().flat_map(|(_, set)| set.samples().iter().map(move |s| (set, s))).collect();
    let verify = |&(dataset, sample): &(&Dataset, &SampleRef)| {
        progress.reading(&sample.place, || verify(dataset, sample))
    };
    let verified: Vec<_> = all.par_iter().map(verify).collect();
    let [width_px, height_px] = ranges(verified.iter().flatten());
    let broken = all.iter().zip(&verified).filter_map(|((dataset, sample), verified)| {
        let below = dataset.dir().strip_prefix(dir).unwrap_or(Path::new(""));
        Some(BrokenFile {
            path: below.join(sample.place.name()),
            reason: verified.as_ref().err()?.to_string(),
        })
    });
    let mut broken: Vec<_> = broken.collect();
    broken.sort();
    let bytes = all.iter().map(|(_, sample)| sample.place.bytes()).sum();
    let problems = found.iter().flat_map(|(file, dataset)| problems(dir, file, dataset)).collect();
    let (others, faults, in_images) = (Others::default(), Vec::new(), in_images(&found));
    let n_images = all.len();
    let task = Task::Detect;
    Ok(CheckReport {
        task,
        n_images,
        others,
        bytes,
        width_px,
        height_px,
        broken,
        faults,
        problems,
        in_images,
    })
}

/// The splits with their files of annotations.
fn find(dir: &Path) -> Result<Vec<(PathBuf, Dataset)>> {
    let common = objects::commonly_annotated(dir);
    let splits: BTreeSet<String> = common.into_iter().chain(Split::USUAL.map(str::to_owned)).collect();
    let (mut found, mut unannotated) = (Vec::new(), None);
    for split in splits {
        let file = match objects::locate(dir, &split) {
            Err(Error::NoSplit { .. }) => continue,
            Err(error @ Error::NoAnnotations { .. }) => {
                unannotated.get_or_insert(error);
                continue;
            }
            located => located?.file,
        };
        found.push((file, Dataset::open_for(Task::Detect, Rank::Image, dir, &split)?));
    }
    if found.is_empty() {
        return Err(unannotated.unwrap_or_else(|| no_split(dir, Split::Train.folder())));
    }
    Ok(found)
}

/// The size of an image that can be decoded and has the size of its annotations.
fn verify(dataset: &Dataset, sample: &SampleRef) -> Result<[u32; 2], SampleError> {
    let size = sample.place.verify(dataset.dir())?;
    if let Label::Objects(image) = sample.label {
        dataset.check_size(image, size)?;
    }
    Ok(size)
}

fn problems(dir: &Path, file: &Path, dataset: &Dataset) -> Vec<String> {
    let file = shown(file.strip_prefix(dir).unwrap_or(file)).to_string();
    let told = dataset.truth().into_iter().flat_map(|truth| objects::problems(truth));
    told.map(|problem| format!("{file}: {problem}")).collect()
}

/// In how many images of all splits objects of each class are.
fn in_images(found: &[(PathBuf, Dataset)]) -> Vec<ClassCount> {
    let mut counts = BTreeMap::new();
    for truth in found.iter().filter_map(|(_, dataset)| dataset.truth()) {
        for category in truth.categories() {
            counts.entry(category.name.clone()).or_insert(0);
        }
        for image in 0..truth.images().len() {
            let classes: BTreeSet<_> = truth.of_image(image).iter().map(|object| object.category).collect();
            for class in classes {
                *counts.entry(truth.categories()[class].name.clone()).or_insert(0) += 1;
            }
        }
    }
    counts.into_iter().map(|(class, images)| ClassCount { class, images }).collect()
}
