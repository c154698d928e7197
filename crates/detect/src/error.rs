//! The error type of this crate.

use std::path::{Path, PathBuf};

use mutualnet_core::text::shown;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a file cannot be used, or detections cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be used, and why.
    #[error("{cause}, in {}", shown(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// The operating system refuses access to a file.
    #[error("cannot read {}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Text that is not JSON, or JSON of another form.
    #[error("not {what}: {source}")]
    Json {
        /// What should be there.
        what: &'static str,
        /// What the parser says, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A file with nothing in it.
    #[error("the file is empty")]
    Empty,
    /// JSON that ends too early.
    #[error("the file ends in the middle, at line {line}, column {column}")]
    CutOff {
        /// The last line.
        line: usize,
        /// Its last column.
        column: usize,
    },
    /// A list where ground truth is expected.
    #[error("not COCO instances: this is a list, as results are")]
    List,
    /// Ground truth without one of its lists.
    #[error("not COCO instances: there is no list `{key}`")]
    NoList {
        /// The key of the list.
        key: &'static str,
    },
    /// Masks shall be evaluated, and there are none.
    #[error("{whose} have no masks")]
    NoMasks {
        /// The annotations or the detections.
        whose: &'static str,
    },
}

impl Error {
    /// What is wrong with JSON that cannot be parsed as `what`.
    pub(crate) fn json(what: &'static str, json: &[u8], source: serde_json::Error) -> Self {
        match source.is_eof() {
            true if json.trim_ascii().is_empty() => Self::Empty,
            true => Self::CutOff { line: source.line(), column: source.column() },
            false => Self::Json { what, source },
        }
    }

    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::File { path: path.to_owned(), cause: Box::new(self) }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File { cause, .. } => cause.hint(),
            Self::Json { what: "COCO results", .. } => Some(
                "results are a list of objects with `image_id`, `category_id`, `score` and `bbox` or `segmentation`",
            ),
            Self::Empty | Self::CutOff { .. } => Some("copy or download it again"),
            Self::Json { .. } | Self::NoList { .. } | Self::List => {
                Some("ground truth is an object with `images`, `categories` and `annotations`")
            }
            Self::NoMasks { .. } => Some("evaluate boxes, or add `segmentation`"),
            _ => None,
        }
    }
}
