//! The one error type of this crate.

use std::path::PathBuf;

use mutualnet_core::{Budget, FileKind, Subnet, Wanted};

/// What can be wrong with a bundle, a table or a request for a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be used, with the reason and the path.
    #[error("{cause}, in `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// The operating system refused.
    #[error("cannot {action} the file: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A directory without a bundle in it.
    #[error("no {} in this directory", crate::Bundle::FILE_NAME)]
    Directory,
    /// A pipe or a device.
    #[error("not a regular file")]
    NotAFile,
    /// A file of another kind.
    #[error("not a bundle: this is {}", found.name())]
    NotABundle {
        /// What it looks like.
        found: FileKind,
    },
    /// The file ends early, or goes on too long.
    #[error("{what} should end at byte {expected}, but the file has {got} bytes")]
    Length {
        /// The part of the file.
        what: &'static str,
        /// Where that part says that it ends.
        expected: u64,
        /// Length of the file.
        got: u64,
    },
    /// A part of the file that is larger than anything sensible.
    #[error("{what} of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// The part of the file.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// A text that is not UTF-8.
    #[error("the header is not UTF-8: {source}")]
    Utf8 {
        /// Where it stops being text.
        #[source]
        source: std::str::Utf8Error,
    },
    /// A text that is not the JSON it should be.
    #[error("{what} does not read: {source}")]
    Json {
        /// The part of the file.
        what: &'static str,
        /// What and where.
        #[source]
        source: serde_json::Error,
    },
    /// A format version that this program does not know.
    #[error("{what} has format version {found}, this program reads version {supported}")]
    Version {
        /// Bundle or table.
        what: &'static str,
        /// The version of the file.
        found: String,
        /// The version of the program.
        supported: u32,
    },
    /// The bytes are not those that were written.
    #[error("checksum mismatch: the file says {recorded}, its content has {computed}")]
    Checksum {
        /// As in the file.
        recorded: String,
        /// Of the content.
        computed: String,
    },
    /// The same name twice.
    #[error("`{name}` occurs twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Something that must be there.
    #[error("`{name}` is missing")]
    Missing {
        /// Name of the tensor or metadata entry.
        name: String,
    },
    /// Something that must not be there.
    #[error("`{name}` does not belong into this file")]
    Unexpected {
        /// Name of the tensor or metadata entry.
        name: String,
    },
    /// A tensor of another type than f32.
    #[error("tensor `{name}` should be F32, is {found}")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// The type it has.
        found: String,
    },
    /// Tensor bytes that overlap, leave a gap, or are not as many as the shape needs.
    #[error("tensor `{name}` at bytes {begin} to {end}: {reason}")]
    Offsets {
        /// Name of the tensor.
        name: String,
        /// First byte.
        begin: usize,
        /// One past the last byte.
        end: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A tensor of the wrong shape.
    #[error("`{name}` should have shape {expected:?}, has {got:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// As the network needs it.
        expected: Vec<usize>,
        /// As it is.
        got: Vec<usize>,
    },
    /// A number that cannot be: not finite, or a negative variance.
    #[error("`{name}` holds {value} at {index}, {allowed}")]
    Number {
        /// Name of the tensor.
        name: String,
        /// Position in it.
        index: usize,
        /// The number.
        value: f32,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Not as many class names as outputs.
    #[error("{got} class names for a network of {expected} outputs")]
    Classes {
        /// Outputs of the network.
        expected: usize,
        /// Names given.
        got: usize,
    },
    /// Preprocessing that cannot be applied.
    #[error("preprocessing: {reason}")]
    Preprocess {
        /// Why.
        reason: &'static str,
    },
    /// A table without rows, or with too many.
    #[error("a query table has from 1 to {limit} rows, got {got}")]
    RowCount {
        /// Rows given.
        got: usize,
        /// The most that are accepted.
        limit: usize,
    },
    /// A row that cannot be.
    #[error("row {subnet}: {reason}")]
    Row {
        /// The row.
        subnet: Subnet,
        /// What is wrong.
        reason: String,
    },
    /// Statistics of a row that are missing, or of no row.
    #[error("row {subnet}: {} sets of batch-norm statistics for {expected} batch norms", got.unwrap_or(0))]
    Stats {
        /// The row.
        subnet: Subnet,
        /// Batch norms of the network; 0 when the table has no such row.
        expected: usize,
        /// Statistics given; `None` when there are none for this row.
        got: Option<usize>,
    },
    /// More right answers than answers, or none at all.
    #[error("{correct} right answers of {n} are no accuracy")]
    Accuracy {
        /// Right answers.
        correct: u64,
        /// All answers.
        n: u64,
    },
    /// The network or a sub-network is wrong.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
    /// A budget that no row fits.
    #[error("no row fits a budget of {budget}: the cheapest, {cheapest}, costs {cost}")]
    Budget {
        /// What was asked for.
        budget: Budget,
        /// The row that costs least.
        cheapest: Subnet,
        /// What it costs.
        cost: Budget,
    },
    /// A latency budget, and no latencies for it.
    #[error("the table has no latencies at {} (it has: {})", threads_text(*threads), list(available))]
    NoLatency {
        /// Thread count that was asked for; `None` for any.
        threads: Option<usize>,
        /// Thread counts that were measured.
        available: Vec<usize>,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { cause, .. } => cause.hint(),
            Self::Budget { cost: Budget::Macs(macs), .. } => {
                Some(format!("a budget of {} MACs is enough for it", macs.0))
            }
            Self::Budget { cost: Budget::Latency(time), .. } => {
                Some(format!("a budget of {}us is enough for it", time.as_nanos().div_ceil(1000)))
            }
            Self::NoLatency { available, .. } if available.is_empty() => {
                Some("give a budget in MACs, or measure with `mutualnet tabulate`".to_owned())
            }
            Self::NoLatency { available, .. } => Some(format!("use {} threads", list(available))),
            Self::Directory => Some("`mutualnet tabulate` writes the bundle of a training run".to_owned()),
            Self::NotABundle { found } => found.hint(Wanted::Bundle).map(str::to_owned),
            Self::Length { .. } | Self::Checksum { .. } => {
                Some("the file is damaged or incomplete: copy it again, or write it again".to_owned())
            }
            Self::Version { found, supported, .. } => Some(
                match found.parse::<u32>().is_ok_and(|found| found > *supported) {
                    true => "use a newer version of this program",
                    false => "write the file again with this version of the program",
                }
                .to_owned(),
            ),
            _ => None,
        }
    }
}

fn threads_text(threads: Option<usize>) -> String {
    threads.map_or("any thread count".to_owned(), |n| format!("{n} threads"))
}

fn list(numbers: &[usize]) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
