//! Boxes and masks without an engine: masks as runs, ground truth and results in COCO's format, and their comparison.
//!
//! Separate because training, evaluation and predictions need the same arithmetic, and none of it needs tensors.
//! Invariant: every result equals that of pycocotools or torchvision, except where a `Reference:` says otherwise.

pub mod coco;
pub mod evaluate;
pub mod rle;
pub use rle::{Extent, Rle, RleFault};

mod error;
pub use error::{Error, Result};

#[cfg(test)]
mod drawn;
