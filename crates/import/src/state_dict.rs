//! The tensors of a checkpoint by name, whatever else the file holds.
//!
//! Invariant: numbers stay in the file's bytes until a tensor is asked for; then its view is checked against the storage
//! that is there. Names are short and occur once per dict, so that they take no more memory than the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::safetensors::{Dtype as StoredDtype, SafeTensors};
use mutualnet_core::{FileKind, Tensor};
use serde::Serialize;

use crate::content::{Content, Unpacker};
use crate::dtype::Dtype;
use crate::pickle::{MAX_NAME_BYTES, Pickle};
use crate::{Error, Result, legacy, printable, zipped};

mod entry;
use entry::from_pickle;

/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 8 << 30;

/// Most numbers of a tensor that repeats the numbers of a smaller storage: a classifier of 20,000 classes has as many.
const MAX_REPEATED: u64 = 1 << 26;

/// The file format of a checkpoint.
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
    /// The name that users see.
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
    /// The key that it was found under; `None` if it is the top level of the file.
    pub entry: Option<String>,
    /// Keys of further state dicts in the file.
    pub other_entries: Vec<String>,
    /// Classes and functions in the file that are not part of a state dict: they were neither run nor read.
    pub not_read: Vec<String>,
    pub(crate) tensors: Vec<Stored<'a>>,
}

/// One tensor of a checkpoint.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: Dtype,
    data: Data<'a>,
}

#[derive(Debug)]
enum Data<'a> {
    /// As many numbers as the shape needs, checked.
    Whole(&'a [u8]),
    View(View<'a>),
}

/// Some of the numbers of a storage, in some order.
#[derive(Debug)]
struct View<'a> {
    /// `None` if the file does not have it.
    storage: Option<Content<'a>>,
    /// How many numbers the storage claims to have.
    elements: u64,
    offset: u64,
    stride: Vec<u64>,
}

#[cfg(test)]
impl StateDict<'static> {
    /// Names and shapes without numbers.
    pub(crate) fn of_shapes(shapes: &[(&str, Vec<usize>)]) -> Self {
        let tensors = shapes.iter().map(|(name, shape)| Stored {
            name: (*name).to_owned(),
            shape: shape.clone(),
            dtype: Dtype::F32,
            data: Data::Whole(&[]),
        });
        Self {
            format: Format::TorchZip,
            entry: None,
            other_entries: vec![],
            not_read: vec![],
            tensors: tensors.collect(),
        }
    }
}

