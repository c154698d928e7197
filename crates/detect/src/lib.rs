//! Boxes and masks without an engine: what a detector starts from, learns and answers, masks as runs, ground truth and
//! results in COCO's format, and their comparison.
//!
//! Separate because training, evaluation and predictions need the same arithmetic, and none of it needs tensors.
//! Invariant: every result equals that of pycocotools or torchvision, except where a `Reference:` says otherwise.

pub mod anchors;
pub mod boxes;
pub use boxes::Corners;
mod coder;
pub use coder::BoxCoder;
mod matcher;
pub use matcher::{Matcher, Rescue, Target};
mod hardest;
pub use hardest::hardest;
pub mod balanced;
mod suppress;
pub use suppress::{suppress, suppress_in_groups};
pub mod decode;
mod propose;
pub use propose::Proposer;
mod roi_align;
pub use roi_align::{RoiAlign, Taps};
mod project;
pub use project::ObjectMask;
mod paste;
pub use paste::SquareMask;

pub mod rle;
pub use rle::{Extent, Rle, RleFault};
pub mod coco;
pub mod evaluate;

mod error;
pub use error::{Error, Result};

#[cfg(test)]
mod drawn;
#[cfg(test)]
mod torchvision_tests;
