//! The trainable network: runs the list of nodes on the tensor engine.
//!
//! Weights are allocated once, at the full width ([`Parameters`]). A [`Slice`] is the part of them that one sub-network
//! uses; it has its own gradients, which are added to the full ones afterwards.
//! Invariant: width is an argument; a network has no current width.

mod error;
pub use error::{Error, Result};

mod parameters;
pub use parameters::{Gradients, Parameters, Slice, SliceGradients};

mod dropout;
pub use dropout::Dropout;

mod forward;
pub use forward::{Net, Norm, Statistics};

mod init;

#[cfg(test)]
mod tests;
