//! The one error type of this crate.

use std::path::PathBuf;

/// Why a checkpoint cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
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
    /// The pickle names something that a state dict does not need. Loading it with Python could run that.
    #[error("the checkpoint names `{name}`, which is not part of a state dict; nothing of it was run")]
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
    #[error("tensor `{name}` of the checkpoint: {reason}")]
    Tensor {
        /// Its name in the checkpoint.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Tensors that the network needs and the checkpoint does not have.
    #[error(
        "{} of the {n_needed} tensors of {network} are not in the checkpoint (read with the names of {source_names}): {}",
        missing.len(), shorten(missing)
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
    #[error("{network} has no place for {} of the checkpoint's tensors: {}", unused.len(), shorten(unused))]
    Unused {
        /// The network.
        network: String,
        /// Their names in the checkpoint.
        unused: Vec<String>,
    },
    /// Shapes disagree.
    #[error("`{from}` of the checkpoint is {found:?}, but `{name}` of {network} is {expected:?}")]
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
    /// The weights cannot be written.
    #[error(transparent)]
    Write(#[from] mutualnet_bundle::Error),
}

/// The first few names.
fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown}, …") } else { shown }
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
            Self::Container { .. } | Self::Pickle { .. } => "the file may be damaged or incomplete",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
