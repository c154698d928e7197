//! Files of plain weights: what is written is what is read, by us and by the safetensors library.

use std::borrow::Cow;

use mutualnet_bundle::safetensors::{Numbers, PYTORCH, View, from_bytes, read, serialize, to_bytes, write};
use mutualnet_core::{Tensor, Weights};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

fn weights() -> Weights {
    let tensor = |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
    [
        ("b.weight".to_owned(), tensor(&[2, 1, 3], &[1.0, -0.0, f32::MIN_POSITIVE, 3.5, -1e30, 0.25])),
        ("a \"quoted\"\n".to_owned(), tensor(&[1], &[7.0])),
        ("scalar".to_owned(), tensor(&[], &[-2.0])),
        ("empty".to_owned(), tensor(&[0, 4], &[])),
    ]
    .into()
}

#[test]
fn files_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write(&weights(), &path).unwrap();
    assert_eq!(read(&path).unwrap(), weights());
    let error = read(&folder.path().join("none.safetensors")).unwrap_err().to_string();
    assert!(error.contains("none.safetensors"), "{error}");
}

#[test]
fn the_library_reads_the_same_tensors() {
    let bytes = to_bytes(&weights());
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()[PYTORCH.0], PYTORCH.1);
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.len(), weights().len());
    for (name, Tensor { shape, data }) in weights() {
        let view = read.tensor(&name).unwrap();
        let bytes: Vec<_> = data.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!((view.dtype(), view.shape(), view.data()), (Dtype::F32, &shape[..], &bytes[..]), "{name}");
    }
}

#[test]
fn what_the_library_writes_is_read() {
    let bytes: Vec<_> = [1.5_f32, -2.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let file = |dtype, shape| {
        let view = TensorView::new(dtype, shape, &bytes).unwrap();
        safetensors::serialize([("x", view)], None).unwrap()
    };
    let expected = Tensor { shape: vec![2, 1], data: vec![1.5, -2.0] };
    assert_eq!(from_bytes(&file(Dtype::F32, vec![2, 1])).unwrap(), [("x".to_owned(), expected)].into());
    let error = from_bytes(&file(Dtype::F16, vec![4])).unwrap_err().to_string();
    assert!(error.contains("`x`") && error.contains("F16"), "{error}");
}

#[test]
fn wide_numbers_are_aligned() {
    let floats = View { shape: Cow::Owned(vec![3]), numbers: Numbers::F32(&[1.0, 2.0, 3.0]) };
    let count = View { shape: Cow::Owned(vec![]), numbers: Numbers::I64(&[-5]) };
    let bytes = serialize(&[].into(), &[("a".to_owned(), floats), ("z".to_owned(), count)].into());
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let count = read.tensor("z").unwrap();
    assert_eq!((count.dtype(), count.data()), (Dtype::I64, &(-5_i64).to_le_bytes()[..]));
    assert_eq!((count.data().as_ptr().addr() - bytes.as_ptr().addr()) % 8, 0);
}

proptest! {
    #[test]
    fn any_weights_come_back(
        named in prop::collection::btree_map(".*", prop::collection::vec(any::<f32>(), 0..20), 0..6),
    ) {
        let tensor = |data: Vec<f32>| Tensor { shape: vec![data.len()], data };
        let weights: Weights = named.into_iter().map(|(name, data)| (name, tensor(data))).collect();
        let bytes = to_bytes(&weights);
        // Bytes, since NaN is not equal to itself.
        prop_assert_eq!(to_bytes(&from_bytes(&bytes).unwrap()), bytes);
    }
}
