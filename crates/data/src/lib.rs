//! From data sets to batches: index, augment, load; and generated data sets.
//!
//! Only training uses it; a single image needs `mutualnet-image` alone.
//! Invariant: no tensor engine; results depend on files, seed and settings, never on the number of threads.

pub mod index;
pub use index::{Dataset, Nearby, Notice, PartsFault, SameBy, SampleRef, Split};
pub mod pack;
mod place;
pub use place::Place;
mod records;
mod scratch;
pub use records::RecordFile;
mod shard;
pub use shard::{Member, Shard};
mod table;
pub use table::Table;
mod frame_cache;
mod text_file;
mod video_source;

pub mod quarantine_list;

mod aspects;
pub mod augment;
mod geometry;
pub use geometry::{Geometry, Shift};
mod mask_file;
pub mod transform;
pub use transform::{TrainCrop, TrainPipeline, TrainTransform};

pub mod loader;
pub use loader::{Batch, BatchMemory, Batches, Floats, ImageBuffer, Loader, LoaderConfig};
mod order;
pub use order::{Part, Position};
mod progress;
mod quarantine;

pub mod check;
pub use progress::{HANGS_AFTER, Progress};
pub mod clips;
pub mod scenes;
pub mod shapes;

mod target;
pub use target::{IGNORE, Label, Objects, SecondLabels, Targets};
mod kind;
pub use kind::Expected;
mod error;
pub use error::{BrokenFile, Error, MaskFault, Result, SampleError};
