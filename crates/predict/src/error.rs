//! The error type of this crate.

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
            Self::NoClassifier { .. } | Self::NoDetector => None,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
