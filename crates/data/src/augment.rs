//! The augmentations, one file each, and the image operations that they share.
//!
//! Invariant: each draws only from the stream that it is given, so that the augmentation of a sample depends on its key
//! alone.

mod affine;
mod color_jitter;
mod enhance;
mod lighting;
mod mixing;
mod pad_crop;
mod rand_augment;
mod random_erasing;
mod random_resized_crop;
mod random_short_side;
mod tone;

pub use color_jitter::ColorJitter;
pub use lighting::Lighting;
pub use mixing::{Mix, Mixing};
pub use pad_crop::{PadCrop, PadMode};
pub use rand_augment::RandAugment;
pub use random_erasing::RandomErasing;
pub use random_resized_crop::RandomResizedCrop;
pub use random_short_side::{RandomShortSide, Shown};
