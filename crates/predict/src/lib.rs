//! From an image or a video to an answer: preprocessing, the run side's executor, and what its numbers mean for a task.
//!
//! Separate because the command line, a server and other programs need the same three steps.
//! Invariant: nothing here prints, and only [`Decoder`]s know which task the network is for.
//!
//! ```no_run
//! # fn main() -> Result<(), mutualnet_predict::Error> {
//! use std::num::NonZeroUsize;
//! use std::path::Path;
//!
//! use mutualnet_predict::{Config, Predictor};
//!
//! let bundle = mutualnet_bundle::Bundle::read(Path::new("model.mnb"))?;
//! let mut predictor = Predictor::new(&bundle, NonZeroUsize::MIN, Config::default())?;
//! predictor.session_mut().switch_to_budget("50M".parse()?)?;
//! let answer = predictor.predict(Path::new("photo.jpg"))?;
//! assert!(!answer.prediction.text().is_empty());
//! # Ok(())
//! # }
//! ```

mod predictor;
pub use predictor::{Answer, Config, Predictor};

mod clip;
pub use clip::Clips;
/// Whether a file is taken for a video by its name.
pub use mutualnet_video::is_video_name;

mod decoder;
pub use decoder::{Decoder, Prediction, Step, decoder};

mod classify;
pub use classify::{ClassProbability, Classes};

mod detect;
pub use detect::{Boxes, FoundObject};

mod regions;
pub use regions::Regions;

mod segment;
pub use segment::ClassMap;

mod coco;
pub use coco::CocoIds;

mod legend;

mod error;
pub use error::{Error, Result};
