//! Reading and writing safetensors: a JSON header followed by raw numbers.
//!
//! Our own because the library accepts a name given twice, does not name the tensor at fault, and writes metadata in no
//! fixed order, while a bundle must be the same bytes each time.
//! Invariant: any safetensors reader accepts what is written here and what is accepted here.

use std::path::Path;

use mutualnet_core::Weights;

use crate::{Error, Result, storage};

mod parse;
pub(crate) use parse::{Container, header_range, parse};

mod serialize;
pub use serialize::{Numbers, PYTORCH, View, serialize};

/// The bytes of a file of weights that PyTorch reads too; the same weights give the same bytes.
pub fn to_bytes(weights: &Weights) -> Vec<u8> {
    let views = weights.iter().map(|(name, tensor)| (name.clone(), View::from(tensor)));
    serialize(&[PYTORCH].into(), &views.collect())
}

/// The weights in the bytes of a file.
///
/// # Errors
/// The bytes are not a safetensors file, or a tensor is not `F32`.
pub fn from_bytes(bytes: &[u8]) -> Result<Weights> {
    let tensors = parse(bytes)?.tensors.into_iter();
    tensors.map(|(name, entry)| entry.to_tensor(&name).map(|tensor| (name, tensor))).collect()
}

/// Writes [`to_bytes`]'s bytes atomically.
///
/// # Errors
/// The file cannot be written; the error has the path.
pub fn write(weights: &Weights, path: &Path) -> Result<()> {
    storage::write_atomically(path, &to_bytes(weights))
}

/// Reads the weights of a file.
///
/// # Errors
/// The file cannot be read or is above 4 GiB, or as [`from_bytes`]; the error has the path.
pub fn read(path: &Path) -> Result<Weights> {
    let read = || from_bytes(&storage::read(path, storage::MAX_FILE_BYTES)?);
    read().map_err(|cause: Error| storage::at(path, cause))
}
