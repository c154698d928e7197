//! What a sample is labelled with, and the labels of a batch.
//!
//! Separate because indexing, loading and training all speak of them, whatever the task.
//! Invariant: the samples of a data set are all labelled with classes, all with masks, or all with objects.

use std::path::PathBuf;

use std::sync::Arc;

use mutualnet_core::Task;
use mutualnet_detect::boxes::left_top_sides;
use mutualnet_detect::coco::Instances;
use mutualnet_detect::{Corners, Extent, Rle};

/// The number in a mask for pixels without a class; they count neither in training nor in a score.
pub const IGNORE: u8 = 255;

/// What is known about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// Its class: an index into the data set's classes.
    Class(u32),
    /// The class of each of its pixels: the path of a mask, relative to the data set's directory.
    Mask(PathBuf),
    /// Its objects: those of the image with this index in the data set's ground truth.
    Objects(usize),
}

/// The objects of an image of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects {
    /// Index of the image in the ground truth.
    pub image: usize,
    /// Their boxes, in pixels of the batch.
    pub boxes: Vec<Corners>,
    /// The class of each; 0 is the background, which no object has.
    pub classes: Vec<u32>,
    /// The mask of each, of the batch's size, or `None` if its outline is not known. Empty unless the data set was asked for masks.
    pub masks: Vec<Option<Rle>>,
}

/// The labels of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Classes of whole images.
    Classes {
        /// Class of every image; the first one if it has two.
        labels: Vec<i64>,
        /// The second classes, if images are mixed.
        second: Option<SecondLabels>,
    },
    /// `[n, height, width]`, class of every pixel, or [`IGNORE`].
    Masks(Vec<u8>),
    /// Objects of every image, without crowds.
    Objects {
        /// The ground truth that the images belong to.
        truth: Arc<Instances>,
        /// Their objects as they are seen, image by image.
        images: Vec<Objects>,
    },
}

impl Targets {
    /// The classes of the images, and the second ones if images are mixed; `None` if there are masks or objects.
    pub fn classes(&self) -> Option<(&[i64], Option<&SecondLabels>)> {
        match self {
            Self::Classes { labels, second } => Some((labels, second.as_ref())),
            Self::Masks(_) | Self::Objects { .. } => None,
        }
    }

    /// Adds the labels of more images behind these.
    ///
    /// # Panics
    /// They are not labels of one kind, or one has second classes and the other has none.
    pub(crate) fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Masks(masks), Self::Masks(more)) => masks.extend(more),
            (Self::Objects { images, .. }, Self::Objects { images: more, .. }) => images.extend(more),
            (Self::Classes { labels, second: None }, Self::Classes { labels: more, second: None }) => {
                labels.extend(more);
            }
            (own, more) => panic!("{own:?} and {more:?} are not labels of one kind"),
        }
    }

    /// Labels of a batch of `n` images of a height and a width that nobody has seen, for benchmarks: a different class for
    /// each image, masks of squares of 16 pixels with a frame that has no class, or two objects that fill their boxes in every image.
    ///
    /// # Panics
    /// The task is not known here.
    pub fn made_up(task: Task, n: usize, [height, width]: [usize; 2], classes: usize) -> Self {
        let class = |i: usize| i * 37 % classes;
        match task {
            Task::Classify => {
                Self::Classes { labels: (0..n).map(|image| class(image) as i64).collect(), second: None }
            }
            Task::Segment => {
                let is_frame = |y, x| y == 0 || x == 0 || y + 1 == height || x + 1 == width;
                let pixel = |image, y, x| match is_frame(y, x) {
                    true => IGNORE,
                    false => class(image + y / 16 * 5 + x / 16) as u8,
                };
                let lines = (0..n).flat_map(|image| (0..height).map(move |y| (image, y)));
                Self::Masks(
                    lines.flat_map(|(image, y)| (0..width).map(move |x| pixel(image, y, x))).collect(),
                )
            }
            Task::Detect => {
                let objects = |image: usize| {
                    let (w, h) = (width as f32, height as f32);
                    let boxes =
                        vec![[0.1 * w, 0.2 * h, 0.4 * w, 0.5 * h], [0.5 * w, 0.3 * h, 0.9 * w, 0.9 * h]];
                    let class = |object: usize| (1 + (image * 2 + object) % (classes - 1).max(1)) as u32;
                    let extent = Extent { height: height as u32, width: width as u32 };
                    let filled = |&corners: &Corners| {
                        Rle::from_box(extent, left_top_sides(corners).map(f64::from)).ok()
                    };
                    let masks = boxes.iter().map(filled).collect();
                    Objects { image: 0, boxes, classes: vec![class(0), class(1)], masks }
                };
                let truth = Instances::from_json(br#"{"images":[],"annotations":[],"categories":[]}"#);
                let truth = Arc::new(truth.expect("it has all lists"));
                Self::Objects { truth, images: (0..n).map(objects).collect() }
            }
            other => unreachable!("no such task: {other}"),
        }
    }
}

/// The labels of mixed images besides the first ones, image by image.
#[derive(Debug, Clone, PartialEq)]
pub struct SecondLabels {
    /// Class of the image that was mixed in, or the image's own if none was.
    pub labels: Vec<i64>,
    /// Share of the first label, from 0 to 1; the rest is that of the second.
    pub shares: Vec<f32>,
}
