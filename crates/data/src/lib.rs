//! From image files to batches: index, decode, augment, load; and data sets that generate themselves.
//!
//! Both halves of the system use it: training loads batches, the run side decodes and preprocesses one image.
//! Invariant: no tensor engine; what comes out depends on files, seed and settings, never on the number of threads.

pub mod index;
pub use index::{Dataset, Notice, SampleRef, Split};
mod folder;
pub use folder::{FolderImages, find_images};
pub mod pack;
mod place;
pub use place::Place;
mod records;
mod scratch;
mod stages;
pub use records::RecordFile;
pub use stages::StageTimes;
mod shard;
pub use shard::{Member, Shard};
mod simd;
mod table;
pub use table::Table;

pub mod image;
pub use image::{Image, ImageRef};

pub mod decode;
mod encode;
pub use encode::{encode_jpeg, encode_png};
mod orientation;
pub mod quarantine_list;

pub mod augment;
pub mod normalize;
pub mod resize;
pub mod transform;
pub use transform::{
    TestPipeline, TrainCrop, TrainPipeline, TrainTransform, preprocess_file, preprocess_test,
};

pub mod loader;
pub use loader::{Batch, BatchMemory, Batches, Floats, ImageBuffer, Loader, LoaderConfig, SecondLabels};
mod order;
pub use order::{Part, Position};
mod progress;
mod quarantine;

pub mod check;
pub use progress::{HANGS_AFTER, Progress};
pub mod shapes;

mod kind;
pub use kind::Expected;
mod error;
pub use error::{BrokenFile, DecodeError, Error, Result};
