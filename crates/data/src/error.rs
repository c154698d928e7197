//! What can go wrong between a directory and a batch.
//!
//! A broken file is a value ([`BrokenFile`]), not a reason to stop; [`Error`] is what stops.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mutualnet_core::{FileKind, Wanted};

use crate::decode::MEMORY_VARIABLE;
use crate::kind::Expected;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a data set cannot be read, loaded or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refuses a file or directory.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no memory of the kind that batches are to lie in.
    #[error("no memory for {floats} values of a batch")]
    Memory {
        /// How much was asked for.
        floats: usize,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The place where a data set should be is empty.
    #[error("no such directory: {}", path.display())]
    NoDirectory {
        /// The place.
        path: PathBuf,
    },
    /// A file where the directory of a data set should be.
    #[error("{} is a file that is no data set by itself", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// A name that does not say what the file is.
    #[error("the name of a packed data set ends in .mnpack: {}", path.display())]
    PackName {
        /// The name.
        path: PathBuf,
    },
    /// A directory without class folders.
    #[error("no class folders in {}", path.display())]
    NoClasses {
        /// The directory.
        path: PathBuf,
    },
    /// A split that CIFAR's binary files or a packed data set do not have.
    #[error("no split `{split}` in {}", path.display())]
    NoSplit {
        /// The split that was asked for.
        split: String,
        /// The directory.
        path: PathBuf,
    },
    /// A split that could be read in two ways.
    #[error("the split is there twice: {} and {}", first.display(), second.display())]
    TwoLayouts {
        /// Where it is.
        first: PathBuf,
        /// Where it is, too.
        second: PathBuf,
    },
    /// A line of a list that does not name an image and its label.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory in which nothing is an image or a file of images.
    #[error("no images in {}, and {others} other files", path.display())]
    NothingFound {
        /// The directory.
        path: PathBuf,
        /// Files that are neither.
        others: usize,
    },
    /// Classes without images.
    #[error("no images of the {classes} classes in {}", path.display())]
    NoImages {
        /// How many classes there are.
        classes: usize,
        /// The directory.
        path: PathBuf,
    },
    /// Two splits that have the same classes in another order, so their labels mean different things.
    #[error("the splits have their classes in another order: number {number} is `{first}` or `{second}`")]
    ClassOrder {
        /// The first number that differs.
        number: usize,
        /// What it is in one split.
        first: String,
        /// What it is in the other.
        second: String,
    },
    /// Two splits that do not have the same classes, so their labels mean different things.
    #[error("the splits have different classes: `{class}` is only in one of them")]
    ClassesDiffer {
        /// The first class that is missing in the other split.
        class: String,
    },
    /// A setting that cannot work.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting, as the recipe calls it.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A training split that does not fill one batch.
    #[error("a batch of {batch_size} needs more images than the {images} there are")]
    BatchTooLarge {
        /// Images per batch.
        batch_size: usize,
        /// Images in the split.
        images: usize,
    },
    /// One image that was asked for by name cannot be decoded, or a record has no usable label.
    #[error("cannot decode {}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DecodeError,
    },
    /// More files are broken than the limit allows.
    #[error("{} files cannot be decoded, more than the limit of {limit}:{}", files.len(), list(files))]
    TooManyBroken {
        /// How many are allowed.
        limit: usize,
        /// All that were found.
        files: Vec<BrokenFile>,
    },
    /// No file of a class can be decoded, so that none can stand in for another.
    #[error("no image of class `{class}` can be decoded")]
    ClassUnreadable {
        /// The class.
        class: String,
    },
    /// A loader thread panicked: our fault.
    #[error("a loader thread panicked: {message}")]
    WorkerPanic {
        /// The panic's message.
        message: String,
    },
    /// Worker threads cannot be started.
    #[error("cannot start {workers} loader threads")]
    Threads {
        /// How many were asked for.
        workers: usize,
        /// What the thread pool says.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
    /// A packed data set that cannot be read as one.
    #[error("not a whole packed data set: {}: {reason}", path.display())]
    Pack {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A data set would be written over something.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
}

const BROKEN_HINT: &str =
    "`mutualnet data check DIR` lists broken files and writes a quarantine list that loading obeys";

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoDirectory { .. } | Self::NothingFound { .. } => Some(
                "a data set is a folder with train/CLASS/*.jpg and test/CLASS/*.jpg, or one of the other layouts in \
                 docs/formats.md",
            ),
            Self::NotADirectory { .. } => Some("name the directory that it lies in"),
            Self::TwoLayouts { .. } => Some("move one of them out of the data set, or name another split"),
            Self::Line { .. } => Some("a line is the path of an image, a space, and a class number or name"),
            Self::NoSplit { .. } => {
                Some("CIFAR's binary files have `train` and `test`, a packed data set what it was made of")
            }
            Self::Decode { source, .. } => {
                source.hint().or_else(|| source.is_found_by_indexing().then_some(BROKEN_HINT))
            }
            Self::NoClasses { .. } | Self::NoImages { .. } => {
                Some("every class is a folder with its JPEG, PNG or WebP images in it")
            }
            Self::ClassesDiffer { .. } => Some(
                "give every split the same class folders, empty ones are allowed, or list the classes in classes.txt",
            ),
            Self::ClassOrder { .. } => Some("write both splits with the same list of class names"),
            Self::BatchTooLarge { .. } => Some("make the batch smaller"),
            Self::TooManyBroken { .. } => Some(
                "`mutualnet data check DIR` lists them all and leaves them out of new runs; a higher data.broken_limit \
                 lets this one go on (--resume)",
            ),
            Self::Pack { .. } => Some("pack the data set again with `mutualnet data pack`"),
            Self::NotEmpty { .. } => Some("give a new directory, or empty this one"),
            _ => None,
        }
    }

    /// Whether the fault is in this program, not in what it was given.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::WorkerPanic { .. })
    }
}

