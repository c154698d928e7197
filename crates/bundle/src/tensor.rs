//! Numbers outside of any engine: plain row-major f32 tensors and the statistics of batch norms.
//!
//! Separate so that both sides can hand weights over without knowing each other's tensors.

use std::collections::BTreeMap;

/// A row-major tensor of f32.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
    /// The numbers; as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// The learned tensors at full width, by the reference's names (`features.0.0.weight`).
pub type Weights = BTreeMap<String, Tensor>;

/// What one batch norm subtracts and divides by at one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BatchNormStats {
    /// Mean of every channel that the row's width uses.
    pub mean: Vec<f32>,
    /// Unbiased variance of the same channels.
    pub var: Vec<f32>,
}

/// The statistics of one row, in the order of [`mutualnet_core::Network::batch_norms`].
pub type RowStats = Vec<BatchNormStats>;
