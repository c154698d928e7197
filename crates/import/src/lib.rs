//! Weights of other programs: PyTorch checkpoints and safetensors, by name, as the weights of a network of ours.
//!
//! Separate because it reads files of unknown origin, and because nothing that runs a network needs it.
//! Invariant: nothing in a checkpoint is executed, memory is taken for bytes that are there, and what does not fit
//! is an [`Error`], never a guess.

mod error;
pub use error::{Error, Result};

mod printable;
pub use printable::printable;

mod archive;
mod dtype;
mod legacy;
mod pickle;
mod zipped;

mod state_dict;
pub use state_dict::{Format, StateDict, read_file};

mod names;
pub use names::Source;

mod matching;
pub use matching::{Extra, Head, Matching, Rules, classes, import};

mod report;
pub use report::{Imported, Matched, Report};

mod sort;
pub use sort::sort_channels;
