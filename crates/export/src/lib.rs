//! Exports one row of a bundle by itself, for programs that know nothing about widths.
//!
//! It is a separate crate so that formats of other programs stay out of what every deployment links.
//! Invariant: an export computes what its row computes. Weights and statistics are copied; only ONNX folds batch norms into
//! weights, which rounds them once.

mod slice;
pub use slice::slice;

mod safetensors;
pub use safetensors::{to_safetensors, write_safetensors};

pub mod onnx;

mod error;
pub use error::{Error, Result};
