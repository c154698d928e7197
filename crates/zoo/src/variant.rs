//! Variants of a network: which outputs it has, and what a width means for the layers behind its trunk.
//!
//! Separate because networks that segment and networks that detect have the same choices.
//! Invariant: names of parameters do not depend on the head.

use mutualnet_core::network::{ChannelRule, Conv};

use crate::layers::dense;

/// Whether a network has outputs that only training needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// All outputs.
    Training,
    /// The outputs that answer.
    Inference,
}

/// What a width means for the layers behind the trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Head {
    /// Nothing: they are the same at every width.
    #[default]
    Whole,
    /// The same as for the trunk; only the outputs keep their number.
    Slim,
}

impl Head {
    /// How many of `channels` a layer has at a width.
    pub(crate) fn rule(self, channels: u32) -> ChannelRule {
        match self {
            Self::Whole => ChannelRule::whole(channels as usize),
            Self::Slim => ChannelRule::slim(channels),
        }
    }

    /// A convolution without bias to a number of channels.
    pub(crate) fn conv(self, channels: u32, size: u32) -> Conv {
        dense(self.rule(channels), size, 1)
    }
}

/// Which variant of a network is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Its outputs.
    pub purpose: Purpose,
    /// Its head.
    pub head: Head,
}

impl From<Purpose> for Variant {
    /// With a whole head.
    fn from(purpose: Purpose) -> Self {
        Self { purpose, head: Head::Whole }
    }
}
