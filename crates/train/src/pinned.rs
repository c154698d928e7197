//! Pinned memory for batches that go to a GPU.
//!
//! Separate because only training depends on both the loader and the engine.

use mutualnet_data::{BatchMemory, Floats};
use mutualnet_engine::PinnedFloats;

/// Memory that the engine pinned.
#[derive(Debug)]
pub(crate) struct PinnedMemory;

impl BatchMemory for PinnedMemory {
    fn floats(&self, len: usize) -> Result<Box<dyn Floats>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Box::new(PinnedFloats::new(len)?))
    }
}
