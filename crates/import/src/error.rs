//! The error type of this crate.

use std::path::PathBuf;

use mutualnet_core::{FileKind, Wanted};

use crate::printable;

/// Why a checkpoint cannot be imported. Names are as the file has them; messages show them through [`printable()`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The path is a directory.
    #[error("`{}` is a directory, not a checkpoint", path.display())]
    Directory {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path is a pipe or a device.
    #[error("not a regular file: `{}`", path.display())]
    NotAFile {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file is too large to be read into memory.
    #[error("`{}` is too large: {bytes} bytes, and the limit is {limit}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// The file is not a checkpoint of a known format.
    #[error("not a checkpoint: this is {}", found.name())]
    NotACheckpoint {
        /// What it looks like.
        found: FileKind,
    },
    /// The archive is protected by a password.
    #[error("entry `{}` of the archive is encrypted", printable(name))]
    Encrypted {
        /// The entry.
        name: String,
    },
    /// The archive is compressed with something other than deflate.
    #[error(
        "entry `{}` of the archive is compressed with an unsupported method (number {method})",
        printable(name)
    )]
    Compression {
        /// The entry.
        name: String,
        /// The number of the method in the format of zip files.
        method: usize,
    },
    /// The file holds a whole object instead of a dict of tensors.
    #[error("the file holds an object of the class `{}`, not a state dict", printable(class))]
    WholeObject {
        /// Module and name of the class.
        class: String,
    },
    /// The container around the pickle and the numbers is damaged, or was not made by PyTorch.
    #[error("damaged checkpoint: {reason}")]
    Container {
        /// What is wrong.
        reason: String,
    },
    /// The pickle is damaged, or contains something that no state dict does.
    #[error("cannot read the pickle at byte {at}: {reason}")]
    Pickle {
        /// Offset of the operation within the pickle.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// A name or text that is not UTF-8: the file is damaged, or not made by PyTorch.
    #[error("damaged checkpoint: {what} is not UTF-8")]
    NotUtf8 {
        /// Which text, and where.
        what: String,
        /// Where the invalid bytes begin.
        #[source]
        source: std::str::Utf8Error,
    },
    /// The pickle names something that runs code, which no checkpoint needs.
    #[error(
        "the checkpoint refers to `{}`, which would run code in Python; nothing was run here",
        printable(name)
    )]
    Forbidden {
        /// Module and name.
        name: String,
    },
    /// There are no tensors where a state dict usually is, or there are several state dicts.
    #[error("cannot find the state dict: {reason}")]
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
    /// The checkpoint has everything but the classifier.
    #[error("the checkpoint has no classifier `{prefix}{name}`")]
    NoClassifier {
        /// Its name as the checkpoint would have it.
        name: String,
        /// What the names of the other tensors begin with.
        prefix: String,
    },
    /// No tensor's name begins with the given prefix.
    #[error(
        "no tensor name in the checkpoint begins with `{}`; they begin with {}",
        printable(prefix),
        shorten(found, PREFIXES_SHOWN)
    )]
    Prefix {
        /// What was asked for.
        prefix: String,
        /// What names begin with.
        found: Vec<String>,
    },
    /// Tensors that the network needs and the checkpoint does not have.
    #[error(
        "{} of the {n_needed} tensors of {network} are not in the checkpoint (named as by {source_names}): {}{}",
        missing.len(), shorten(missing, NAMES_SHOWN), instead(present)
    )]
    Missing {
        /// The network.
        network: String,
        /// How many tensors the network has.
        n_needed: usize,
        /// The naming scheme that fits best.
        source_names: String,
        /// The names looked for.
        missing: Vec<String>,
        /// The names that the checkpoint has and the network does not.
        present: Vec<String>,
    },
    /// Tensors of the checkpoint that the network has no place for.
    #[error("{network} has no place for {} of the checkpoint's tensors: {}", unused.len(), shorten(unused, NAMES_SHOWN))]
    Unused {
        /// The network.
        network: String,
        /// Their names in the checkpoint.
        unused: Vec<String>,
    },
    /// A tensor does not have the shape that the network needs.
    #[error(
        "`{}` of the checkpoint has shape {found:?}, but `{name}` of {network} has shape {expected:?}",
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
    /// The checkpoint has a different number of classes.
    #[error("the checkpoint has {found} classes, not {expected}")]
    Classes {
        /// Number of classes in the checkpoint.
        found: usize,
        /// Number of classes that was asked for.
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
/// How many prefixes a message names.
const PREFIXES_SHOWN: usize = 8;

/// The first `n` names, printable.
pub(crate) fn shorten<T: AsRef<str>>(names: &[T], n: usize) -> String {
    let mut shown: Vec<_> = names.iter().take(n).map(|name| printable(name.as_ref())).collect();
    if names.len() > n {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn instead(present: &[String]) -> String {
    match present {
        [] => String::new(),
        names => format!("; it has {} instead", shorten(names, NAMES_SHOWN)),
    }
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        if let Self::Missing { network, .. } = self
            && let Some(mutualnet_zoo::family::Backbone { classifier, .. }) = mutualnet_zoo::backbone(network)
        {
            return Some(format!(
                "to start {network} from a classification network, import with --network {classifier} and name the \
                 file in train.init"
            ));
        }
        let text = match self {
            Self::NotACheckpoint { found: FileKind::Zip } => {
                "if the archive contains a checkpoint, unpack it first"
            }
            Self::NotACheckpoint { found: FileKind::Tar } => {
                "unpack it first; a checkpoint from PyTorch before 0.1.10 has to be saved again with a newer version"
            }
            Self::NotACheckpoint { found } => found.hint(Wanted::Checkpoint)?,
            Self::Directory { .. } => {
                "give the checkpoint in it, such as `pytorch_model.bin` or `model.safetensors`"
            }
            Self::Encrypted { .. } | Self::Compression { .. } => {
                "unpack the archive and save the weights again with `torch.save(model.state_dict(), \"weights.pt\")`"
            }
            Self::WholeObject { .. } => {
                "if you trust the file, load it in Python and save the weights alone: \
                 `torch.save(model.state_dict(), \"weights.pt\")`"
            }
            Self::Forbidden { .. } => {
                "do not load this file in Python unless you know who made it: \
                 a checkpoint that holds only a `state_dict()` refers to no such function"
            }
            Self::Shape { .. } => {
                "a network with a different largest width has different shapes: give its range with --widths"
            }
            Self::Classes { .. } => {
                "--new-head leaves the classifier out; with `train.new_head` training starts with a random one"
            }
            Self::NoClassifier { .. } => {
                "--new-head imports everything else; with `train.new_head` training starts with a random classifier"
            }
            Self::Prefix { .. } => {
                "without --prefix, the prefix is found by the names of the network's tensors"
            }
            Self::Unused { .. } => {
                "this may be a checkpoint of another network; if not, --allow-unused leaves them out"
            }
            Self::Missing { .. } => {
                "this may be a checkpoint of another network; if only names differ, --by-position matches by order"
            }
            Self::Container { .. } | Self::Pickle { .. } | Self::NotUtf8 { .. } => {
                "the file may be damaged or incomplete: download or copy it again"
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
                present: vec![name()],
            },
            Error::WholeObject { class: name() },
            Error::Encrypted { name: name() },
            Error::Prefix { prefix: name(), found: vec![name()] },
            Error::Shape {
                from: name(),
                found: vec![],
                name: "fc.weight".to_owned(),
                network: network(),
                expected: vec![],
            },
        ] {
            let told = error.to_string();
            assert!(told.contains("\\u{1b}[2J\\u{202e}xxx") && told.contains("x…"), "{told:?}");
            assert!(!told.contains(['\x1b', '\u{202e}']) && told.len() < 600, "{told:?}");
        }
    }
}
