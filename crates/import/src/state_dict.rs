//! The tensors of a checkpoint by name, whatever lies around them.
//!
//! Invariant: numbers, and the names of a pickle, stay in the file's bytes; numbers until a tensor is asked for, and then
//! its view is checked against the storage that is there.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::safetensors::{Dtype as StoredDtype, SafeTensors};
use mutualnet_core::Tensor;
use serde::Serialize;

use crate::dtype::Dtype;
use crate::pickle::{MAX_NAME_BYTES, TensorRef};
use crate::{Error, Result, archive, legacy, printable, zipped};

mod entry;
use entry::from_pickle;

/// Bytes of every storage, by key.
pub(crate) type Storages<'a> = HashMap<&'a str, &'a [u8]>;

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 8 << 30;

/// What wrappers put before every name: `DataParallel`, `torch.compile`.
const PREFIXES: &[&str] = &["module.", "_orig_mod."];

/// Most wrappers around a network.
const MAX_WRAPPERS: usize = 4;

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// PyTorch since 1.6.
    TorchZip,
    /// PyTorch before 1.6.
    TorchLegacy,
    /// safetensors, where tensors have no order.
    Safetensors,
}

impl Format {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::TorchZip => "PyTorch",
            Self::TorchLegacy => "PyTorch before 1.6",
            Self::Safetensors => "safetensors",
        }
    }
}

/// Named tensors, still in the file's bytes.
#[derive(Debug)]
pub struct StateDict<'a> {
    /// The kind of file.
    pub format: Format,
    /// The key that it was found under, if the file holds more than tensors.
    pub entry: Option<String>,
    /// Keys of further state dicts in the file.
    pub other_entries: Vec<String>,
    /// What was taken off before every name.
    pub prefix: String,
    pub(crate) tensors: Vec<Stored<'a>>,
    storages: Storages<'a>,
}

/// One tensor of a checkpoint.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: Dtype,
    data: Data<'a>,
}

#[derive(Debug)]
enum Data<'a> {
    /// As many numbers as the shape needs, checked.
    Whole(&'a [u8]),
    View(TensorRef<'a>),
}

#[cfg(test)]
impl StateDict<'static> {
    /// Names and shapes without numbers.
    pub(crate) fn of_shapes(shapes: &[(&str, Vec<usize>)]) -> Self {
        let tensors = shapes.iter().map(|(name, shape)| Stored {
            name: Cow::Owned((*name).to_owned()),
            shape: shape.clone(),
            dtype: Dtype::F32,
            data: Data::Whole(&[]),
        });
        Self {
            format: Format::TorchZip,
            entry: None,
            other_entries: vec![],
            prefix: String::new(),
            tensors: tensors.collect(),
            storages: HashMap::new(),
        }
    }
}

/// The bytes of a checkpoint file.
///
/// # Errors
/// The file cannot be read, is no regular file, or is larger than 8 GiB.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let wrong = |source| Error::File { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(wrong)?;
    // Opening a pipe would wait for its other end.
    if !found.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    if found.len() > MAX_FILE_BYTES {
        return Err(Error::TooLong { path: path.to_owned(), bytes: found.len(), limit: MAX_FILE_BYTES });
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
    let file = File::open(path).map_err(wrong)?;
    file.take(found.len()).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(bytes)
}

impl<'a> StateDict<'a> {
    /// Finds the tensors in a file's bytes; `entry` names the key to look under when there are several.
    ///
    /// Without it, what scripts call `model`, `state_dict` and the like is taken if it has more tensors than lie beside
    /// it, else the file itself, else the only dict with tensors.
    ///
    /// # Errors
    /// The file is of no known kind, damaged, hostile, or has no state dict.
    pub fn read(bytes: &'a [u8], entry: Option<&str>) -> Result<Self> {
        let mut found = if archive::is_zip(bytes) {
            let (object, storages) = zipped::open(bytes)?;
            from_pickle(Format::TorchZip, &object, storages, entry)?
        } else if legacy::is_legacy(bytes) {
            let (object, storages) = legacy::open(bytes)?;
            from_pickle(Format::TorchLegacy, &object, storages, entry)?
        } else if bytes.get(8) == Some(&b'{') {
            from_safetensors(bytes)?
        } else {
            return Err(Error::Format { reason: looks_like(bytes).to_owned() });
        };
        found.strip_prefixes()?;
        Ok(found)
    }

    fn strip_prefixes(&mut self) -> Result<()> {
        for _ in 0..MAX_WRAPPERS {
            let found =
                PREFIXES.iter().find(|prefix| self.tensors.iter().any(|t| t.name.starts_with(*prefix)));
            let Some(prefix) = found else { break };
            for tensor in &mut self.tensors {
                strip(&mut tensor.name, prefix);
            }
            self.prefix.push_str(prefix);
        }
        let mut names = HashSet::new();
        match self.tensors.iter().find(|tensor| !names.insert(&*tensor.name)) {
            Some(tensor) => Err(twice(&tensor.name)),
            None => Ok(()),
        }
    }

