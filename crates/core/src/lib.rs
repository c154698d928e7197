//! The vocabulary of the whole system: sub-networks, the network as a value, its arithmetic, sampling, keyed randomness.
//!
//! All other crates interpret what is defined here.
//! Invariant: this crate does no I/O, and knows neither the tensor engine nor any particular network.

mod width;
pub use width::{Width, WidthRange};

mod subnet;
pub use subnet::{Frames, InputSize, Resolution, Subnet, picked_frame};

mod budget;
pub use budget::{Budget, InMs, Macs, duration_of_ms};

mod preprocess;
pub use preprocess::{ClipSampling, Fit, Preprocess, Views, shrunk};

mod file_kind;
pub use file_kind::{FileKind, Wanted};

mod task;
pub use task::{Metric, Task};

mod precision;
pub use precision::Precision;

mod tensor;
pub use tensor::{Tensor, Weights};

pub mod network;
pub use network::{Network, NodeId};

pub mod sample;

pub mod rng;
pub use rng::RngStream;

pub mod text;

mod error;
pub use error::{Error, Result};