/// The bytes of a checkpoint file.
///
/// # Errors
/// The file cannot be read, is not a regular file, or is larger than 8 GiB.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let wrong = |source| Error::File { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(wrong)?;
    if found.is_dir() {
        return Err(Error::Directory { path: path.to_owned() });
    }
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
    /// Without it, a key that scripts use, such as `model` or `state_dict`, is taken if its dict has more tensors than
    /// the top level of the file; else the top level, if it has tensors; else the only dict with tensors.
    ///
    /// # Errors
    /// The file format is unknown, or the file is damaged, hostile, or has no state dict.
    pub fn read(bytes: &'a [u8], entry: Option<&str>) -> Result<Self> {
        match FileKind::of(bytes) {
            // Entries come in any order, so any zip archive may be a checkpoint.
            kind if bytes.starts_with(b"PK\x03\x04") && kind != FileKind::Keras => {
                let (pickle, storages) = zipped::open(bytes)?;
                from_pickle(Format::TorchZip, &Pickle::read(&pickle)?, &storages, entry)
            }
            FileKind::TorchLegacy => {
                let (object, storages) = legacy::open(bytes)?;
                from_pickle(Format::TorchLegacy, &object, &storages, entry)
            }
            FileKind::Safetensors => from_safetensors(bytes),
            found => Err(Error::NotACheckpoint { found }),
        }
    }

    /// The numbers of a tensor, row-major.
    ///
    /// # Errors
    /// Its storage is missing or too short, or a number is not finite.
    pub(crate) fn numbers(stored: &Stored<'_>, unpacker: &mut Unpacker) -> Result<Tensor> {
        let wrong = |reason: &str| Error::Tensor { name: stored.name.clone(), reason: reason.to_owned() };
        let data: Vec<f32> = match &stored.data {
            _ if !stored.dtype.is_float() => return Err(wrong("it does not hold floats")),
            Data::Whole(bytes) => {
                bytes.chunks_exact(stored.dtype.bytes()).map(|b| stored.dtype.to_f32(b)).collect()
            }
            Data::View(view) => {
                let storage =
                    view.storage.as_ref().ok_or_else(|| wrong("the file does not have its numbers"))?;
                let elements = check_view(stored, view, storage.length()).map_err(wrong)?;
                read_view(stored, view, elements, unpacker.bytes(storage)?)
            }
        };
        match data.iter().find(|number| !number.is_finite()) {
            Some(number) => Err(wrong(&format!("it holds {number}"))),
            None => Ok(Tensor { shape: stored.shape.clone(), data }),
        }
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

/// How many numbers a view has, all of them within a storage of `bytes` bytes.
fn check_view(stored: &Stored<'_>, view: &View<'_>, bytes: u64) -> Result<usize, &'static str> {
    if view.elements.checked_mul(stored.dtype.bytes() as u64) != Some(bytes) {
        return Err("its storage does not have the length that it says");
    }
    let elements = stored.shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    let elements = elements.filter(|&n| n as u64 <= view.elements.max(MAX_REPEATED));
    let elements = elements.ok_or("it repeats the numbers of its storage too often")?;
    if elements == 0 {
        return Ok(0);
    }
    let last =
        stored.shape.iter().zip(&view.stride).try_fold(view.offset, |last, (&n, stride)| {
            last.checked_add((n as u64 - 1).checked_mul(*stride)?)
        });
    if last.is_none_or(|last| last >= view.elements) {
        return Err("it reaches beyond its storage");
    }
    Ok(elements)
}

/// The numbers that a checked view sees, in the order of its axes.
fn read_view(stored: &Stored<'_>, view: &View<'_>, elements: usize, storage: &[u8]) -> Vec<f32> {
    let size = stored.dtype.bytes();
    let mut data = Vec::with_capacity(elements);
    let mut index = vec![0; stored.shape.len()];
    for _ in 0..elements {
        let at = index.iter().zip(&view.stride).map(|(&i, stride)| i as u64 * stride).sum::<u64>();
        let at = (view.offset + at) as usize * size;
        data.push(stored.dtype.to_f32(&storage[at..at + size]));
        for (i, n) in index.iter_mut().zip(&stored.shape).rev() {
            *i += 1;
            if *i < *n {
                break;
            }
            *i = 0;
        }
    }
    data
}

fn from_safetensors(bytes: &[u8]) -> Result<StateDict<'_>> {
    // As text, because a source would show the file's names unescaped.
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| Error::Container { reason: printable(&error.to_string()) })?;
    let mut views: Vec<_> = file.iter().collect();
    // The library gives them in no particular order; their place in the file is one.
    views.sort_by_key(|(name, view)| (view.data().as_ptr().addr(), *name));
    let tensors = views.into_iter().map(|(name, view)| {
        let dtype = match view.dtype() {
            StoredDtype::F16 => Dtype::F16,
            StoredDtype::BF16 => Dtype::Bf16,
            StoredDtype::F32 => Dtype::F32,
            StoredDtype::F64 => Dtype::F64,
            _ => Dtype::Other(1),
        };
        let name = checked_name(name)?.to_owned();
        Ok(Stored { name, shape: view.shape().to_vec(), dtype, data: Data::Whole(view.data()) })
    });
    Ok(StateDict {
        format: Format::Safetensors,
        entry: None,
        other_entries: vec![],
        not_read: vec![],
        tensors: tensors.collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests;
