//! Why a video, or one of its frames, cannot be used.
//!
//! A file that cannot be decoded is a value ([`VideoError`]) that a data set may live with; an [`Error`] names a path.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mutualnet_core::text::shown;
use mutualnet_core::{FileKind, Wanted};
use mutualnet_image::DecodeError;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A video that cannot be used, or a file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A video cannot be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: VideoError,
    },
    /// A video cannot be written.
    #[error("cannot write {}: {source}", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A video that would be larger than AVI can express.
    #[error("cannot write {}: an AVI file cannot be larger than {limit} bytes", shown(path))]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        limit: u64,
    },
}

impl Error {
    /// Whether the cause is a program that is not installed, and not the file.
    pub fn is_missing_program(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.is_missing_program())
    }

    /// What is wrong, without the path.
    pub fn reason(&self) -> String {
        match self {
            Self::Read { source, .. } => source.to_string(),
            Self::Write { source, .. } => source.to_string(),
            Self::TooLong { .. } => self.to_string(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read { source, .. } => source.hint(),
            Self::Write { .. } => None,
            Self::TooLong { .. } => Some("make the video shorter, or write it in parts"),
        }
    }
}

/// Why a file is not a video that we can use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The file cannot be read.
    #[error("{source}")]
    Io {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A pipe, a socket, a device or a directory.
    #[error("not a regular file")]
    NoFile,
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file is of another kind than its name says.
    #[error("{}, not a video", kind.name())]
    OtherKind {
        /// What the file is.
        kind: FileKind,
    },
    /// A folder that has no frames.
    #[error("a folder without JPEG, PNG or WebP files")]
    NoPictures,
    /// A frame of a folder cannot be decoded.
    #[error("{}: {source}", shown(file))]
    Picture {
        /// Its file in the folder.
        file: PathBuf,
        /// The reason.
        #[source]
        source: DecodeError,
    },
    /// A program that decodes the format is not installed.
    #[error("`{program}` is not installed, and only Motion JPEG in AVI can be decoded without it")]
    NoProgram {
        /// Its name or path.
        program: String,
    },
    /// A program cannot be started.
    #[error("`{program}` cannot be started: {source}")]
    Program {
        /// Its name or path.
        program: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// No picture in the file: sound only, or sound with a cover.
    #[error("the file has no video stream")]
    NoStream,
    /// A video stream in which there is no frame.
    #[error("the video has no frames")]
    NoFrames,
    /// A damaged or unknown file.
    #[error("{reason}")]
    Damaged {
        /// What is wrong, as the decoder says it.
        reason: String,
    },
    /// Decoding took too long.
    #[error("decoding took longer than {} s", limit.as_secs_f64())]
    TimeLimit {
        /// The most time that it may take.
        limit: Duration,
    },
    /// Frames that the index knows were not decoded.
    #[error("only {decoded} of {wanted} frames can be decoded")]
    LostFrames {
        /// Frames that were asked for.
        wanted: usize,
        /// Frames that were decoded.
        decoded: usize,
    },
    /// A frame number that is too large.
    #[error("frame {number} of a video of {frames} frames")]
    NoSuchFrame {
        /// The number, from 0.
        number: usize,
        /// How many frames there are.
        frames: usize,
    },
    /// One frame cannot be decoded.
    #[error("frame {number}: {source}")]
    Frame {
        /// Its number, from 0.
        number: usize,
        /// The reason.
        #[source]
        source: DecodeError,
    },
}

impl VideoError {
    /// Whether the cause is a program that is not installed, and not the file.
    pub fn is_missing_program(&self) -> bool {
        matches!(self, Self::NoProgram { .. } | Self::Program { .. })
    }

    /// What the user can do about the file.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoProgram { .. } => Some(
                "install the package `ffmpeg` (apt-get install ffmpeg, brew install ffmpeg), or convert the videos to \
                 Motion JPEG in AVI: ffmpeg -i in.mp4 -c:v mjpeg -q:v 3 out.avi",
            ),
            Self::Empty => FileKind::Empty.hint(Wanted::Video),
            Self::OtherKind { kind } => kind.hint(Wanted::Video),
            Self::Frame { source, .. } | Self::Picture { source, .. } => source.hint(),
            Self::TimeLimit { .. } => {
                Some("convert the video to a codec that decodes faster, or raise the limit")
            }
            _ => None,
        }
    }
}

impl From<io::Error> for VideoError {
    fn from(source: io::Error) -> Self {
        Self::Io { source }
    }
}
