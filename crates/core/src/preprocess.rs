//! How a decoded image becomes the network's input: part of what a bundle says about itself.

use serde::{Deserialize, Serialize};

use crate::Resolution;

/// Test-time preprocessing: resize, center crop, scale to 0–1, normalize.
///
/// A sub-network of a smaller resolution gets the result shrunk bilinearly with aligned corners, not a crop of its own.
///
/// # Source
/// `[MN-code utils/datasets.py]`, `[MN-code train.py test]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Length of the shorter side after the resize, in pixels; `None` resizes it to `crop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resolution>,
    /// Side of the center crop: the largest resolution.
    pub crop: Resolution,
    /// Mean of every color channel, on the scale 0–1.
    pub mean: [f32; 3],
    /// Standard deviation of every color channel, on the scale 0–1.
    pub std: [f32; 3],
}
