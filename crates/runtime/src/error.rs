//! The error type of this crate.

use mutualnet_core::{Precision, Subnet};

use crate::Isa;

/// Why a bundle cannot be executed, or why a call on a session fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model was not prepared for a precision.
    #[error("the model is not prepared for {precision}")]
    Precision {
        /// The precision asked for.
        precision: Precision,
        /// Those that it is prepared for.
        prepared: Vec<Precision>,
    },
    /// There is no precision to prepare a model for.
    #[error("a model needs at least one precision")]
    NoPrecisions,
    /// A layer has no kernel.
    #[error("`{what}` is not supported on the run side, at `{path}`")]
    Unsupported {
        /// The operation, or the setting of it that is not supported.
        what: String,
        /// Path of the node.
        path: String,
    },
    /// The query table is empty.
    #[error("the bundle's query table has no rows, so there is nothing to run")]
    NoRows,
    /// A weight is missing or has the wrong shape.
    #[error("{}", weight_message(name, expected, got.as_deref()))]
    Weight {
        /// Name of the weight.
        name: String,
        /// Its shape at full width.
        expected: Vec<usize>,
        /// Its shape in the bundle; `None` if it is missing.
        got: Option<Vec<usize>>,
    },
    /// A row has no batch-norm statistics, or their number is not that of the channels.
    #[error("the bundle has no batch-norm statistics that fit row {subnet}")]
    Statistics {
        /// The row.
        subnet: Subnet,
    },
    /// A sub-network that is not a row of the table.
    #[error("sub-network {subnet} is not a row of the query table")]
    NotARow {
        /// The requested sub-network.
        subnet: Subnet,
        /// The three nearest rows, or fewer, nearest first.
        nearest: Vec<Subnet>,
    },
    /// No row is within the budget, or no latencies were measured.
    #[error(transparent)]
    Table(#[from] mutualnet_bundle::Error),
    /// An input has the wrong length.
    #[error(
        "an input of {n} {} for row {subnet} must have {expected} numbers ({largest} at the largest resolution), got {got}",
        if subnet.input.frames.is_one() { "images" } else { "clips" }
    )]
    InputLength {
        /// Number of images or clips.
        n: usize,
        /// The row.
        subnet: Subnet,
        /// Expected length at the resolution of the row.
        expected: usize,
        /// Expected length at the largest resolution.
        largest: usize,
        /// Actual length.
        got: usize,
    },
    /// A list that the network does not have.
    #[error("the network has no list `{name}`")]
    List {
        /// The requested name.
        name: String,
    },
    /// The list `main` reads several inputs, or one whose size does not follow the row.
    #[error(
        "the network does not read one image or clip of the row's size; run it on whole clips, or its lists by name"
    )]
    NotOneImage,
    /// A list was given the wrong number of inputs.
    #[error("list `{list}` reads {expected} inputs, got {got}")]
    Inputs {
        /// Name of the list.
        list: String,
        /// How many inputs it reads.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// An input of a list has the wrong length.
    #[error("input {index} of list `{list}` must have {expected} numbers, got {got}")]
    ListInput {
        /// Name of the list.
        list: String,
        /// Which of its inputs, from 0.
        index: usize,
        /// Expected length.
        expected: usize,
        /// Actual length.
        got: usize,
    },
    /// This processor or this build does not have the instruction set.
    #[error("instruction set `{name}` is not available here")]
    Isa {
        /// The requested name.
        name: String,
        /// The available instruction sets.
        available: Vec<&'static str>,
    },
    /// There is not enough memory, or a row needs more than is allowed.
    #[error("cannot allocate memory for {numbers} numbers")]
    Memory {
        /// How many `f32`.
        numbers: usize,
    },
    /// The operating system could not start a thread.
    #[error("cannot start a thread")]
    Thread {
        /// The reason it gives.
        #[source]
        source: std::io::Error,
    },
    /// The network refuses the row.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
}

impl Error {
    /// The error for an instruction set that is not available.
    pub(crate) fn isa(name: &str) -> Self {
        let available = Isa::available().map(Isa::name).collect();
        Self::Isa { name: name.to_owned(), available }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotARow { nearest, .. } if !nearest.is_empty() => {
                let rows: Vec<_> = nearest.iter().map(ToString::to_string).collect();
                Some(format!("the nearest rows are {}", rows.join(", ")))
            }
            Self::Precision { prepared, .. } => {
                let prepared: Vec<_> = prepared.iter().map(ToString::to_string).collect();
                Some(format!("it is prepared for {}", prepared.join(" and ")))
            }
            Self::InputLength { subnet, .. } if !subnet.input.frames.is_one() => {
                Some(format!("a clip of this row has {} frames", subnet.input.frames))
            }
            Self::Statistics { .. } => Some("run `mutualnet tabulate` on the run again".to_owned()),
            Self::Table(error) => error.hint(),
            Self::Isa { available, .. } => {
                Some(format!("available instruction sets: {}", available.join(", ")))
            }
            _ => None,
        }
    }
}

fn weight_message(name: &str, expected: &[usize], got: Option<&[usize]>) -> String {
    match got {
        Some(got) => format!("weight `{name}` must have shape {expected:?}, got {got:?}"),
        None => format!("the bundle has no weight `{name}` of shape {expected:?}"),
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
