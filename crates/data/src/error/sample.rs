//! Why one sample of a data set cannot be used.
//!
//! Separate because such a sample is left out or replaced, and does not stop anything by itself.

use std::io;
use std::path::PathBuf;

use mutualnet_core::FileKind;
use mutualnet_core::text::shown;
use mutualnet_image::DecodeError;
use mutualnet_video::VideoError;

use crate::kind::Expected;

/// Why a sample cannot be used: its image or its label.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The image cannot be decoded, or its file cannot be read.
    #[error(transparent)]
    Image(#[from] DecodeError),
    /// The video, or a frame of the clip, cannot be decoded.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// The last record of a file is incomplete.
    #[error("the record ends after {bytes} of {of} bytes")]
    CutRecord {
        /// Bytes that are there.
        bytes: usize,
        /// Bytes of a record.
        of: usize,
    },
    /// A label that is not the number of a class.
    #[error("label {label} is not a class: {}", numbers(*classes))]
    Label {
        /// The label.
        label: i64,
        /// How many classes there are.
        classes: usize,
    },
    /// The mask of an image cannot be used.
    #[error("mask {}: {source}", shown(path))]
    Mask {
        /// Its path, relative to the data set's directory.
        path: PathBuf,
        /// The reason.
        source: MaskFault,
    },
    /// An image that has another size than its annotations are for: columns and rows.
    #[error("the image is {}x{}, but its annotations are for {}x{}", found[0], found[1], annotated[0], annotated[1])]
    OtherSize {
        /// The size that it has.
        found: [u32; 2],
        /// The size that the annotations say.
        annotated: [u32; 2],
    },
    /// The bytes of a packed image have changed.
    #[error("the checksum does not match: the image has changed since it was packed")]
    Checksum,
    /// A video that is too long to be packed.
    #[error("its frames take more than {mib} MiB: cut it into parts, or scale it down with --shorter-side")]
    LargeVideo {
        /// The most that they may take.
        mib: u64,
    },
    /// Frames of a folder cannot be decoded.
    #[error("{frames} of the frames cannot be decoded: {listed}")]
    Frames {
        /// How many.
        frames: usize,
        /// The first few of them, with the reason.
        listed: String,
    },
    /// The list of frames of a packed video has bytes that nobody wrote.
    #[error("its list of frames is malformed")]
    PackedFrames,
    /// A frame of a packed video cannot be read.
    #[error("frame {number}: {source}")]
    PackedFrame {
        /// Its number, from 0.
        number: usize,
        /// The reason.
        source: Box<SampleError>,
    },
    /// A label that is not the name of a class.
    #[error("label `{label}` is not in classes.txt")]
    UnknownClass {
        /// The label.
        label: String,
    },
    /// An image in a shard that has no label.
    #[error("no label: {reason}")]
    NoLabel {
        /// Where one was looked for, or what is wrong with it.
        reason: String,
    },
    /// A damaged or truncated archive or table, or something in it that cannot be used.
    #[error("archive: {reason}")]
    Archive {
        /// What is wrong.
        reason: String,
    },
    /// Records of a Parquet or Arrow file that are read together and cannot be read, all for the same reason.
    #[error("row group: {reason}")]
    Group {
        /// What is wrong.
        reason: String,
    },
    /// The file is of another kind than its name says.
    #[error("{}, not {}", kind.name(), expected.name())]
    OtherKind {
        /// What the file is.
        kind: FileKind,
        /// What it was taken for.
        expected: Expected,
    },
}

/// Why a mask cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskFault {
    /// It does not exist.
    #[error("there is no such file")]
    Missing,
    /// It cannot be decoded, or is an image of something else than numbers.
    #[error(transparent)]
    Image(DecodeError),
    /// It is not as large as its image.
    #[error("{}x{} pixels, but the image has {}x{}", mask[0], mask[1], image[0], image[1])]
    Size {
        /// Its columns and rows.
        mask: [u32; 2],
        /// Columns and rows of the image, upright.
        image: [u32; 2],
    },
    /// A number that is neither a class nor [`IGNORE`](crate::IGNORE).
    #[error("has the value {value}, but classes have 0 to {} (255 is no class)", classes - 1)]
    Value {
        /// The number.
        value: u8,
        /// How many classes there are.
        classes: usize,
    },
}

/// Which numbers classes have.
fn numbers(classes: usize) -> String {
    match classes {
        0 | 1 => "they are numbered from 0".to_owned(),
        _ => format!("they are numbered from 0 to {}", classes - 1),
    }
}

impl SampleError {
    /// A file that the system does not read.
    pub(crate) fn read(source: io::Error) -> Self {
        Self::Image(DecodeError::Read { source })
    }

    /// Whether indexing finds it, and stops until a quarantine list names the file.
    pub(super) fn is_found_by_indexing(&self) -> bool {
        matches!(
            self,
            Self::Label { .. }
                | Self::UnknownClass { .. }
                | Self::NoLabel { .. }
                | Self::CutRecord { .. }
                | Self::Archive { .. }
                | Self::OtherKind { .. }
                | Self::Image(DecodeError::OtherKind { .. })
        )
    }

    /// What the user can do about the file.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Image(error) => error.hint(),
            Self::Video(error) => error.hint(),
            Self::OtherKind { kind, expected } => expected.hint(*kind),
            Self::Mask { source: MaskFault::Image(error), .. } => error.hint(),
            _ => None,
        }
    }
}
