//! One picture: decode, turn upright, resize, normalize; and the way of an image at test time.
//!
//! Separate from data sets, so that a prediction needs no archives and no tables.
//! Invariant: no tensor engine, no classes and no splits.

pub mod image;
pub use image::{Image, ImageRef};

pub mod decode;
pub use decode::Mask;
mod encode;
pub use encode::{encode_jpeg, encode_palette_png, encode_png};
pub mod orientation;

pub mod normalize;
pub mod resize;
pub mod simd;
mod stages;
pub use stages::{StageTimes, timed};
mod canvas;
pub use canvas::Canvas;

pub mod pipeline;
pub use pipeline::{Preprocessed, TestPipeline, preprocess_file, preprocess_test};

mod folder;
pub use folder::{FolderImages, find_files, find_images, is_image_name};
pub mod junk;
mod others;
pub use others::Others;

mod error;
pub use error::{DecodeError, Error, Result};
