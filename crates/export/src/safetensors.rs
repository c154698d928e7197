//! Exports a row as a plain PyTorch state dict in a safetensors file.
//!
//! The names are those of the reference, so that a network with the row's channels loads it with `strict=True`: weights
//! and biases, and for every batch norm `running_mean`, `running_var` and `num_batches_tracked`.

use std::collections::HashMap;
use std::path::Path;

use ::safetensors::tensor::{Dtype, TensorView, serialize};
use mutualnet_bundle::Bundle;
use mutualnet_core::Subnet;

use crate::{Error, Result, slice};

/// One entry of the state dict, as bytes.
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Entry {
    fn numbers(name: String, shape: Vec<usize>, data: &[f32]) -> Self {
        let bytes = data.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F32, shape, bytes }
    }

    /// The number of batches that statistics were averaged over, which PyTorch stores but inference does not use.
    fn no_batches(name: String) -> Self {
        Self { name, dtype: Dtype::I64, shape: vec![], bytes: 0_i64.to_le_bytes().to_vec() }
    }
}

/// The bytes of a safetensors file that a plain PyTorch network with the row's channels can load.
///
/// # Errors
/// Fails if `subnet` is not a row of the table.
pub fn to_safetensors(bundle: &Bundle, subnet: Subnet) -> Result<Vec<u8>> {
    let wrong = |source| Error::Safetensors { subnet, source };
    let entries = entries(&slice(bundle, subnet)?, subnet);
    let mut views = Vec::with_capacity(entries.len());
    for entry in &entries {
        let view = TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes).map_err(wrong)?;
        views.push((entry.name.as_str(), view));
    }
    // There is only one entry, because the library writes several in no fixed order.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata)).map_err(wrong)
}

fn entries(row: &Bundle, subnet: Subnet) -> Vec<Entry> {
    let weights = row.weights().iter();
    let mut entries: Vec<_> = weights
        .map(|(name, tensor)| Entry::numbers(name.clone(), tensor.shape.clone(), &tensor.data))
        .collect();
    let stats = row.stats(subnet).expect("the bundle was cut to this row");
    for (id, stats) in row.network().batch_norms().zip(stats) {
        let path = &row.network().node(id).path;
        for (what, data) in [("running_mean", &stats.mean), ("running_var", &stats.var)] {
            entries.push(Entry::numbers(format!("{path}.{what}"), vec![data.len()], data));
        }
        entries.push(Entry::no_batches(format!("{path}.num_batches_tracked")));
    }
    entries
}

/// Writes the bytes of [`to_safetensors`] to a file. Afterwards the file is either the old or the new one, complete.
///
/// # Errors
/// Fails in the same cases as [`to_safetensors`], or if the file cannot be written.
pub fn write_safetensors(bundle: &Bundle, subnet: Subnet, path: &Path) -> Result<()> {
    let bytes = to_safetensors(bundle, subnet)?;
    Ok(mutualnet_bundle::write_atomically(path, &bytes)?)
}
