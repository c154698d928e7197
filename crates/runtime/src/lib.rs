//! Executes a bundle on the CPU at any row of its query table, and switches rows without touching the weights.
//!
//! Separate because it is what devices run: pure Rust, no engine, starts in milliseconds.
//! A [`Model`] is a prepared bundle, shared by all; a [`Session`] is one caller's state: threads, feature maps, row.
//! Weights are packed once, so that a narrower network is a prefix of them, and every batch norm is a scale and a shift
//! of its row, applied while a convolution's sums are still in registers.
//! Invariant: the logits of an image depend on the model, the row and the instruction set, never on the number of
//! threads, the batch or the rows run before, bit for bit.
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
//! let model = Arc::new(Model::new(Bundle::read(Path::new("model.mnb"))?)?);
//! let mut session = Session::new(model.clone(), NonZeroUsize::MIN)?;
//! let image = vec![0.0; model.largest_input_len()];
//! for budget in ["300M", "50M"] {
//!     let row = session.switch_to_budget(budget.parse()?)?;
//!     let best = session.predict(&image, 1)?;
//!     assert_eq!((best.len(), row), (1, session.subnet()));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Environment: [`ISA_VARIABLE`] (`MUTUALNET_ISA`) overrides the instruction set: `avx512`, `avx2`, `neon` or
//! `portable`.

mod model;
pub use model::Model;

mod session;
pub use session::{ClassProbability, Session};

mod latency;
pub use latency::{Latency, MeasureConfig, measure};

mod isa;
pub use isa::{ISA_VARIABLE, Isa};

mod prepare;

mod fuse;

mod plan;

mod place;

mod pack;

mod resize;

mod kernels;

mod error;
pub use error::{Error, Result};
