//! Views of storages, honest and hostile.

use super::*;
use crate::pickle::StorageRef;

fn view(elements: u64, offset: u64, shape: &[usize], stride: &[u64]) -> Result<Vec<f32>, &'static str> {
    let storage: Vec<u8> = (0..6).flat_map(|n| (n as f32).to_le_bytes()).collect();
    let view = TensorRef {
        storage: StorageRef { key: "0", dtype: Dtype::F32, elements },
        offset,
        shape: shape.to_vec(),
        stride: stride.to_vec(),
    };
    read_view(&view, &storage)
}

#[test]
fn views_in_any_order() {
    assert_eq!(view(6, 0, &[2, 3], &[3, 1]).unwrap(), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(view(6, 0, &[3, 2], &[1, 3]).unwrap(), [0., 3., 1., 4., 2., 5.]);
    assert_eq!(view(6, 1, &[2, 2], &[3, 1]).unwrap(), [1., 2., 4., 5.]);
    assert_eq!(view(6, 2, &[4], &[0]).unwrap(), [2.; 4]);
    assert_eq!(view(6, 5, &[], &[]).unwrap(), [5.]);
    assert!(view(6, 9, &[0, 3], &[3, 1]).unwrap().is_empty());
}

#[test]
fn views_beyond_their_storage() {
    for (elements, offset, shape, stride, says) in [
        (7, 0, [2, 3], [3, 1], "another length"),
        (5, 0, [2, 2], [2, 1], "another length"),
        (u64::MAX, 0, [2, 2], [2, 1], "another length"),
        (6, 1, [2, 3], [3, 1], "beyond"),
        (6, 0, [2, 3], [4, 1], "beyond"),
        (6, u64::MAX, [2, 3], [3, 1], "beyond"),
        (6, 0, [2, 2], [u64::MAX, 2], "beyond"),
        (6, 0, [7, 1], [0, 0], "more numbers"),
        (6, 0, [usize::MAX, 2], [0, 0], "more numbers"),
        (6, 0, [usize::MAX, 1], [0, 0], "more numbers"),
    ] {
        let error = view(elements, offset, &shape, &stride).unwrap_err();
        assert!(error.contains(says), "{elements} {offset} {shape:?} {stride:?}: {error}");
    }
}

#[test]
fn prefixes_are_taken_off_together() {
    let shapes = [("_orig_mod.module.a", vec![1]), ("_orig_mod.module.b", vec![1])];
    let mut state = StateDict::of_shapes(&shapes);
    state.strip_prefixes().unwrap();
    assert_eq!(state.prefix, "_orig_mod.module.");
    assert_eq!(state.tensors.iter().map(|tensor| &*tensor.name).collect::<Vec<_>>(), ["a", "b"]);
    let error = StateDict::of_shapes(&[("module.a", vec![]), ("a", vec![])]).strip_prefixes().unwrap_err();
    assert!(error.to_string().contains("`a` occurs twice"), "{error}");
}
