//! Images with objects: a folder of images, and their annotations in one file in COCO's format.
//!
//! Separate from class folders and masks, because only the task tells what a directory is for.
//! Invariant: no image is read here; one that is missing is found when it is loaded or checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mutualnet_core::Task;
use mutualnet_detect::coco::{Fault, Instances, Problem};

use super::masks::IMAGES;
use super::nearby::no_split;
use super::{Contents, Notice, SampleRef};
use crate::{Error, Label, Place, Result, SampleError};

/// The annotations of a split that has a folder of its own, beside its images.
pub(crate) const FILE: &str = "instances.json";
/// The folder with the annotations of all splits, as COCO has it.
const ANNOTATIONS: &str = "annotations";
/// The first class.
const BACKGROUND: &str = "background";

/// Where the annotations and the images of a split are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) file: PathBuf,
    /// The directory of the split.
    pub(crate) dir: PathBuf,
    /// The folder in it that names of images are relative to.
    pub(crate) images: &'static str,
}

/// Indexes a split whose images have objects: where it is, and what it holds.
///
/// # Errors
/// No such split, annotations in two places, or a file that has no annotations in COCO's format.
pub(crate) fn open(root: &Path, split: &str) -> Result<(Located, Contents)> {
    let located = locate(root, split)?;
    let Located { file, dir, images } = &located;
    let truth = Instances::read(file)?.with_each_name_once();
    if truth.images().is_empty() {
        let first = problems(&truth).next().map(ToString::to_string);
        return Err(Error::NoAnnotatedImages { path: file.clone(), first });
    }
    let categories = truth.categories().iter().map(|category| category.name.clone());
    let classes = std::iter::once(BACKGROUND.to_owned()).chain(categories).collect();
    let sample = |(idx, image): (usize, &mutualnet_detect::coco::ImageInfo)| {
        let path = Path::new(images).join(&image.file_name);
        let bytes = std::fs::metadata(dir.join(&path)).map_or(0, |metadata| metadata.len());
        SampleRef { place: Place::File { path, bytes }, label: Label::Objects(idx) }
    };
    let mut samples: Vec<_> = truth.images().iter().enumerate().map(sample).collect();
    samples.sort_by(|a, b| a.place.cmp(&b.place));
    if let Some(first) = samples.first().filter(|_| samples.iter().all(|sample| sample.place.bytes() == 0)) {
        let (path, first) = (file.clone(), dir.join(first.place.name()));
        if !first.exists() {
            return Err(Error::AnnotatedImagesMissing { path, images: samples.len(), first });
        }
    }
    let mut told = problems(&truth);
    let first = told.next().map(ToString::to_string);
    let notices = first.map(|first| Notice::Annotations { problems: told.count() + 1, first });
    let notices = notices.into_iter().chain(convention(&truth)).collect();
    let truth = Some(Arc::new(truth));
    let contents = Contents { task: Task::Detect, classes, truth, samples, notices, ..Contents::default() };
    Ok((located, contents))
}

/// What shows that the numbers of boxes are not what they should be.
pub(crate) fn convention(truth: &Instances) -> Option<Notice> {
    let of = truth.annotations().len();
    match truth.looks_cornered() {
        _ if truth.looks_normalized() => Some(Notice::TinyBoxes { boxes: of }),
        Some(boxes) => Some(Notice::BoxesBeyond { boxes, of }),
        None => None,
    }
}

/// Checks that an image has the size, columns and rows, that its annotations are for.
pub(crate) fn check_size(truth: &Instances, image: usize, found: [u32; 2]) -> Result<(), SampleError> {
    let extent = truth.images()[image].extent;
    let annotated = [extent.width, extent.height];
    if found == annotated { Ok(()) } else { Err(SampleError::OtherSize { found, annotated }) }
}

/// What is wrong with annotations. A category without an object is not: small splits have such.
pub(crate) fn problems(truth: &Instances) -> impl Iterator<Item = &Problem> {
    truth.problems().iter().filter(|problem| problem.fault != Fault::Unused)
}

/// Finds the annotations of a split.
///
/// # Errors
/// There are none, or there are two files.
fn locate(root: &Path, split: &str) -> Result<Located> {
    let dir = root.join(split);
    let own = Located { file: dir.join(FILE), dir: dir.clone(), images: IMAGES };
    let common = root.join(ANNOTATIONS).join(format!("instances_{split}.json"));
    let common = Located { file: common, dir, images: "" };
    match [own, common].map(|found| found.file.is_file().then_some(found)) {
        [Some(first), Some(second)] => Err(Error::TwoLayouts { first: first.file, second: second.file }),
        [Some(found), None] | [None, Some(found)] => Ok(found),
        [None, None] => {
            let annotated = commonly_annotated(root);
            if annotated.is_empty() && !root.join(split).is_dir() {
                return Err(no_split(root, split));
            }
            Err(Error::NoAnnotations { split: split.to_owned(), path: root.to_owned(), annotated })
        }
    }
}

/// The splits that have a file in the folder with the annotations of all splits, by name.
pub(crate) fn commonly_annotated(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(ANNOTATIONS)).into_iter().flatten().flatten();
    let split = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix("instances_")?.strip_suffix(".json")?.to_owned())
    };
    let mut splits: Vec<_> = entries.filter_map(split).collect();
    splits.sort();
    splits
}

#[cfg(test)]
mod tests;
