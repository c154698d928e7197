//! Executes a bundle on the CPU at any row of its query table, and switches rows without touching the weights.
//!
//! It is a separate crate because devices run it: it is pure Rust, does not need the engine, and starts in
//! milliseconds.
//! A [`Model`] is a prepared bundle that all callers share. A [`Session`] is the state of one caller: threads, feature
//! maps and the current row.
//! Weights are packed once, in such a way that a narrower network uses a prefix of them. Every batch norm becomes a scale
//! and a shift that depend on the row and are applied while the sums of a convolution are still in registers.
//! Invariant: the logits of an image depend only on the model, the row and the instruction set. They are the same, bit for
//! bit, for any number of threads, any batch and any rows that were run before.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::num::NonZeroUsize;
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use mutualnet_bundle::Bundle;
//! use mutualnet_runtime::{Model, Session};
//!
//! let model = Arc::new(Model::new(&Bundle::read(Path::new("model.mnb"))?)?);
//! let mut session = Session::new(model.clone(), NonZeroUsize::MIN)?;
//! let image = vec![0.0; model.largest_input_len()];
//! for budget in ["300M", "50M"] {
//!     let row = session.switch_to_budget(budget.parse()?)?;
//!     let logits = session.run(&image, 1)?;
//!     assert_eq!(logits.len(), model.classes().len());
//!     assert_eq!(row, session.subnet());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Environment: [`ISA_VARIABLE`] (`MUTUALNET_ISA`) overrides the instruction set: `avx512`, `avx2`, `neon` or
//! `portable`.

pub use mutualnet_core::Precision;

mod model;
pub use model::{Convolution, Model, ModelConfig};

mod session;
pub use session::{Output, Session};

mod latency;
pub use latency::{Latency, MeasureConfig, measure};

mod profile;
pub use profile::LayerTime;

mod peak;
pub use peak::{Bound, Peak};

mod isa;
pub use isa::{ISA_VARIABLE, Isa};

mod prepare;

mod fuse;

mod program;

mod place;

mod pack;

mod resize;

mod kernels;

mod error;
pub use error::{Error, Result};
