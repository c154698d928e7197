//! Batch-norm statistics: what a bundle stores for every row besides the shared weights.

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
