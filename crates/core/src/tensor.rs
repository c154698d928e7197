//! A tensor outside any engine: a shape and plain numbers.
//!
//! Separate so that files, the engine and the run side can hand weights to each other without knowing each other's
//! tensors.

use std::collections::BTreeMap;

/// A row-major tensor of `f32`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
    /// The numbers; as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// The learned tensors of a network at full width, by PyTorch's names (`features.0.0.weight`).
pub type Weights = BTreeMap<String, Tensor>;
