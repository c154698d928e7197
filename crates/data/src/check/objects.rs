//! Checks images together with their annotations in COCO's format.
//!
//! Separate because annotations are checked against the images that they name.
//! Invariant: nothing that is wrong with an annotation or an image stops the check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mutualnet_core::Task;
use mutualnet_core::text::shown;
use mutualnet_detect::coco::Instances;
use mutualnet_image::Others;
use mutualnet_image::decode::check_variable;
use rayon::prelude::*;

use super::{CheckReport, ClassCount, no_directory, ranges};
use crate::index::nearby::no_split;
use crate::index::objects::{self, Located};
use crate::{BrokenFile, Error, Label, Progress, Result, SampleError, SampleRef, Split};

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
    progress.begin(found.iter().map(|split| split.samples.len()).sum());
    let all: Vec<_> = found.iter().flat_map(|split| split.samples.iter().map(move |s| (split, s))).collect();
    let verify = |&(split, sample): &(&Annotated, &SampleRef)| {
        progress.reading(&sample.place, || split.verify(sample))
    };
    let verified: Vec<_> = all.par_iter().map(verify).collect();
    let [width_px, height_px] = ranges(verified.iter().flatten());
    let below = |split: &Annotated| split.dir.strip_prefix(dir).unwrap_or(Path::new("")).to_owned();
    let broken = all.iter().zip(&verified).filter_map(|((split, sample), verified)| {
        let path = below(split).join(sample.place.name());
        Some(BrokenFile { path, reason: verified.as_ref().err()?.to_string() })
    });
    let mut broken: Vec<_> = broken.collect();
    broken.sort();
    let bytes = all.iter().map(|(_, sample)| sample.place.bytes()).sum();
    let problems = found.iter().flat_map(|split| split.problems(dir)).collect();
    let splits = found.iter().map(|split| (below(split), split.samples.len())).collect();
    let (others, faults, in_images) = (Others::default(), Vec::new(), in_images(&found));
    let n_images = all.len();
    let task = Task::Detect;
    Ok(CheckReport {
        task,
        n_images,
        splits,
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

/// A split, whatever a quarantine list says of its images.
struct Annotated {
    file: PathBuf,
    /// What the paths of its images are relative to.
    dir: PathBuf,
    truth: Arc<Instances>,
    samples: Vec<SampleRef>,
}

impl Annotated {
    fn open(root: &Path, split: &str) -> Result<Self> {
        let (Located { file, dir, .. }, contents) = objects::open(root, split)?;
        let truth = contents.truth.expect("images with objects have their ground truth");
        Ok(Self { file, dir, truth, samples: contents.samples })
    }

    /// The size of an image that can be decoded and has the size of its annotations.
    fn verify(&self, sample: &SampleRef) -> Result<[u32; 2], SampleError> {
        let size = sample.place.verify(&self.dir)?;
        if let Label::Objects(image) = sample.label {
            objects::check_size(&self.truth, image, size)?;
        }
        Ok(size)
    }

    fn problems(&self, root: &Path) -> impl Iterator<Item = String> {
        let file = shown(self.file.strip_prefix(root).unwrap_or(&self.file)).to_string();
        let all = objects::problems(&self.truth).map(ToString::to_string);
        let all = all.chain(objects::convention(&self.truth).map(|notice| notice.to_string()));
        all.map(move |problem| format!("{file}: {problem}"))
    }
}

/// Whether there are annotations in COCO's format where data sets have them.
pub fn has_annotations(dir: &Path) -> bool {
    !objects::commonly_annotated(dir).is_empty()
        || Split::USUAL.iter().any(|split| dir.join(split).join(objects::FILE).is_file())
}

/// The splits that have annotations.
fn find(dir: &Path) -> Result<Vec<Annotated>> {
    let common = objects::commonly_annotated(dir);
    let splits: BTreeSet<String> = common.into_iter().chain(Split::USUAL.map(str::to_owned)).collect();
    let (mut found, mut unannotated) = (Vec::new(), None);
    for split in splits {
        match Annotated::open(dir, &split) {
            Err(Error::NoSplit { .. }) => {}
            Err(error @ Error::NoAnnotations { .. }) => {
                unannotated.get_or_insert(error);
            }
            opened => found.push(opened?),
        }
    }
    if found.is_empty() {
        return Err(unannotated.unwrap_or_else(|| no_split(dir, Split::Train.folder())));
    }
    Ok(found)
}

/// In how many images of all splits objects of each class are, in the order of the first split.
fn in_images(found: &[Annotated]) -> Vec<ClassCount> {
    let mut counts: Vec<ClassCount> = Vec::new();
    for Annotated { truth, .. } in found {
        for (idx, category) in truth.categories().iter().enumerate() {
            let has = |image: &usize| truth.of_image(*image).iter().any(|object| object.category == idx);
            let images = (0..truth.images().len()).filter(has).count();
            match counts.iter_mut().find(|count| count.class == category.name) {
                Some(count) => count.images += images,
                None => counts.push(ClassCount { class: category.name.clone(), images }),
            }
        }
    }
    counts
}
