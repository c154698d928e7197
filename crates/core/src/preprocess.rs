//! How a decoded image becomes the input of a network; bundles contain this description.

use serde::{Deserialize, Serialize};

use crate::Resolution;

/// Test-time preprocessing: resize, center crop, scale to 0–1, normalize.
///
/// For a sub-network with a smaller resolution the result is resized bilinearly with aligned corners; there is no separate
/// crop.
///
/// # Source
/// `[MN-code utils/datasets.py]`, `[MN-code train.py test]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Length of the shorter side after the resize, in pixels; `None` means that of `crop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resolution>,
    /// Side of the center crop, which is the largest resolution.
    pub crop: Resolution,
    /// Mean of every color channel, on the scale 0–1.
    pub mean: [f32; 3],
    /// Standard deviation of every color channel, on the scale 0–1.
    pub std: [f32; 3],
}
