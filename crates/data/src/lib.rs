//! From image files to batches: index, decode, augment, load; and generated data sets.
//!
//! Both halves of the system use it: training loads batches, the run side decodes and preprocesses single images.
//! Invariant: no tensor engine; results depend on files, seed and settings, never on the number of threads.

pub mod index;
pub use index::{Dataset, Nearby, Notice, Others, PartsFault, SameBy, SampleRef, Split};
mod folder;
pub use folder::{FolderImages, find_images};
mod junk;
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
mod text_file;
pub use text_file::{shown, shown_dir};

pub mod image;
pub use image::{Image, ImageRef};

pub mod decode;
mod encode;
pub use encode::{encode_jpeg, encode_palette_png, encode_png};
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
pub mod scenes;
pub mod shapes;

mod kind;
pub use kind::Expected;
mod error;
pub use error::{BrokenFile, DecodeError, Error, Result};
