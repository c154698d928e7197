//! The vocabulary of the whole system: sub-networks, the network as a value, its arithmetic, sampling, keyed randomness.
//!
//! Everything else is an interpretation of what is defined here.
//! Invariant: no I/O, no tensor engine, no networks by name.

mod width;
pub use width::{Width, WidthRange};

mod subnet;
pub use subnet::{Frames, Resolution, Subnet};

mod budget;
pub use budget::{Budget, Macs};

mod preprocess;
pub use preprocess::Preprocess;

mod file_kind;
pub use file_kind::{FileKind, Wanted};

pub mod network;
pub use network::{Network, NodeId};

pub mod sample;

pub mod rng;
pub use rng::RngStream;

mod error;
pub use error::{Error, Result};
