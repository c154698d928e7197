//! Why a network cannot be built, and what to do about it.
//!
//! Invariant: an unknown name is answered with the known ones.

use crate::names;

/// Why a network cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has this name.
    #[error("unknown network `{name}`")]
    Unknown {
        /// The requested name.
        name: String,
    },
    /// The output stride is not supported.
    #[error("output_stride must be 32, 16 or 8, got {stride}")]
    OutputStride {
        /// The requested stride.
        stride: u32,
    },
    /// There is no wide ResNet with this depth.
    #[error("the depth of `{name}` must be 6n + 4, from 10 to 1000, got {depth}")]
    Depth {
        /// The requested name.
        name: String,
        /// Its depth.
        depth: u32,
    },
    /// The network supports only one output stride.
    #[error("`{name}` supports only an output stride of {stride}")]
    FixedOutputStride {
        /// Name of the network.
        name: String,
        /// The output stride that it has.
        stride: u32,
    },
    /// The network supports two output strides.
    #[error("`{name}` supports only an output stride of 16 or 8")]
    SegmentStride {
        /// Name of the network.
        name: String,
    },
    /// The list of nodes is not a valid network, for example because the width range leaves a layer without channels.
    #[error(transparent)]
    Network(#[from] mutualnet_core::Error),
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => {
                let likeness = |known: &&str| strsim::jaro_winkler(known, name);
                let nearest = names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
                let all: Vec<_> = names().collect();
                Some(format!(
                    "did you mean `{nearest}`? known networks: {}, and wide ResNets of any depth 6n + 4 and widening",
                    all.join(", ")
                ))
            }
            Self::Depth { depth, .. } => {
                let nearest = (depth.saturating_sub(1).min(996) / 6 * 6 + 4).max(10);
                Some(format!("the nearest valid depth is {nearest}"))
            }
            Self::FixedOutputStride { .. } | Self::SegmentStride { .. } => {
                Some("remove `network.output_stride`".to_owned())
            }
            _ => None,
        }
    }
}
