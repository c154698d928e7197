//! Imported weights as a file: safetensors with PyTorch names, which `train.init` of a recipe and PyTorch read.

use std::collections::HashMap;
use std::path::Path;

use ::safetensors::tensor::{Dtype, TensorView, serialize};
use mutualnet_bundle::Weights;

use crate::Result;

/// The bytes of the file; the same weights are always the same bytes.
pub fn to_safetensors(weights: &Weights) -> Vec<u8> {
    let bytes: Vec<_> = weights
        .iter()
        .map(|(name, tensor)| {
            (name, tensor, tensor.data.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>())
        })
        .collect();
    let views = bytes.iter().map(|(name, tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
        (*name, view.expect("a tensor has as many numbers as its shape says"))
    });
    // One entry only: the library writes several in no fixed order.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata)).expect("names and shapes are plain")
}

/// Writes [`to_safetensors`]'s bytes; afterwards there is the old file or the new one, whole.
///
/// # Errors
/// The file system refuses.
pub fn write_safetensors(weights: &Weights, path: &Path) -> Result<()> {
    Ok(mutualnet_bundle::write_atomically(path, &to_safetensors(weights))?)
}
