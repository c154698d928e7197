//! COCO's files: ground truth ("instances") and results of a detector.
//!
//! Separate because data sets, evaluation and predictions share them.
//! Invariant: what is wrong with one image, category, annotation or detection is a [`Problem`] that names it; only a file
//! that is not of the format at all is an [`Error`](crate::Error).

mod instances;
pub use instances::{Annotation, Category, ImageInfo, Instances, Shape};
mod lenient;
mod problem;
pub use problem::{Effect, Fault, Problem, Subject};
mod results;
pub use results::{Detection, Detections, ResultEntry};
mod shape;

#[cfg(test)]
mod tests;
