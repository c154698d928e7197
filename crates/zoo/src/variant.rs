//! Variants of a network: which outputs it has, and what a width means for the layers behind its backbone.
//!
//! Separate because several families have the same choices.
//! Invariant: names of parameters do not depend on the head.

use mutualnet_core::network::{ChannelRule, Conv};
use serde::{Deserialize, Serialize};

use crate::layers::dense;

/// Whether a network has outputs that only training needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// All outputs.
    Training,
    /// The outputs that answer.
    Inference,
}

/// What a width means for the layers behind the backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Head {
    /// Nothing: they are the same at every width.
    #[default]
    Whole,
    /// The same as for the backbone; only the outputs keep their number.
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
    /// The sizes of a two-stage detector; no other network has them.
    pub two_stage: TwoStage,
}

/// The sizes of the layers behind the backbone of a two-stage detector, and how many regions it looks at; torchvision's without
/// change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoStage {
    /// Channels of the feature pyramid, 1 to 4096.
    #[serde(default = "TwoStage::default_pyramid_channels")]
    pub pyramid_channels: u32,
    /// The most regions of an image that the network looks at, 1 to 10000. Training learns from as many, but at most from 512.
    #[serde(default = "TwoStage::default_regions")]
    pub regions: u32,
    /// Features of a region in the layers that look for its class, 1 to 4096.
    #[serde(default = "TwoStage::default_box_features")]
    pub box_features: u32,
    /// 3×3 convolutions of the layers that draw a mask, 0 to 64.
    #[serde(default = "TwoStage::default_mask_layers")]
    pub mask_layers: u32,
    /// Channels of these, 1 to 4096.
    #[serde(default = "TwoStage::default_mask_channels")]
    pub mask_channels: u32,
    /// Whether a batch norm is behind every convolution of the feature pyramid, in place of its bias. It makes up for what the
    /// width of the backbone changes.
    #[serde(default)]
    pub pyramid_batch_norm: bool,
}

impl TwoStage {
    fn default_pyramid_channels() -> u32 {
        256
    }

    fn default_regions() -> u32 {
        1000
    }

    fn default_box_features() -> u32 {
        1024
    }

    fn default_mask_layers() -> u32 {
        4
    }

    fn default_mask_channels() -> u32 {
        256
    }
}

impl Default for TwoStage {
    fn default() -> Self {
        Self {
            pyramid_channels: Self::default_pyramid_channels(),
            regions: Self::default_regions(),
            box_features: Self::default_box_features(),
            mask_layers: Self::default_mask_layers(),
            mask_channels: Self::default_mask_channels(),
            pyramid_batch_norm: false,
        }
    }
}

impl From<Purpose> for Variant {
    /// With a whole head, and a two-stage detector as published.
    fn from(purpose: Purpose) -> Self {
        Self { purpose, head: Head::Whole, two_stage: TwoStage::default() }
    }
}
