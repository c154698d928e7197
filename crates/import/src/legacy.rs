//! PyTorch's file format before version 1.6: five pickles in a row, then the numbers of every storage.
//!
//! The authors' weights use it, and `torch.save(…, _use_new_zipfile_serialization=False)` still writes it.

use std::collections::HashMap;

use crate::content::{Content, Storages};
use crate::dtype::Dtype;
use crate::pickle::{MAX_PICKLE_BYTES, Pickle, Value};
use crate::{Error, Result};

/// 0x1950a86a20f9469cfc6c as the integer of a pickle.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// The object and the bytes of its storages.
pub(crate) fn open(bytes: &[u8]) -> Result<(Pickle<'_>, Storages<'_>)> {
    let wrong = |reason: &str| Error::Container { reason: reason.to_owned() };
    let mut rest = bytes;
    let mut next = || -> Result<Pickle<'_>> {
        let longest = rest.len().min(MAX_PICKLE_BYTES as usize);
        let pickle = Pickle::read(&rest[..longest])?;
        rest = &rest[pickle.len..];
        Ok(pickle)
    };
    let (magic, protocol, system, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if !matches!(magic.get(magic.root()), Value::Long(number) if *number == MAGIC) {
        return Err(wrong("its magic number is wrong"));
    }
    if !matches!(protocol.get(protocol.root()), Value::Int(PROTOCOL)) {
        return Err(wrong("its protocol is not 1001"));
    }
    if is_big_endian(&system) {
        return Err(wrong("it was written on a big-endian machine"));
    }
    let Value::List(keys_in_order) = keys.get(keys.root()) else {
        return Err(wrong("it has no list of storages"));
    };
    let sizes = object.storages();
    let mut storages = HashMap::new();
    for &key in keys_in_order {
        let Value::Text(key) = *keys.get(key) else {
            return Err(wrong("the key of a storage is not a string"));
        };
        let dtype: Dtype = *sizes.get(key).ok_or_else(|| wrong("it lists a storage that no tensor uses"))?;
        let Some((length, behind)) = rest.split_first_chunk::<8>() else {
            return Err(wrong("it ends before the last of its numbers"));
        };
        let length = usize::try_from(i64::from_le_bytes(*length)).ok();
        let length = length.and_then(|elements| elements.checked_mul(dtype.bytes()));
        let numbers = length.and_then(|length| behind.split_at_checked(length));
        let (numbers, behind) = numbers.ok_or_else(|| wrong("it ends before the last of its numbers"))?;
        if storages.insert(key, Content::Stored(numbers)).is_some() {
            return Err(wrong("it lists a storage twice"));
        }
        rest = behind;
    }
    Ok((object, storages))
}

fn is_big_endian(system: &Pickle<'_>) -> bool {
    let Value::Dict(entries) = system.get(system.root()) else { return false };
    entries.iter().any(|&(key, value)| {
        matches!((system.get(key), system.get(value)), (Value::Text("little_endian"), Value::Bool(false)))
    })
}
