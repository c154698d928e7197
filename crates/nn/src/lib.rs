//! The trainable network: the list of nodes, interpreted by the tensor engine.
//!
//! Weights are allocated once at the full width ([`Parameters`]); a [`Slice`] is the part of them that one
//! sub-network uses, with gradients of its own that are added back afterwards.
//! Invariant: width is an argument, nothing is switched on a network.

mod error;
pub use error::{Error, Result};

mod parameters;
pub use parameters::{Gradients, NamedTensor, Parameters, Slice};

mod dropout;
pub use dropout::Dropout;

mod forward;
pub use forward::{Net, Norm, Statistics};

mod init;

#[cfg(test)]
mod tests;
