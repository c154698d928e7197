//! What a sample is labelled with, and the labels of a batch.
//!
//! Separate because indexing, loading and training all speak of them, whatever the task.
//! Invariant: the samples of a data set are all labelled with classes, or all with masks.

use std::path::PathBuf;

/// The number in a mask for pixels without a class; they count neither in training nor in a score.
pub const IGNORE: u8 = 255;

/// What is known about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// Its class: an index into the data set's classes.
    Class(u32),
    /// The class of each of its pixels: the path of a mask, relative to the data set's directory.
    Mask(PathBuf),
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
}

impl Targets {
    /// The classes of the images, and the second ones if images are mixed; `None` if there are masks.
    pub fn classes(&self) -> Option<(&[i64], Option<&SecondLabels>)> {
        match self {
            Self::Classes { labels, second } => Some((labels, second.as_ref())),
            Self::Masks(_) => None,
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
