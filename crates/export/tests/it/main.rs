//! Tests of exports on generated bundles, against slices taken by hand.

#![allow(clippy::unwrap_used)]

mod onnx;

use mutualnet_bundle::Bundle;
use mutualnet_export::{Error, slice, to_safetensors, write_safetensors};
use mutualnet_testkit::{Tolerance, assert_near, bundle, small_network, subnet};
use safetensors::SafeTensors;

fn sample() -> Bundle {
    bundle(small_network(), &["0.25-8", "0.5-16", "1.0-16"].map(subnet))
}

/// Element `[o, i, h, w]` by its place in the full tensor.
fn by_hand(full: &[f32], full_in: usize, shape: &[usize]) -> Vec<f32> {
    let [n_out, n_in, h, w] = shape.try_into().unwrap();
    let mut data = Vec::new();
    for (o, i) in (0..n_out).flat_map(|o| (0..n_in).map(move |i| (o, i))) {
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            data.push(full[((o * full_in + i) * h + y) * w + x]);
        }
    }
    data
}

#[test]
fn a_slice_is_the_leading_channels() {
    let full = sample();
    let row = subnet("0.5-16");
    let narrow = slice(&full, row).unwrap();
    for (name, full_in, shape) in [
        ("features.0.0.weight", 3, [16, 3, 3, 3]),
        ("features.1.body.0.weight", 1, [16, 1, 3, 3]),
        ("features.1.body.3.weight", 32, [16, 16, 1, 1]),
        ("features.2.0.weight", 32, [48, 16, 1, 1]),
    ] {
        let tensor = &narrow.weights()[name];
        assert_eq!(tensor.shape, shape, "{name}");
        let expected = by_hand(&full.weights()[name].data, full_in, &shape);
        assert_near(name, &tensor.data, &expected, Tolerance::Exact);
    }
    let scale = |bundle: &Bundle| bundle.weights()["features.0.1.weight"].data.clone();
    assert_eq!(scale(&narrow), scale(&full)[..16]);
    assert_eq!(narrow.weights()["classifier.0.weight"], full.weights()["classifier.0.weight"]);
    assert_eq!(narrow.stats(row), full.stats(row));
    assert_eq!(narrow.table().rows().len(), 1);
    assert!(narrow.table().rows()[0].pareto);
}

#[test]
fn a_slice_is_a_network_of_one_width() {
    let full = sample();
    for row in full.table().rows() {
        let narrow = slice(&full, row.subnet).unwrap();
        let widths = narrow.network().widths();
        assert_eq!((widths.smallest(), widths.full()), (row.subnet.width, row.subnet.width));
        assert_eq!(narrow.network().macs(row.subnet).unwrap(), row.macs);
        assert_eq!(narrow.classes(), full.classes());
        assert_eq!(Bundle::from_bytes(&narrow.to_bytes().unwrap()).unwrap(), narrow);
        assert_eq!(slice(&narrow, row.subnet).unwrap(), narrow, "slicing again changes nothing");
    }
    assert_eq!(slice(&full, subnet("1.0-16")).unwrap().weights(), full.weights());
}

#[test]
fn a_state_dict_has_everything_that_strict_loading_asks_for() {
    let full = sample();
    let row = subnet("0.25-8");
    let narrow = slice(&full, row).unwrap();
    let bytes = to_safetensors(&full, row).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.len(), narrow.weights().len() + 3 * narrow.network().batch_norms().count());
    let numbers = |name: &str| -> Vec<f32> {
        let bytes = read.tensor(name).unwrap().data().to_vec();
        bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    for (name, tensor) in narrow.weights() {
        assert_eq!(read.tensor(name).unwrap().shape(), tensor.shape);
        assert_near(name, &numbers(name), &tensor.data, Tolerance::Exact);
    }
    let stats = full.stats(row).unwrap();
    assert_eq!(numbers("features.0.1.running_mean"), stats[0].mean);
    assert_eq!(numbers("features.1.body.4.running_var"), stats[2].var);
    let count = read.tensor("features.0.1.num_batches_tracked").unwrap();
    assert_eq!(
        (count.dtype(), count.shape(), count.data()),
        (safetensors::Dtype::I64, &[][..], &[0_u8; 8][..])
    );
    assert_eq!(to_safetensors(&full, row).unwrap(), bytes, "the same each time");
}

#[test]
fn a_slice_exports_what_its_row_exports() {
    let full = sample();
    for row in full.table().rows() {
        let narrow = slice(&full, row.subnet).unwrap();
        assert_eq!(to_safetensors(&narrow, row.subnet).unwrap(), to_safetensors(&full, row.subnet).unwrap());
    }
}

#[test]
fn files_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("row.safetensors");
    write_safetensors(&sample(), subnet("0.5-16"), &path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), to_safetensors(&sample(), subnet("0.5-16")).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = write_safetensors(&sample(), subnet("0.5-16"), &folder.path().join("no/row")).unwrap_err();
    assert!(error.to_string().contains("no/row"), "{error}");
}

#[test]
fn only_rows_are_exported() {
    let error = slice(&sample(), subnet("0.5-8")).unwrap_err();
    assert!(matches!(error, Error::NotARow { .. }));
    assert_eq!(error.to_string(), "sub-network 0.5-8 is not a row of the query table");
    assert_eq!(error.hint().unwrap(), "the rows are 0.25-8, 0.5-16, 1.0-16");
    assert!(to_safetensors(&sample(), subnet("0.3-8")).is_err());
}
