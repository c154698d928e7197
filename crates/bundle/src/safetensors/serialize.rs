//! Writes safetensors files; nothing else in the project does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mutualnet_core::Tensor;

use super::parse::{LENGTH_BYTES, METADATA};

/// The metadata by which PyTorch programs recognize a file as theirs.
pub const PYTORCH: (&str, &str) = ("format", "pt");

/// A tensor to write.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Sizes of the axes, outermost first.
    pub shape: Cow<'a, [usize]>,
    /// As many numbers as the product of `shape`.
    pub numbers: Numbers<'a>,
}

/// The numbers of a tensor in row-major order, with their type.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// Single-precision floats.
    F32(&'a [f32]),
    /// 64-bit integers, as counters are stored.
    I64(&'a [i64]),
}

impl Numbers<'_> {
    fn dtype(self) -> &'static str {
        match self {
            Self::F32(_) => "F32",
            Self::I64(_) => "I64",
        }
    }

    fn len(self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::I64(numbers) => numbers.len(),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32(numbers) => size_of_val(numbers),
            Self::I64(numbers) => size_of_val(numbers),
        }
    }

    fn append_to(self, bytes: &mut Vec<u8>) {
        match self {
            Self::F32(numbers) => bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
            Self::I64(numbers) => bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
        }
    }
}

impl<'a> From<&'a Tensor> for View<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self { shape: Cow::Borrowed(&tensor.shape), numbers: Numbers::F32(&tensor.data) }
    }
}

impl<'a> View<'a> {
    /// A tensor of one axis.
    pub fn vector(numbers: &'a [f32]) -> Self {
        Self { shape: Cow::Owned(vec![numbers.len()]), numbers: Numbers::F32(numbers) }
    }
}

/// The bytes of a file; the same metadata and tensors give the same bytes.
///
/// Tensors are sorted by name, 64-bit ones first, and the header is padded to 8 bytes, so that all numbers are aligned.
pub fn serialize(metadata: &BTreeMap<&str, &str>, tensors: &BTreeMap<String, View<'_>>) -> Vec<u8> {
    let json = |text: &str| serde_json::to_string(text).expect("text is JSON");
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_by_key(|(_, view)| matches!(view.numbers, Numbers::F32(_)));
    let metadata: Vec<_> =
        metadata.iter().map(|(key, text)| format!("{}:{}", json(key), json(text))).collect();
    let mut header = format!("{{\"{METADATA}\":{{{}}}", metadata.join(","));
    let mut begin = 0;
    for (name, View { shape, numbers }) in &in_order {
        assert_eq!(numbers.len(), shape.iter().product::<usize>(), "`{name}` has another shape");
        let end = begin + numbers.bytes();
        let (name, dtype) = (json(name), numbers.dtype());
        header.push_str(&format!(
            ",{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
        ));
        begin = end;
    }
    header.push('}');
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + header.len() + begin);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    for (_, view) in in_order {
        view.numbers.append_to(&mut bytes);
    }
    bytes
}
