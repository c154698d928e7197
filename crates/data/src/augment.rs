//! The augmentations, one file each: what is drawn, and what is done with it.
//!
//! Each takes its randomness from the stream it is given, so that a sample's augmentation depends on its key alone.

mod color_jitter;
mod lighting;
mod pad_crop;
mod random_resized_crop;

pub use color_jitter::ColorJitter;
pub use lighting::Lighting;
pub use pad_crop::{PadCrop, PadMode};
pub use random_resized_crop::RandomResizedCrop;
