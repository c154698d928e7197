//! The error type of this crate.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mutualnet_core::{Budget, FileKind, InMs, Metric, Precision, Subnet, Task, Wanted};

/// What can be wrong with a bundle, a table or the choice of a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be used, and why.
    #[error("{}", in_file(path, cause))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// The operating system reported an error.
    #[error("cannot {action} the file: {source}")]
    Io {
        /// The action that failed.
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
    /// The file is of another kind.
    #[error("not a bundle: this is {}", found.name())]
    NotABundle {
        /// What it looks like.
        found: FileKind,
    },
    /// The file is shorter or longer than its header says.
    #[error("{what} should end at byte {expected}, but the file has {got} bytes")]
    Length {
        /// The part of the file.
        what: &'static str,
        /// Where that part ends according to the header.
        expected: u64,
        /// Length of the file.
        got: u64,
    },
    /// A part of the file is above its size limit.
    #[error("{what} has {bytes} bytes, above the limit of {limit}")]
    TooLarge {
        /// The part of the file.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Text that is not UTF-8.
    #[error("the header is not UTF-8: {source}")]
    Utf8 {
        /// Where it stops being UTF-8.
        #[source]
        source: std::str::Utf8Error,
    },
    /// Text that is not the expected JSON.
    #[error("cannot parse {what}: {source}")]
    Json {
        /// The part of the file.
        what: &'static str,
        /// What is wrong, and where.
        #[source]
        source: serde_json::Error,
    },
    /// A format version that this program does not support.
    #[error("{what} has format version {found}, but this program reads versions 1 to {supported}")]
    Version {
        /// The bundle or the table.
        what: &'static str,
        /// The version of the file.
        found: String,
        /// The version of the program.
        supported: u32,
    },
    /// The content was changed after it was written.
    #[error("checksum mismatch: the file records {recorded}, but its content has {computed}")]
    Checksum {
        /// The checksum in the file.
        recorded: String,
        /// The checksum of the content.
        computed: String,
    },
    /// A name that occurs twice.
    #[error("`{name}` occurs twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A required part that is missing.
    #[error("`{name}` is missing")]
    Missing {
        /// Name of the tensor or metadata entry.
        name: String,
    },
    /// A part that the format does not have.
    #[error("`{name}` is not expected in this file")]
    Unexpected {
        /// Name of the tensor or metadata entry.
        name: String,
    },
    /// A tensor whose type is not f32.
    #[error("tensor `{name}` has type {found}, expected F32")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// Tensor data that overlap, leave a gap or do not match the shape.
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
    #[error("`{name}` has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// The shape that the network needs.
        expected: Vec<usize>,
        /// Its shape.
        got: Vec<usize>,
    },
    /// An invalid number: one that is not finite, or a negative variance.
    #[error("`{name}` has {value} at index {index}: {allowed}")]
    Number {
        /// Name of the tensor.
        name: String,
        /// Index of the number.
        index: usize,
        /// The number.
        value: f32,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The number of class names differs from the number of outputs.
    #[error("{got} class names for a network with {expected} outputs")]
    Classes {
        /// Outputs of the network.
        expected: usize,
        /// Class names.
        got: usize,
    },
    /// Preprocessing that cannot be applied.
    #[error("preprocessing: {source}")]
    Preprocess {
        /// The reason.
        source: mutualnet_core::Error,
    },
    /// A table without rows, or with too many.
    #[error("a query table has 1 to {limit} rows, got {got}")]
    RowCount {
        /// Number of rows.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// An invalid row.
    #[error("row {name}: {reason}")]
    Row {
        /// The row, by [`Row::name`](crate::Row::name).
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Batch-norm statistics that are missing, or that belong to no row.
    #[error("row {subnet}: {} sets of batch-norm statistics for {expected} batch norms", got.unwrap_or(0))]
    Stats {
        /// The row.
        subnet: Subnet,
        /// Number of batch norms in the network; 0 when the table has no such row.
        expected: usize,
        /// Number of statistics; `None` when there are none for this row.
        got: Option<usize>,
    },
    /// A table of another metric than the task's.
    #[error("the table has {got}, but the quality of the task `{task}` is its {expected}")]
    Metric {
        /// The task.
        task: Task,
        /// Its metric.
        expected: Metric,
        /// The table's metric.
        got: Metric,
    },
    /// More correct answers than answers, or no answers.
    #[error("{correct} correct out of {n} is not an accuracy")]
    Accuracy {
        /// Correct answers.
        correct: u64,
        /// All answers.
        n: u64,
    },
    /// An invalid network or sub-network.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
    /// A budget that no row fits.
    #[error("no row fits a budget of {budget}: the cheapest, {cheapest}, costs {}", cost_text(*cost, *threads))]
    Budget {
        /// The budget.
        budget: Budget,
        /// The row that costs least.
        cheapest: Subnet,
        /// What it costs.
        cost: Budget,
        /// Threads that a latency was measured with; `None` for MACs.
        threads: Option<usize>,
    },
    /// A budget for a precision in which there are no rows.
    #[error("the table has rows in {} only", list(available, "and"))]
    NoPrecision {
        /// The precisions that there are.
        available: Vec<Precision>,
    },
    /// A latency budget for a thread count that was not measured.
    #[error("the table has no latencies{}{}", for_threads(*threads), only(available))]
    NoLatency {
        /// The thread count; `None` for any.
        threads: Option<usize>,
        /// Thread counts that were measured.
        available: Vec<usize>,
    },
}

impl Error {
    /// What the operating system reported, if it did.
    pub fn io_kind(&self) -> Option<ErrorKind> {
        match self {
            Self::File { cause, .. } => cause.io_kind(),
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { cause, .. } => cause.hint(),
            Self::Budget { cost: Budget::Macs(macs), .. } => {
                Some(format!("a budget of {macs} MACs is enough for it"))
            }
            Self::Budget { cost: Budget::Latency(time), .. } => {
                Some(format!("a budget of {} ms is enough for it", InMs(*time)))
            }
            Self::NoLatency { available, .. } if available.is_empty() => {
                Some("give a budget in MACs, or run `mutualnet tabulate` to measure latencies".to_owned())
            }
            Self::NoLatency { available, .. } => Some(format!("choose {} threads", list(available, "or"))),
            Self::Directory => Some("`mutualnet tabulate` writes the bundle of a training run".to_owned()),
            Self::NotABundle { found } => found.hint(Wanted::Bundle).map(str::to_owned),
            Self::Length { .. } | Self::Checksum { .. } => {
                Some("the file is damaged or incomplete: copy it again, or create it again".to_owned())
            }
            Self::Version { found, supported, .. } => Some(
                match found.parse::<u32>().is_ok_and(|found| found > *supported) {
                    true => "use a newer version of this program",
                    false => "create the file again with this version of the program",
                }
                .to_owned(),
            ),
            _ => None,
        }
    }
}

fn in_file(path: &Path, cause: &Error) -> String {
    let path = path.display();
    match cause {
        Error::Io { action, source } => format!("cannot {action} `{path}`: {source}"),
        cause => format!("{cause}, in `{path}`"),
    }
}

/// A cost, rounded up so that it is enough as a budget.
fn cost_text(cost: Budget, threads: Option<usize>) -> String {
    match (cost, threads) {
        (Budget::Macs(macs), _) => format!("{macs} MACs"),
        (Budget::Latency(time), None) => format!("{} ms", InMs(time)),
        (Budget::Latency(time), Some(1)) => format!("{} ms (99th percentile, 1 thread)", InMs(time)),
        (Budget::Latency(time), Some(n)) => format!("{} ms (99th percentile, {n} threads)", InMs(time)),
    }
}

fn for_threads(threads: Option<usize>) -> String {
    match threads {
        None => String::new(),
        Some(1) => " for 1 thread".to_owned(),
        Some(n) => format!(" for {n} threads"),
    }
}

fn only(available: &[usize]) -> String {
    if available.is_empty() { String::new() } else { format!(", only for {}", list(available, "and")) }
}

/// `1, 2 and 4`.
fn list(items: &[impl ToString], last: &str) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    match items.split_last() {
        Some((end, begin)) if !begin.is_empty() => format!("{} {last} {end}", begin.join(", ")),
        _ => items.concat(),
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
