//! One row of a bundle, by itself, for programs that know nothing of widths.
//!
//! Separate from the bundle so that other programs' formats stay out of what every deployment links.
//! Invariant: an export computes exactly what its row computes; no number is changed on the way.

mod slice;
pub use slice::slice;

mod safetensors;
pub use safetensors::{to_safetensors, write_safetensors};

mod error;
pub use error::{Error, Result};
