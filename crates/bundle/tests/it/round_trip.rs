//! What is written is what is read, by us and by any other safetensors reader.

use std::path::Path;

use mutualnet_bundle::{Bundle, BundleParts, Error, Host, Provenance, QueryTable};
use mutualnet_core::{Metric, Task, Tensor};
use mutualnet_testkit::{bundle, parts, small_network, subnet};
use proptest::prelude::*;
use safetensors::SafeTensors;

use crate::{header, sample};

#[test]
fn files_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.mnb");
    let written = sample();
    written.write(&path).unwrap();
    assert_eq!(Bundle::read(&path).unwrap(), written);
    written.write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), written.to_bytes().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn the_same_bundle_is_the_same_bytes() {
    let bytes = sample().to_bytes().unwrap();
    assert_eq!(sample().to_bytes().unwrap(), bytes);
    assert_eq!(Bundle::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
}

#[test]
fn any_safetensors_reader_can_look_inside() {
    let bundle = sample();
    let bytes = bundle.to_bytes().unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "mutualnet-bundle");
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.len(), bundle.weights().len() + 3 * 2 * bundle.network().batch_norms().count());
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    for (name, Tensor { shape, data }) in bundle.weights() {
        let tensor = read.tensor(name).unwrap();
        assert_eq!(tensor.shape(), shape);
        assert!(tensor.data().chunks(4).map(number).eq(data.iter().copied()), "{name}");
    }
    let mean = read.tensor("rows/0.25-8/features.0.1.running_mean").unwrap();
    let stats = &bundle.stats(subnet("0.25-8")).unwrap()[0];
    assert!(mean.data().chunks(4).map(number).eq(stats.mean.iter().copied()));
}

#[test]
fn the_checksum_is_what_the_page_says() {
    use sha2::{Digest, Sha256};
    let bytes = sample().to_bytes().unwrap();
    let digest = header(&bytes).0["__metadata__"]["sha256"].as_str().unwrap().to_owned();
    let at = bytes.windows(64).position(|window| window == digest.as_bytes()).unwrap();
    let mut blank = bytes.clone();
    blank[at..at + 64].fill(b'0');
    let hex: String = Sha256::digest(&blank).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, digest);
}

#[test]
fn files_that_are_no_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.mnb");
    for path in [&missing, folder.path()] {
        let error = Bundle::read(path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    assert!(matches!(
        Bundle::read(folder.path()),
        Err(Error::File { cause, .. }) if matches!(*cause, Error::Directory)
    ));
    sample().write(&folder.path().join(Bundle::FILE_NAME)).unwrap();
    assert_eq!(Bundle::read(folder.path()).unwrap(), sample());
    let error = sample().write(Path::new("/nowhere/at/all.mnb")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.mnb"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_bundle_comes_back(
        widths in prop::collection::btree_set(250_000_u32..=1_000_000, 1..4),
        side in 1_u32..40,
        class in ".*",
        text in ".*",
        seed: u64,
        mean in prop::array::uniform3(0.0_f32..=1.0),
        number: f32,
    ) {
        let subnets: Vec<_> =
            widths.into_iter().map(|w| subnet(&format!("{}-{side}", f64::from(w) / 1e6))).collect();
        let mut parts: BundleParts = parts(small_network(), &subnets);
        parts.classes[1] = class;
        parts.preprocess.mean = mean;
        let host = Host { cpu: text.clone(), cores: 3, features: vec![text.clone()], os: text.clone() };
        parts.table = parts.table.measured_on(host.clone());
        parts.provenance = Provenance { seed, commit: text, host: Some(host), ..Provenance::default() };
        let weight = &mut parts.weights.get_mut("classifier.0.bias").unwrap().data[0];
        *weight = if number.is_finite() { number } else { -0.0 };
        let bundle = Bundle::new(parts).unwrap();
        let bytes = bundle.to_bytes().unwrap();
        let read = Bundle::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes().unwrap(), bytes);
        prop_assert_eq!(read, bundle);
    }
}

#[test]
fn a_network_of_one_row_comes_back() {
    let one = bundle(small_network(), &[subnet("1.0-1")]);
    assert_eq!(Bundle::from_bytes(&one.to_bytes().unwrap()).unwrap(), one);
}

/// Both files were written by the last version that wrote format 1.
#[test]
fn format_1_is_still_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let expected = bundle(small_network(), &["0.25-8", "1.0-16"].map(subnet));
    let read = Bundle::read(&golden.join("format_1.mnb")).unwrap();
    assert_eq!((read.task(), read.table().metric()), (Task::Classify, Metric::Accuracy));
    assert_eq!(read, expected);
    assert_eq!(QueryTable::read(&golden.join("table_1.json")).unwrap(), *expected.table());
    // What is written again is of the present format.
    let again = read.to_bytes().unwrap();
    assert_eq!(header(&again).0["__metadata__"]["format_version"], "2");
    assert_eq!(Bundle::from_bytes(&again).unwrap(), expected);
}
