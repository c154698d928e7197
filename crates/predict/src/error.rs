//! The error type of this crate.

use std::path::PathBuf;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] mutualnet_image::Error),
    /// The video cannot be read.
    #[error(transparent)]
    Video(#[from] mutualnet_video::Error),
    /// The bundle is not valid.
    #[error(transparent)]
    Bundle(#[from] mutualnet_bundle::Error),
    /// The network cannot be run.
    #[error(transparent)]
    Runtime(#[from] mutualnet_runtime::Error),
    /// The network does not fit, or a budget is none.
    #[error(transparent)]
    Core(#[from] mutualnet_core::Error),
    /// The outputs are not the maps of a detector.
    #[error("the outputs are not maps of scores and of boxes")]
    NoDetector,
    /// A ground truth cannot be read.
    #[error(transparent)]
    Detect(#[from] mutualnet_detect::Error),
    /// A ground truth has no category of one of the network's classes.
    #[error("no category is called `{class}`, as a class of the network is, in {path}")]
    NoCategory {
        /// The class.
        class: String,
        /// The file.
        path: PathBuf,
    },
    /// A ground truth does not have an image, or has several of its name.
    #[error("{image} is not exactly one of the images of {path}")]
    NoCocoImage {
        /// The image.
        image: PathBuf,
        /// The file.
        path: PathBuf,
    },
    /// Classes are asked for, and the network answers for many positions of an image.
    #[error("output `{output}` has {height}x{width} positions; only one position can be classified")]
    NoClassifier {
        /// The first output.
        output: String,
        /// Its height.
        height: usize,
        /// Its width.
        width: usize,
    },
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Image(error) => error.hint().map(str::to_owned),
            Self::Video(error) => error.hint().map(str::to_owned),
            Self::Bundle(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Core(error) => error.hint(),
            Self::Detect(error) => error.hint().map(str::to_owned),
            Self::NoCategory { .. } => {
                Some("give the annotations of the data that the network was trained with".to_owned())
            }
            Self::NoCocoImage { .. } => Some(
                "an image belongs to the entry whose `file_name` is the end of its path; give it with its folders"
                    .to_owned(),
            ),
            Self::NoClassifier { .. } | Self::NoDetector => None,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
