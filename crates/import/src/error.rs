//! The one error type of this crate.

use std::path::PathBuf;

use crate::printable;

/// Why a checkpoint cannot be imported. Names are as the file has them; messages show them [`printable()`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A folder, a pipe, a device.
    #[error("not a regular file: `{}`", path.display())]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
    },
    /// The file is too long to be read into memory.
    #[error("{bytes} bytes are above the limit of {limit}: `{}`", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The greatest length that is read.
        limit: u64,
    },
    /// The file is of another kind than those that are read.
    #[error("not a PyTorch checkpoint or safetensors file: {reason}")]
    Format {
        /// What it looks like.
        reason: String,
    },
    /// The container around pickle and numbers is damaged, or not made by PyTorch.
    #[error("damaged checkpoint: {reason}")]
    Container {
        /// What is wrong.
        reason: String,
    },
    /// The pickle is damaged, or says something that no state dict says.
    #[error("the pickle does not read at byte {at}: {reason}")]
    Pickle {
        /// Offset of the operation within the pickle.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// A name or text that is none: the file is damaged, or not made by PyTorch.
    #[error("damaged checkpoint: {what} is not UTF-8")]
    NotUtf8 {
        /// Which text, and where.
        what: String,
        /// From where on.
        #[source]
        source: std::str::Utf8Error,
    },
    /// The pickle names something that a state dict does not need. Loading it with Python could run that.
    #[error(
        "the checkpoint names `{}`, which is not part of a state dict; nothing of it was run",
        printable(name)
    )]
    Forbidden {
        /// Module and name.
        name: String,
    },
    /// The tensors are not where they usually are.
    #[error("no state dict in the checkpoint: {reason}")]
    NoStateDict {
        /// What there is instead.
        reason: String,
    },
    /// A tensor that cannot be used.
    #[error("tensor `{}` of the checkpoint: {reason}", printable(name))]
    Tensor {
        /// Its name in the checkpoint.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Tensors that the network needs and the checkpoint does not have.
    #[error(
        "{} of the {n_needed} tensors of {network} are not in the checkpoint (read with the names of {source_names}): {}",
        missing.len(), shorten(missing, NAMES_SHOWN)
    )]
    Missing {
        /// The network.
        network: String,
        /// How many tensors the network has.
        n_needed: usize,
        /// Whose names fitted best.
        source_names: String,
        /// The names looked for.
        missing: Vec<String>,
    },
    /// Tensors of the checkpoint that the network has no place for.
    #[error("{network} has no place for {} of the checkpoint's tensors: {}", unused.len(), shorten(unused, NAMES_SHOWN))]
    Unused {
        /// The network.
        network: String,
        /// Their names in the checkpoint.
        unused: Vec<String>,
    },
    /// Shapes disagree.
    #[error(
        "`{}` of the checkpoint is {found:?}, but `{name}` of {network} is {expected:?}",
        printable(from)
    )]
    Shape {
        /// Name in the checkpoint.
        from: String,
        /// Its shape there.
        found: Vec<usize>,
        /// Name in the network.
        name: String,
        /// The network.
        network: String,
        /// Its shape there.
        expected: Vec<usize>,
    },
    /// Another number of classes.
    #[error("the checkpoint has {found} classes, not {expected}")]
    Classes {
        /// In the checkpoint.
        found: usize,
        /// As asked for.
        expected: usize,
    },
    /// Tensors cannot be matched by their order.
    #[error("cannot match by position: {reason}")]
    Position {
        /// Where the orders disagree.
        reason: String,
    },
    /// The network has no such width.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
}

/// How many tensors a message names.
const NAMES_SHOWN: usize = 4;

/// The first `n` names, printable.
pub(crate) fn shorten<T: AsRef<str>>(names: &[T], n: usize) -> String {
    let mut shown: Vec<_> = names.iter().take(n).map(|name| printable(name.as_ref())).collect();
    if names.len() > n {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Forbidden { .. } => {
                "if you trust the file, load it in Python and save `model.state_dict()` alone"
            }
            Self::Shape { .. } => {
                "a network trained up to another width has other shapes: give its range with --widths"
            }
            Self::Classes { .. } => {
                "--new-head leaves the classifier out; with `train.new_head` training begins with a random one"
            }
            Self::Unused { .. } => "is it another network? Otherwise --allow-unused leaves them out",
            Self::Missing { .. } => {
                "is it another network? --new-head leaves the classifier out, --by-position matches by order instead of names"
            }
            Self::Container { .. } | Self::Pickle { .. } | Self::NotUtf8 { .. } => {
                "the file may be damaged or incomplete"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_file_are_shown_cleaned() {
        let name = || format!("\x1b[2J\u{202e}{}", "x".repeat(1000));
        let network = || "resnet18".to_owned();
        for error in [
            Error::Forbidden { name: name() },
            Error::Tensor { name: name(), reason: "it has no numbers".to_owned() },
            Error::Unused { network: network(), unused: vec![name()] },
            Error::Missing {
                network: network(),
                n_needed: 1,
                source_names: "timm".to_owned(),
                missing: vec![name()],
            },
            Error::Shape {
                from: name(),
                found: vec![],
                name: "fc.weight".to_owned(),
                network: network(),
                expected: vec![],
            },
        ] {
            let told = error.to_string();
            assert!(told.contains("?[2J?xxx") && told.contains("x…"), "{told:?}");
            assert!(!told.contains(['\x1b', '\u{202e}']) && told.len() < 500, "{told:?}");
        }
    }
}
