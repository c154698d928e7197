//! Why an image cannot be decoded, and why a file or folder of images cannot be read.
//!
//! A file that cannot be decoded is a value ([`DecodeError`]) that a data set may live with; an [`Error`] names a path.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mutualnet_core::text::shown;
use mutualnet_core::{FileKind, Wanted};

use crate::Others;
use crate::decode::MEMORY_VARIABLE;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image, or the images of a folder, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no directory at a path.
    #[error("no such directory: {}", shown(path))]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A folder without images.
    #[error("no JPEG, PNG or WebP files in {}{}", shown(path), others.but())]
    NothingFound {
        /// The folder.
        path: PathBuf,
        /// What there is in it.
        others: Others,
    },
    /// A setting that cannot be used.
    #[error("{setting}: {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Preprocessing that cannot be applied.
    #[error("preprocessing: {source}")]
    Preprocess {
        /// The reason.
        source: mutualnet_core::Error,
    },
    /// An image that was asked for by name cannot be decoded.
    #[error("cannot decode {}", shown(path))]
    Decode {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: DecodeError,
    },
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NothingFound { others, .. } => others.remedy(),
            Self::Decode { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// Why a file is not an image that we can use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file cannot be read.
    #[error("{source}")]
    Read {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A pipe, a socket or a device: reading it could wait forever.
    #[error("not a regular file")]
    NoFile,
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file has no known format.
    #[error("neither JPEG, PNG nor WebP (begins with {})", begins.escape_ascii())]
    UnknownFormat {
        /// The first bytes, at most eight.
        begins: Vec<u8>,
    },
    /// The file is of another kind than its name says.
    #[error("{}, not an image", kind.name())]
    OtherKind {
        /// What the file is.
        kind: FileKind,
    },
    /// An image of a format that is not supported.
    #[error("{}; only JPEG, PNG and WebP are supported", kind.name())]
    OtherFormat {
        /// Its format.
        kind: FileKind,
    },
    /// A file that is larger than an image may be in memory.
    #[error("the file is {mib} MiB, more than the limit of {limit_mib} MiB ({MEMORY_VARIABLE} raises it)")]
    FileTooLarge {
        /// Size of the file in MiB, rounded up.
        mib: u64,
        /// The limit in MiB.
        limit_mib: u64,
    },
    /// An image that takes more memory than the limit, refused before the memory is allocated.
    #[error(
        "{width}x{height} pixels take {mib} MiB to decode, more than the limit of {limit_mib} MiB \
         ({MEMORY_VARIABLE} raises it)"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// What decoding takes in MiB, rounded up.
        mib: u64,
        /// The limit in MiB.
        limit_mib: u64,
    },
    /// The environment variable for the limit holds something else.
    #[error("{MEMORY_VARIABLE} is {value}, not a number of MiB")]
    MemoryVariable {
        /// What it holds, quoted and escaped.
        value: String,
    },
    /// A JPEG file that is damaged, truncated or of an unsupported kind.
    #[error("JPEG: {}", one_line(source))]
    Jpeg {
        /// What the decoder says.
        #[source]
        source: libjpeg_turbo_rs::JpegError,
    },
    /// A WebP file that is damaged or truncated.
    #[error("WebP: {}", one_line(source))]
    WebP {
        /// What the decoder says.
        #[source]
        source: image_webp::DecodingError,
    },
    /// A PNG file that is damaged or truncated.
    #[error("PNG: {}", one_line(source))]
    Png {
        /// What the decoder says.
        #[source]
        source: png::DecodingError,
    },
    /// The decoder panicked, which is a bug in the decoder; but there is no image either way.
    #[error("too damaged to decode")]
    Panic,
    /// An image of colors where a mask is expected, or anything else that has no numbers of classes.
    #[error("{found}; a mask is a PNG with a palette, or in grey of at most 8 bits")]
    NoMask {
        /// What it is.
        found: String,
    },
    /// A color layout other than gray, RGB and CMYK, with or without alpha.
    #[error("{layout} is not a supported color layout")]
    Layout {
        /// The layout, as the decoder calls it.
        layout: String,
    },
}

impl DecodeError {
    /// What the user can do about the file.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OtherKind { kind } | Self::OtherFormat { kind } => kind.hint(Wanted::Image),
            Self::TooLarge { .. } => Some(
                "make the image smaller, or set the environment variable to the MiB that it takes; that much memory is \
                 needed for each thread that decodes",
            ),
            Self::NoMask { .. } => Some("save the numbers of the classes, not colors that stand for them"),
            Self::Empty => FileKind::Empty.hint(Wanted::Image),
            _ => None,
        }
    }
}

/// A decoder's message without line breaks and quotation marks, because a list has one line per file.
fn one_line(error: &dyn fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "")
}
