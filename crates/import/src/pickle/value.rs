//! The values of a pickle, as far as state dicts need them.

use super::Global;
use crate::dtype::Dtype;

/// Index of a value in its pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(super) u32);

/// One value; the values inside it are indices into the same list.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, as its bytes.
    Long(&'a [u8]),
    Text(&'a str),
    /// Something that has no use here: a float, bytes, an object of any class.
    Opaque,
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// In the order of insertion; keys may repeat.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(StorageRef<'a>),
    Tensor(TensorRef<'a>),
}

/// A block of numbers elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StorageRef<'a> {
    pub(crate) key: &'a str,
    pub(crate) dtype: Dtype,
    /// How many numbers it claims to have.
    pub(crate) elements: u64,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorRef<'a> {
    pub(crate) storage: StorageRef<'a>,
    pub(crate) offset: u64,
    pub(crate) shape: Vec<usize>,
    pub(crate) stride: Vec<u64>,
}
