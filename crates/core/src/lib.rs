//!
//! Everything else is an interpretation of what is defined here.

mod width;
pub use width::{Width, WidthRange};

mod subnet;
pub use subnet::{Frames, Resolution, Subnet};

mod budget;
pub use budget::{Budget, Macs};

pub mod rng;
pub use rng::RngStream;

mod error;
pub use error::{Error, Result};
