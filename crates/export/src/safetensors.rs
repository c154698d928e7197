//! Exports a row as a plain PyTorch state dict in a safetensors file.
//!
//! The names are those of the reference, so that a network with the row's channels loads it with `strict=True`: weights
//! and biases, and for every batch norm `running_mean`, `running_var` and `num_batches_tracked`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use mutualnet_bundle::safetensors::{Numbers, PYTORCH, View, serialize};
use mutualnet_bundle::{Bundle, write_atomically};
use mutualnet_core::Subnet;

use crate::{Result, slice};

/// The number of batches that statistics were averaged over, which PyTorch stores but inference does not use.
const NO_BATCHES: View<'static> = View { shape: Cow::Borrowed(&[]), numbers: Numbers::I64(&[0]) };

/// The bytes of a safetensors file that a plain PyTorch network with the row's channels can load.
///
/// # Errors
/// Fails if `subnet` is not a row of the table.
pub fn to_safetensors(bundle: &Bundle, subnet: Subnet) -> Result<Vec<u8>> {
    let row = slice(bundle, subnet)?;
    let weights = row.weights().iter();
    let mut tensors: BTreeMap<_, _> =
        weights.map(|(name, tensor)| (name.clone(), View::from(tensor))).collect();
    let stats = row.stats(subnet).expect("the bundle was cut to this row");
    for (id, stats) in row.network().batch_norms().zip(stats) {
        let path = &row.network().node(id).path;
        tensors.insert(format!("{path}.running_mean"), View::vector(&stats.mean));
        tensors.insert(format!("{path}.running_var"), View::vector(&stats.var));
        tensors.insert(format!("{path}.num_batches_tracked"), NO_BATCHES);
    }
    Ok(serialize(&[PYTORCH].into(), &tensors))
}

/// Writes the bytes of [`to_safetensors`] to a file. Afterwards the file is either the old or the new one, complete.
///
/// # Errors
/// Fails in the same cases as [`to_safetensors`], or if the file cannot be written.
pub fn write_safetensors(bundle: &Bundle, subnet: Subnet, path: &Path) -> Result<()> {
    Ok(write_atomically(path, &to_safetensors(bundle, subnet)?)?)
}