    /// The numbers of a tensor, row-major.
    ///
    /// # Errors
    /// Its storage is missing or too short, or a number is not finite.
    pub(crate) fn numbers(&self, stored: &Stored<'_>) -> Result<Tensor> {
        let wrong = |reason: &str| Error::Tensor { name: stored.name.to_string(), reason: reason.to_owned() };
        let data: Vec<f32> = match &stored.data {
            _ if !stored.dtype.is_float() => return Err(wrong("its numbers are integers")),
            Data::Whole(bytes) => {
                bytes.chunks_exact(stored.dtype.bytes()).map(|b| stored.dtype.to_f32(b)).collect()
            }
            Data::View(view) => {
                let storage =
                    self.storages.get(view.storage.key).ok_or_else(|| wrong("it has no numbers"))?;
                read_view(view, storage).map_err(wrong)?
            }
        };
        if data.iter().any(|number| !number.is_finite()) {
            return Err(wrong("a number is infinite or none"));
        }
        Ok(Tensor { shape: stored.shape.clone(), data })
    }
}

/// Takes `prefix` off, if it is there; a name out of a pickle stays where it is.
fn strip(name: &mut Cow<'_, str>, prefix: &str) {
    match name {
        Cow::Borrowed(name) => *name = name.strip_prefix(prefix).unwrap_or(name),
        Cow::Owned(name) if name.starts_with(prefix) => drop(name.drain(..prefix.len())),
        Cow::Owned(_) => {}
    }
}

/// The name, unless it is too long to be one.
fn checked_name(name: &str) -> Result<&str> {
    if name.len() > MAX_NAME_BYTES {
        let reason = format!("a name is longer than {MAX_NAME_BYTES} bytes");
        return Err(Error::Container { reason });
    }
    Ok(name)
}

fn twice(name: &str) -> Error {
    Error::Container { reason: format!("`{}` occurs twice", printable(name)) }
}

/// The numbers that a view sees, in the order of its axes.
fn read_view(view: &TensorRef<'_>, storage: &[u8]) -> Result<Vec<f32>, &'static str> {
    let size = view.storage.dtype.bytes();
    if view.storage.elements.checked_mul(size as u64) != Some(storage.len() as u64) {
        return Err("its storage has another length than it says");
    }
    let elements = view.shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    let elements = elements.filter(|&n| n as u64 <= view.storage.elements);
    let elements = elements.ok_or("it has more numbers than its storage")?;
    if elements == 0 {
        return Ok(vec![]);
    }
    let last =
        view.shape.iter().zip(&view.stride).try_fold(view.offset, |last, (&n, stride)| {
            last.checked_add((n as u64 - 1).checked_mul(*stride)?)
        });
    if last.is_none_or(|last| last >= view.storage.elements) {
        return Err("it reaches beyond its storage");
    }
    let mut data = Vec::with_capacity(elements);
    let mut index = vec![0; view.shape.len()];
    for _ in 0..elements {
        let at = index.iter().zip(&view.stride).map(|(&i, stride)| i as u64 * stride).sum::<u64>();
        let at = (view.offset + at) as usize * size;
        data.push(view.storage.dtype.to_f32(&storage[at..at + size]));
        for (i, n) in index.iter_mut().zip(&view.shape).rev() {
            *i += 1;
            if *i < *n {
                break;
            }
            *i = 0;
        }
    }
    Ok(data)
}

fn from_safetensors(bytes: &[u8]) -> Result<StateDict<'_>> {
    // As text: a source would be shown with the file's names as they are.
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| Error::Container { reason: printable(&error.to_string()) })?;
    let tensors = file.iter().map(|(name, view)| {
        let dtype = match view.dtype() {
            StoredDtype::F16 => Dtype::F16,
            StoredDtype::BF16 => Dtype::Bf16,
            StoredDtype::F32 => Dtype::F32,
            StoredDtype::F64 => Dtype::F64,
            _ => Dtype::Other(1),
        };
        let name = Cow::Owned(checked_name(name)?.to_owned());
        Ok(Stored { name, shape: view.shape().to_vec(), dtype, data: Data::Whole(view.data()) })
    });
    Ok(StateDict {
        format: Format::Safetensors,
        entry: None,
        other_entries: vec![],
        prefix: String::new(),
        tensors: tensors.collect::<Result<_>>()?,
        storages: HashMap::new(),
    })
}

/// What a file that is not read looks like.
fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "the file is empty",
        [0x80, ..] => "a pickle without PyTorch's header",
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file, as Keras writes",
        _ if bytes.get(257..262) == Some(b"ustar") => {
            "a tar archive, as PyTorch wrote before 0.1.10; save it again with a newer one"
        }
        _ => "it begins as none of them does",
    }
}

#[cfg(test)]
mod tests;
