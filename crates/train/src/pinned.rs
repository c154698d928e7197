//! Batches for a GPU lie in pinned memory.
//!
//! Separate because only training knows both the loader and the engine.

use mutualnet_data::{BatchMemory, Floats};
use mutualnet_engine::PinnedFloats;

/// Pinned memory of the engine.
#[derive(Debug)]
pub(crate) struct PinnedMemory;

impl BatchMemory for PinnedMemory {
    fn floats(&self, len: usize) -> Result<Box<dyn Floats>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Box::new(PinnedFloats::new(len)?))
    }
}
