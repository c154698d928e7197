//! Weights by name in safetensors files: what checkpoints consist of and warm starts begin with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mutualnet_bundle::{Tensor, Weights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Error, Result};

/// The weights as the bytes of a safetensors file.
pub(crate) fn to_bytes(tensors: &Weights) -> Vec<u8> {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name]);
        (name, view.expect("a tensor has as many numbers as its shape says"))
    });
    safetensors::serialize(views, None).expect("names and shapes are plain")
}

/// The weights of a file.
///
/// # Errors
/// It cannot be read, is no safetensors file, or has numbers other than `F32`.
pub(crate) fn read(path: &Path) -> Result<Weights> {
    let bytes = fs::read(path).map_err(|source| Error::read(path, source))?;
    from_bytes(&bytes).map_err(|reason| Error::Format {
        what: "safetensors file",
        reason,
        path: path.to_owned(),
    })
}

/// The weights in the bytes of a safetensors file, or why there are none.
pub(crate) fn from_bytes(bytes: &[u8]) -> std::result::Result<Weights, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let read = tensors.iter().map(|(name, view)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor `{name}` is {:?}, not F32", view.dtype()));
        }
        let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok((name.to_owned(), Tensor { shape: view.shape().to_vec(), data: numbers.collect() }))
    });
    read.collect()
}
