//! The errors of the engine, which wrapped `tch` calls and the shim both create.
//!
//! Invariant: a message names the operation and the shapes of its input tensors.

use std::fmt;

use crate::Tensor;

/// Result with the engine's [`EngineError`].
pub type Result<T> = std::result::Result<T, EngineError>;

/// The shapes of an operation's inputs, in the order of its arguments.
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

/// Why an engine operation failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// libtorch reported an error for an operation on tensors.
    #[error("{op} of {shapes}: {detail}")]
    Op {
        /// The operation.
        op: &'static str,
        /// The shapes of its inputs.
        shapes: Shapes,
        /// The first line of libtorch's message.
        detail: String,
    },
    /// A call without tensors failed.
    #[error("{op}: {detail}")]
    Call {
        /// The call.
        op: &'static str,
        /// The first line of libtorch's message.
        detail: String,
    },
    /// The number of values does not match the shape.
    #[error("a tensor of shape {shape:?} needs {expected} values, got {got}")]
    Length {
        /// The requested shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The number of values given.
        got: usize,
    },
    /// A tensor has the wrong number of dimensions for an operation.
    #[error("{op} needs {expected}, got a tensor of shape {shape:?}")]
    Rank {
        /// The operation.
        op: &'static str,
        /// The shapes that it takes.
        expected: &'static str,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// A text is not the name of a device.
    #[error("unknown device `{text}`")]
    UnknownDevice {
        /// The text.
        text: String,
    },
    /// This machine or this libtorch does not have the device.
    #[error("device cuda:{index} is not available; usable CUDA devices: {available}")]
    NoSuchDevice {
        /// The requested index.
        index: usize,
        /// How many CUDA devices are usable.
        available: usize,
    },
}

impl EngineError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownDevice { .. } => Some("write cpu, cuda, or cuda:N"),
            Self::NoSuchDevice { available: 0, .. } => Some(
                "use the device cpu (train.device=cpu), or set up libtorch with CUDA: `cargo xtask setup --cuda`",
            ),
            _ => None,
        }
    }
}

/// Turns an error of libtorch into an [`EngineError`] about `op` on `inputs`.
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

/// The first line of a message from libtorch, which appends a C++ backtrace.
pub(crate) fn first_line(message: &str) -> String {
    let message = message.strip_prefix("Internal torch error: ").unwrap_or(message);
    let line = message.lines().next().unwrap_or_default();
    // gloo begins with a line of its source code: `[/path/pair.cc:538] `.
    let place = line.strip_prefix("[/").and_then(|line| line.split_once("] "));
    place.map_or(line, |(_, text)| text).to_string()
}
