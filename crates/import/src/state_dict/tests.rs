//! Views of storages, honest and hostile.

use super::*;

fn view(elements: u64, offset: u64, shape: &[usize], stride: &[u64]) -> Result<Vec<f32>, String> {
    let storage: Vec<u8> = (0..6).flat_map(|n| (n as f32).to_le_bytes()).collect();
    let storage = Some(Content::Stored(&storage));
    let view = View { storage, elements, offset, stride: stride.to_vec() };
    let (name, shape) = ("a".to_owned(), shape.to_vec());
    let stored = Stored { name, shape, dtype: Dtype::F32, data: Data::View(view) };
    let numbers = StateDict::numbers(&stored, &mut Unpacker::default());
    numbers.map(|tensor| tensor.data).map_err(|error| error.to_string())
}

#[test]
fn views_in_any_order() {
    assert_eq!(view(6, 0, &[2, 3], &[3, 1]).unwrap(), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(view(6, 0, &[3, 2], &[1, 3]).unwrap(), [0., 3., 1., 4., 2., 5.]);
    assert_eq!(view(6, 1, &[2, 2], &[3, 1]).unwrap(), [1., 2., 4., 5.]);
    assert_eq!(view(6, 2, &[4], &[0]).unwrap(), [2.; 4]);
    assert_eq!(view(6, 5, &[], &[]).unwrap(), [5.]);
    // As `torch.expand` makes them: more numbers than the storage has.
    assert_eq!(view(6, 1, &[2, 7], &[3, 0]).unwrap(), [[1.; 7], [4.; 7]].concat());
    assert!(view(6, 9, &[0, 3], &[3, 1]).unwrap().is_empty());
}

#[test]
fn views_beyond_their_storage() {
    for (elements, offset, shape, stride, says) in [
        (7, 0, [2, 3], [3, 1], "does not have the length"),
        (5, 0, [2, 2], [2, 1], "does not have the length"),
        (u64::MAX, 0, [2, 2], [2, 1], "does not have the length"),
        (6, 1, [2, 3], [3, 1], "beyond"),
        (6, 0, [2, 3], [4, 1], "beyond"),
        (6, u64::MAX, [2, 3], [3, 1], "beyond"),
        (6, 0, [2, 2], [u64::MAX, 2], "beyond"),
        (6, 0, [(1 << 26) + 1, 1], [0, 0], "too often"),
        (6, 0, [usize::MAX, 2], [0, 0], "too often"),
        (6, 0, [usize::MAX, 1], [0, 0], "too often"),
    ] {
        let error = view(elements, offset, &shape, &stride).unwrap_err();
        assert!(error.contains(says), "{elements} {offset} {shape:?} {stride:?}: {error}");
    }
}