/// A file that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokenFile {
    /// Path relative to the data set.
    pub path: PathBuf,
    /// Why not, in one line.
    pub reason: String,
}

impl fmt::Display for BrokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// At most this many broken files are named in a message; a caller has the whole list.
const LISTED: usize = 20;

fn list(files: &[BrokenFile]) -> String {
    let mut text: String = files.iter().take(LISTED).map(|file| format!("\n  {file}")).collect();
    if files.len() > LISTED {
        text += &format!("\n  and {} more", files.len() - LISTED);
    }
    text
}

/// Why a file is not an image that we can use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file cannot be read.
    #[error("cannot be read: {source}")]
    Read {
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A pipe, a socket or a device: reading it could wait forever.
    #[error("not a regular file")]
    NoFile,
    /// The last record of a file is not whole.
    #[error("the record ends after {bytes} of {of} bytes")]
    CutRecord {
        /// Bytes that are there.
        bytes: usize,
        /// Bytes of a record.
        of: usize,
    },
    /// A label that is no class.
    #[error("label {label} is not one of the {classes} classes")]
    Label {
        /// The label.
        label: i64,
        /// How many classes there are.
        classes: usize,
    },
    /// The bytes of a packed image have changed.
    #[error("the checksum does not match: the image has changed since it was packed")]
    Checksum,
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
    /// A shard that is damaged or cut short, or something in it that cannot be used.
    #[error("archive: {reason}")]
    Archive {
        /// What is wrong.
        reason: String,
    },
    /// Records of a Parquet or Arrow file that are read together and cannot be read, all for the same reason.
    #[error("row group: {reason}")]
    Group {
        /// Why not.
        reason: String,
    },
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Of no known format.
    #[error("neither JPEG, PNG nor WebP (begins with {})", begins.escape_ascii())]
    UnknownFormat {
        /// The first bytes, at most eight.
        begins: Vec<u8>,
    },
    /// Of another kind than its name says.
    #[error("{}, not {}", kind.name(), expected.name())]
    OtherKind {
        /// What it is.
        kind: FileKind,
        /// What it was taken for.
        expected: Expected,
    },
    /// An image of a format that is not read.
    #[error("{}; only JPEG, PNG and WebP are read", kind.name())]
    OtherFormat {
        /// Its format.
        kind: FileKind,
    },
    /// A file that is larger than an image may be in memory.
    #[error("the file has {mib} MiB, more than the limit of {limit_mib} MiB ({MEMORY_VARIABLE} raises it)")]
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
        /// Pixels in a row.
        width: u32,
        /// Rows.
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
    /// A JPEG file that is damaged, cut short or of an unsupported kind.
    #[error("JPEG: {}", one_line(source))]
    Jpeg {
        /// What the decoder says.
        #[source]
        source: libjpeg_turbo_rs::JpegError,
    },
    /// A WebP file that is damaged or cut short.
    #[error("WebP: {}", one_line(source))]
    WebP {
        /// What the decoder says.
        #[source]
        source: image_webp::DecodingError,
    },
    /// A PNG file that is damaged or cut short.
    #[error("PNG: {}", one_line(source))]
    Png {
        /// What the decoder says.
        #[source]
        source: png::DecodingError,
    },
    /// A file at which a decoder panics, which is a fault of the decoder, but there is no image either way.
    #[error("too damaged to decode")]
    Panic,
    /// A color layout that is not one of grey, RGB, CMYK with or without alpha.
    #[error("{layout} is not a supported color layout")]
    Layout {
        /// The layout, as the decoder calls it.
        layout: String,
    },
}

impl DecodeError {
    /// Whether it shows before an image is decoded, so that it stops indexing until a quarantine list names it.
    fn is_found_by_indexing(&self) -> bool {
        matches!(
            self,
            Self::Label { .. }
                | Self::UnknownClass { .. }
                | Self::NoLabel { .. }
                | Self::CutRecord { .. }
                | Self::Archive { .. }
                | Self::OtherKind { .. }
        )
    }

    /// What the user can do about the file.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OtherKind { kind, expected } => expected.hint(*kind),
            Self::OtherFormat { kind } => kind.hint(Wanted::Image),
            Self::TooLarge { .. } => Some(
                "make the image smaller, or set the environment variable to the MiB that it takes; that much memory is \
                 needed for each thread that decodes",
            ),
            Self::Empty => FileKind::Empty.hint(Wanted::Image),
            _ => None,
        }
    }
}

/// Decoder messages hold line breaks and quotation marks; a list has one line per file.
fn one_line(error: &dyn fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "")
}
