//! Exports one row of a bundle by itself, for programs that know nothing about widths.
//!
//! It is a separate crate so that formats of other programs stay out of what every deployment links.
//! Invariant: an export computes exactly what its row computes; no number changes on the way.

mod slice;
pub use slice::slice;

mod safetensors;
pub use safetensors::{to_safetensors, write_safetensors};

mod error;
pub use error::{Error, Result};
