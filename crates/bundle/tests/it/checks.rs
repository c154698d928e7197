//! Parts that do not fit together are refused where the bundle is put together, not where it is used.

use mutualnet_bundle::{Bundle, BundleParts};
use mutualnet_core::{Metric, Task, Tensor};
use mutualnet_testkit::{parts, small_network, subnet};

#[track_caller]
fn refuses(change: impl FnOnce(&mut BundleParts), says: &str) {
    let mut parts = parts(small_network(), &["0.25-8", "1.0-16"].map(subnet));
    change(&mut parts);
    let error = Bundle::new(parts).unwrap_err().to_string();
    assert!(error.contains(says), "expected `{says}` in: {error}");
}

#[test]
fn weights() {
    let name = "features.0.0.weight";
    refuses(|parts| drop(parts.weights.remove(name)), "`features.0.0.weight` is missing");
    refuses(|parts| drop(parts.weights.insert("x".into(), Tensor::default())), "`x` is not expected");
    refuses(|parts| parts.weights.get_mut(name).unwrap().shape[0] = 31, "expected [32, 3, 3, 3]");
    refuses(|parts| parts.weights.get_mut(name).unwrap().data.clear(), "expected [32, 3, 3, 3]");
    refuses(|parts| parts.weights.get_mut(name).unwrap().data[5] = f32::NAN, "has NaN at index 5");
}

#[test]
fn statistics() {
    let row = subnet("0.25-8");
    refuses(|parts| drop(parts.stats.remove(&row)), "row 0.25-8: 0 sets of batch-norm statistics for 4");
    refuses(|parts| drop(parts.stats.get_mut(&row).unwrap().pop()), "3 sets of batch-norm statistics for 4");
    refuses(|parts| drop(parts.stats.insert(subnet("0.5-8"), vec![])), "row 0.5-8");
    refuses(|parts| parts.stats.get_mut(&row).unwrap()[0].mean.truncate(7), "has shape [7], expected [8]");
    refuses(|parts| parts.stats.get_mut(&row).unwrap()[0].var[1] = -1.0, "has -1 at index 1");
}

#[test]
fn the_rest() {
    refuses(|parts| drop(parts.classes.pop()), "4 class names for a network with 5");
    refuses(|parts| parts.preprocess.mean[0] = f32::NAN, "preprocessing: mean: [NaN,0.456,0.406] must be");
    refuses(
        |parts| parts.preprocess.std = [58.4; 3],
        "preprocessing: std: [58.4,58.4,58.4] is on the scale 0–255",
    );
    let other = mutualnet_testkit::parts(small_network(), &[subnet("0.5-8")]);
    refuses(|parts| parts.table = other.table, "row 0.5-8: 0 sets of batch-norm statistics");
    refuses(|parts| parts.task = Task::Segment, "network `small` cannot segment");
    let mious = |parts: &mut BundleParts| parts.table = parts.table.clone().measuring(Metric::MeanIou);
    refuses(mious, "the table has mIoU, but the quality of the task `classify` is its accuracy");
}
