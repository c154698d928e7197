//! A strict parser for safetensors.
//!
//! Invariant: memory is allocated for bytes that are there, never for what a header claims.

use std::collections::BTreeMap;
use std::fmt;

use mutualnet_core::Tensor;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Error, Result};

/// Bytes before the header: its length.
pub(super) const LENGTH_BYTES: usize = 8;
/// Longest header that is read.
pub(crate) const MAX_HEADER_BYTES: u64 = 16 << 20;
pub(super) const METADATA: &str = "__metadata__";

/// A parsed file; the numbers stay where they were read.
pub(crate) struct Container<'a> {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tensors: BTreeMap<String, Entry<'a>>,
    /// The header's text.
    pub(crate) header: std::ops::Range<usize>,
}

/// One tensor of a file.
pub(crate) struct Entry<'a> {
    dtype: String,
    pub(crate) shape: Vec<usize>,
    bytes: &'a [u8],
}

impl Entry<'_> {
    /// The numbers of an f32 tensor.
    pub(crate) fn to_tensor(&self, name: &str) -> Result<Tensor> {
        if self.dtype != "F32" {
            return Err(Error::Dtype { name: name.to_owned(), found: self.dtype.clone() });
        }
        let numbers = self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(Tensor { shape: self.shape.clone(), data: numbers.collect() })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorInfo {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The header as it is, including names that are given twice.
#[derive(Default)]
struct Header {
    metadata: Option<Pairs>,
    tensors: Vec<(String, TensorInfo)>,
    /// A second `__metadata__`.
    repeated: bool,
}

struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == METADATA {
                        header.repeated |= header.metadata.replace(map.next_value()?).is_some();
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Takes a file apart without copying its numbers.
///
/// # Errors
/// The bytes are not a safetensors file: they are truncated, the header is too long or not JSON, a name occurs twice,
/// tensors overlap or leave a gap, or sizes disagree with shapes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Container<'_>> {
    let header = header_range(bytes)?;
    let text = std::str::from_utf8(&bytes[header.clone()]).map_err(|source| Error::Utf8 { source })?;
    let read: Header =
        serde_json::from_str(text).map_err(|source| Error::Json { what: "the header", source })?;
    if read.repeated {
        return Err(Error::Duplicate { name: METADATA.to_owned() });
    }
    let metadata = unique(read.metadata.map_or(Vec::new(), |pairs| pairs.0))?;
    let infos = unique(read.tensors)?;
    check_cover(&infos, bytes.len() - header.end, header.end)?;
    let data = &bytes[header.end..];
    let tensors = infos.into_iter().map(|(name, info)| {
        let [begin, end] = info.data_offsets;
        (name, Entry { dtype: info.dtype, shape: info.shape, bytes: &data[begin..end] })
    });
    Ok(Container { metadata, tensors: tensors.collect(), header })
}

pub(crate) fn header_range(bytes: &[u8]) -> Result<std::ops::Range<usize>> {
    let got = bytes.len() as u64;
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Err(Error::Length { what: "the header's length", expected: LENGTH_BYTES as u64, got });
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        return Err(Error::TooLarge { what: "a header", bytes: length, limit: MAX_HEADER_BYTES });
    }
    let expected = LENGTH_BYTES as u64 + length;
    if expected > got {
        return Err(Error::Length { what: "the header", expected, got });
    }
    Ok(LENGTH_BYTES..expected as usize)
}

fn unique<T>(pairs: Vec<(String, T)>) -> Result<BTreeMap<String, T>> {
    let mut map = BTreeMap::new();
    for (name, value) in pairs {
        if map.contains_key(&name) {
            return Err(Error::Duplicate { name });
        }
        map.insert(name, value);
    }
    Ok(map)
}

/// Every byte after the header belongs to exactly one tensor, and every tensor has the bytes its shape needs.
fn check_cover(infos: &BTreeMap<String, TensorInfo>, data_bytes: usize, header_end: usize) -> Result<()> {
    let mut in_order: Vec<_> = infos.iter().collect();
    in_order.sort_by_key(|(_, info)| info.data_offsets);
    let mut covered = 0;
    for (name, info) in in_order {
        let [begin, end] = info.data_offsets;
        let wrong = |reason| Err(Error::Offsets { name: name.clone(), begin, end, reason });
        if begin != covered {
            return wrong("it overlaps another tensor or leaves a gap");
        }
        if end < begin {
            return wrong("it ends before it begins");
        }
        if end > data_bytes {
            let expected = (header_end as u64).saturating_add(end as u64);
            return Err(Error::Length {
                what: "the last tensor",
                expected,
                got: (header_end + data_bytes) as u64,
            });
        }
        let needed = info.shape.iter().try_fold(4_usize, |bytes, &n| bytes.checked_mul(n));
        if info.dtype == "F32" && needed != Some(end - begin) {
            return wrong("its shape needs a different number of bytes");
        }
        covered = end;
    }
    if covered != data_bytes {
        let (expected, got) = ((header_end + covered) as u64, (header_end + data_bytes) as u64);
        return Err(Error::Length { what: "the last tensor", expected, got });
    }
    Ok(())
}
