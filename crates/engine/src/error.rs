//! What can go wrong in the engine, as values.
//!
//! Separate because both the wrapped calls and the shim build these. Invariant: the message names
//! the operation and the shape of every tensor that went in.

use std::fmt;

use crate::Tensor;

/// What the engine returns.
pub type Result<T> = std::result::Result<T, EngineError>;

/// The shapes of an operation's inputs, in argument order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes(pub Vec<Vec<usize>>);

impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, shape) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " and " };
            write!(f, "{separator}{shape:?}")?;
        }
        Ok(())
    }
}

/// An engine operation that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// libtorch refused an operation.
    #[error("{op} of {shapes}: {detail}")]
    Op {
        /// The operation.
        op: &'static str,
        /// What it was given.
        shapes: Shapes,
        /// libtorch's own first line.
        detail: String,
    },
    /// A call that concerns no tensor failed.
    #[error("{op}: {detail}")]
    Call {
        /// The call.
        op: &'static str,
        /// libtorch's own first line.
        detail: String,
    },
    /// A slice does not fill the shape it was given with.
    #[error("{got} values for a tensor of shape {shape:?}, which holds {expected}")]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The number of values given.
        got: usize,
    },
    /// An operation needs another number of dimensions.
    #[error("{op} needs {expected}, got a tensor of shape {shape:?}")]
    Rank {
        /// The operation.
        op: &'static str,
        /// The shapes it takes.
        expected: &'static str,
        /// What it was given.
        shape: Vec<usize>,
    },
    /// A device name that is not one.
    #[error("unknown device `{text}`")]
    UnknownDevice {
        /// What was written.
        text: String,
    },
    /// A device that this machine or this libtorch lacks.
    #[error("device cuda:{index} was asked for, but {available} CUDA devices are usable")]
    NoSuchDevice {
        /// The index asked for.
        index: usize,
        /// How many there are.
        available: usize,
    },
}

impl EngineError {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownDevice { .. } => Some("write cpu, cuda, or cuda:N"),
            Self::NoSuchDevice { available: 0, .. } => {
                Some("use the device cpu, or set up libtorch with CUDA: `cargo xtask setup --cuda`")
            }
            _ => None,
        }
    }
}

/// Turns what libtorch said into an [`EngineError`] about `op` on `inputs`.
pub(crate) fn failed<'a, const N: usize>(
    op: &'static str,
    inputs: [&'a Tensor; N],
) -> impl FnOnce(tch::TchError) -> EngineError + 'a {
    move |error| failed_shapes(op, inputs.iter().map(|tensor| tensor.shape()).collect())(error)
}

/// As [`failed`], where no tensor is at hand.
pub(crate) fn failed_shapes(
    op: &'static str,
    shapes: Vec<Vec<usize>>,
) -> impl FnOnce(tch::TchError) -> EngineError + use<> {
    move |error| EngineError::Op { op, shapes: Shapes(shapes), detail: first_line(&error.to_string()) }
}

/// libtorch appends a C++ backtrace to its messages; the first line is the message.
pub(crate) fn first_line(message: &str) -> String {
    let message = message.strip_prefix("Internal torch error: ").unwrap_or(message);
    message.lines().next().unwrap_or_default().to_string()
}
