//! Turns checkpoints of other programs (PyTorch files, safetensors) into weights for one of our networks, by name.
//!
//! Separate because it reads untrusted files, and because nothing that runs a network needs it.
//! Invariant: nothing in a checkpoint is executed, memory is linear in the file, and whatever does not fit is an
//! [`Error`], never a guess.

mod error;
pub use error::{Error, Result};

mod printable;
pub use printable::printable;

mod archive;
mod content;
mod dtype;
mod legacy;
mod pickle;
mod zipped;

mod state_dict;
pub use state_dict::{Format, StateDict, read_file};

mod names;
pub use names::Source;

mod prefix;

mod checkpoint_names;

mod matching;
pub use matching::{Extra, Head, Matching, Rules, classes, import};

mod report;
pub use report::{Imported, Matched, Report};

mod sort;
pub use sort::sort_channels;
