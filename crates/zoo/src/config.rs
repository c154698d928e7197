//! The configuration of a network.
//!
//! Separate because recipes and bundles hold it.
//! Invariant: it is the same for every family.

use mutualnet_core::WidthRange;
use serde::{Deserialize, Serialize};

use crate::OutputStride;

/// The configuration of a network, which is the same for every family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Number of classes.
    pub classes: usize,
    /// The widths that it can run at.
    pub widths: WidthRange,
    /// The factor between the sides of the input and of the last feature map: 16 or 8 for small images; `None` as
    /// published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<OutputStride>,
}
