//! Files of unknown origin: every kind of damage is an error that says what is wrong, and nothing ever panics.

use std::sync::LazyLock;

use mutualnet_bundle::{Bundle, QueryTable};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{header, sample};

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| sample().to_bytes().unwrap());

fn container(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// The valid bundle with another header, under a checksum that is right.
fn resealed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut value, end) = header(&BYTES);
    value["__metadata__"]["sha256"] = json!("0".repeat(64));
    change(&mut value);
    let mut bytes = container(&value.to_string(), &BYTES[end..]);
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(at) = bytes.windows(64).position(|window| window == "0".repeat(64).as_bytes()) {
        bytes[at..at + 64].copy_from_slice(hex.as_bytes());
    }
    bytes
}

fn with_manifest(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    resealed(|header| {
        let manifest = &mut header["__metadata__"]["manifest"];
        let mut value: Value = serde_json::from_str(manifest.as_str().unwrap()).unwrap();
        change(&mut value);
        *manifest = json!(value.to_string());
    })
}

/// The valid bundle with other numbers in one tensor, under a checksum that is right.
fn with_number(name: &str, number: f32) -> Vec<u8> {
    let (value, end) = header(&BYTES);
    let at = end + value[name]["data_offsets"][0].as_u64().unwrap() as usize;
    let mut bytes = BYTES.clone();
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    let digest = value["__metadata__"]["sha256"].as_str().unwrap();
    let at = bytes.windows(64).position(|window| window == digest.as_bytes()).unwrap();
    bytes[at..at + 64].fill(b'0');
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[at..at + 64].copy_from_slice(hex.as_bytes());
    bytes
}

#[track_caller]
fn refuses(bytes: &[u8], says: &str) {
    let error = Bundle::from_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains(says), "expected `{says}` in: {error}");
}

#[test]
fn resealing_alone_changes_nothing() {
    assert_eq!(Bundle::from_bytes(&resealed(|_| ())).unwrap(), sample());
    assert_eq!(Bundle::from_bytes(&with_manifest(|_| ())).unwrap(), sample());
}

#[test]
fn containers_that_are_none() {
    let too_long = [&((16_u64 << 20) + 1).to_le_bytes()[..], b"{"].concat();
    refuses(&too_long, "above the limit of 16777216");
    let cut_off = [&(16_u64 << 20).to_le_bytes()[..], b"{"].concat();
    refuses(&cut_off, "the header should end at byte 16777224, but the file has 9 bytes");
    refuses(&container("{", b""), "cannot parse the header");
    refuses(&container(&"{\"a\":".repeat(1 << 20), b""), "cannot parse the header");
    refuses(&[&2_u64.to_le_bytes()[..], b"{\xfe"].concat(), "not UTF-8");
    let tensor = |name: &str, shape: &str, begin: usize, end: usize| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}")
    };
    let a = tensor("a", "[1]", 0, 4);
    for (entries, says) in [
        ([a.clone(), a.clone()], "`a` occurs twice"),
        (["\"__metadata__\":{}".into(), "\"__metadata__\":{}".into()], "`__metadata__` occurs twice"),
        ([a.clone(), "\"__metadata__\":{\"k\":\"1\",\"k\":\"1\"}".into()], "`k` occurs twice"),
        ([a.clone(), tensor("b", "[2]", 0, 8)], "overlaps"),
        ([a.clone(), tensor("b", "[1]", 5, 9)], "leaves a gap"),
        ([a.clone(), tensor("b", "[1]", 4, 8)], "should end at byte"),
        ([a.clone(), tensor("b", "[1]", 4, usize::MAX)], "should end at byte"),
        ([a.clone(), tensor("b", "[0]", 4, 3)], "ends before it begins"),
        ([a.clone(), tensor("b", "[2]", 4, 7)], "a different number of bytes"),
        ([a.clone(), tensor("b", "[4294967296,4294967296]", 4, 7)], "a different number of bytes"),
        ([a.clone(), tensor("b", "[-1]", 4, 7)], "cannot parse the header"),
    ] {
        refuses(&container(&format!("{{{}}}", entries.join(",")), &[0; 7]), says);
    }
}

/// A size is never read out of a file that is no bundle.
#[test]
fn files_of_other_kinds_are_named() {
    for (bytes, says) in [
        (b"".as_slice(), "an empty file"),
        (&[0; 64], "a file of zero bytes only"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "a PNG image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"[network]\nname = \"resnet18\"\n", "a recipe"),
        (b"PK\x03\x04 zip and more", "a zip archive"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a PyTorch checkpoint"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "an ONNX model"),
        (&u64::MAX.to_le_bytes(), "a file of unknown format"),
        (&container("[]", b""), "a file of unknown format"),
        (&container("{}", b""), "a safetensors file"),
        (&container("{\"__metadata__\":{\"format\":\"pt\"}}", b""), "a safetensors file"),
    ] {
        refuses(bytes, &format!("not a bundle: this is {says}"));
    }
    let hint = |bytes| Bundle::from_bytes(bytes).unwrap_err().hint().unwrap_or_default();
    assert!(hint(b"\xff\xd8\xff\xe0").contains("`mutualnet predict model.mnb photo.jpg`"));
    assert!(hint(b"version https://git-lfs").contains("git lfs pull"));
    assert!(hint(&container("{}", b"")).contains("mutualnet import"));
}

#[test]
fn metadata_is_checked() {
    let metadata =
        |key: &'static str, value: Value| resealed(move |header| header["__metadata__"][key] = value);
    refuses(
        &metadata("format_version", json!("3")),
        "format version 3, but this program reads versions 1 to 2",
    );
    refuses(&metadata("more", json!("")), "`__metadata__.more` is not expected");
    refuses(&metadata("manifest", json!("{")), "cannot parse the manifest");
    refuses(&metadata("manifest", json!(1)), "cannot parse the header");
    refuses(&metadata("sha256", json!("0".repeat(63) + "1")), "checksum mismatch");
    refuses(&metadata("sha256", json!("")), "checksum mismatch");
    let without = |key: &'static str| {
        resealed(move |header| drop(header["__metadata__"].as_object_mut().unwrap().remove(key)))
    };
    refuses(&without("sha256"), "`__metadata__.sha256` is missing");
    refuses(&without("manifest"), "`__metadata__.manifest` is missing");
    let newer = Bundle::from_bytes(&metadata("format_version", json!("3"))).unwrap_err();
    assert!(newer.hint().unwrap().contains("newer version"));
}

#[test]
fn tensors_are_checked() {
    let name = "features.0.0.weight";
    refuses(&resealed(|header| header[name]["dtype"] = json!("I32")), "has type I32, expected F32");
    refuses(&resealed(|header| header[name]["shape"] = json!([32, 27])), "expected [32, 3, 3, 3]");
    let rename = |from: &'static str, to: &'static str| {
        resealed(move |header| {
            let entry = header.as_object_mut().unwrap().remove(from).unwrap();
            header[to] = entry;
        })
    };
    refuses(&rename(name, "features.0.0.weights"), "`features.0.0.weight` is missing");
    let mean = "rows/0.25-8/features.0.1.running_mean";
    refuses(&rename(mean, "other"), "`rows/0.25-8/features.0.1.running_mean` is missing");
    refuses(&with_number(name, f32::NAN), "has NaN at index 0");
    refuses(&with_number(mean, f32::INFINITY), "has inf at index 0");
    refuses(
        &with_number("rows/0.25-8/features.0.1.running_var", -0.5),
        "has -0.5 at index 0: it must be finite and not negative",
    );
    assert!(Bundle::from_bytes(&with_number(mean, 0.25)).is_ok());
    let shape = resealed(|header| header[mean]["shape"] = json!([2, 4]));
    refuses(&shape, "has shape [2, 4], expected [8]");
}

#[test]
fn superfluous_tensors_are_refused() {
    let (mut value, end) = header(&BYTES);
    let n = BYTES.len() - end;
    value["extra"] = json!({"dtype": "F32", "shape": [0], "data_offsets": [n, n]});
    let entry = value["extra"].clone();
    refuses(&resealed(|header| header["extra"] = entry), "`extra` is not expected");
    let fewer = with_manifest(|manifest| drop(manifest["table"]["rows"].as_array_mut().unwrap().pop()));
    refuses(&fewer, "is not expected");
}

/// `main` reads whole images.
#[test]
fn only_lists_for_regions_have_a_number_of_them() {
    for n in [1, 1000] {
        let of_main = with_manifest(|manifest| manifest["lists"]["main"]["regions"] = json!(n));
        refuses(&of_main, "it reads whole images, so it has no number of regions");
    }
    let too_many = with_manifest(|manifest| manifest["lists"]["main"]["regions"] = json!(10_001));
    refuses(&too_many, "it must run on 1 to 10000 regions");
    let too_dear = with_manifest(|manifest| {
        for row in manifest["table"]["rows"].as_array_mut().unwrap() {
            row["backbone_macs"] = json!(u64::MAX);
        }
    });
    refuses(&too_dear, "the MACs of its backbone");
}

#[test]
fn manifests_are_checked() {
    let at = |pointer: &'static str, value: Value| {
        with_manifest(move |manifest| *manifest.pointer_mut(pointer).unwrap() = value)
    };
    for (pointer, value, says) in [
        ("/lists/main/nodes", json!([]), "2 to 10000 nodes"),
        ("/lists/main/nodes/1/inputs", json!([1]), "must come earlier"),
        ("/lists/main/nodes/1/inputs", json!([u64::MAX]), "must come earlier"),
        ("/lists/main/nodes/1/op/conv/out/base", json!(4_000_000_000_u64), "65536"),
        ("/lists/main/nodes/1/op/conv/out/ratio", json!(1e300), "ratio"),
        ("/lists/main/nodes/1/op/conv/stride", json!([0, 0, 0]), "stride"),
        ("/lists/main/widths", json!([0.5, 0.25]), "width range"),
        ("/lists/main/widths", json!([0.25, 8.0]), "has shape"),
        ("/lists/main/rank", json!("clip"), "clip: is missing, and the network reads clips"),
        ("/classes", json!(["one"]), "1 class names for a network with 5 outputs"),
        ("/preprocess/std", json!([0.1, 0.0, 0.1]), "preprocessing: std: [0.1,0,0.1] must be above 0"),
        ("/preprocess/crop", json!(8), "above the crop of 8"),
        ("/preprocess/crop", json!(0), "resolution 0 is out of range"),
        ("/table/rows", json!([]), "1 to 4096 rows"),
        ("/table/format_version", json!(9), "format version 9, but this program reads versions 1 to 2"),
        ("/table/rows/0/macs", json!(1), "the table says 1 MACs"),
        ("/table/rows/0/pareto", json!(false), "`pareto` should be true"),
        ("/table/rows/0/width", json!(0.75), "`rows/0.75-8/features.0.1.running_mean` is missing"),
        ("/table/rows/0/quality/value", json!(1.5), "the quality must be from 0 to 1"),
        ("/table/rows/0/latency/0/p99_ms", json!(-1.0), "0 <= p50 <= p99"),
        ("/table/rows/0/latency/0/threads", json!(5), "different thread counts"),
        ("/table/rows/0", json!({}), "missing field"),
    ] {
        let error = Bundle::from_bytes(&at(pointer, value.clone())).unwrap_err().to_string();
        assert!(error.contains(says), "{pointer} = {value}: {error}");
    }
    refuses(&with_manifest(|manifest| manifest["code"] = json!("x")), "unknown field `code`");
    let twice = with_manifest(|manifest| {
        let rows = manifest["table"]["rows"].as_array_mut().unwrap();
        rows.push(rows[0].clone());
    });
    refuses(&twice, "`0.25-8` occurs twice");
}

#[test]
fn tables_are_read_safely() {
    let text = sample().table().to_json();
    assert_eq!(QueryTable::from_json(&text).unwrap(), *sample().table());
    for (from, to, says) in [
        ("\"format_version\": 2", "\"format_version\": 7", "format version 7"),
        ("\"macs\"", "\"flops\"", "unknown field"),
        ("\"rows\"", "\"more\": 1, \"rows\"", "unknown field"),
        ("0.25", "NaN", "cannot parse"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text);
        let error = QueryTable::from_json(&broken).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.json");
    sample().table().write(&path).unwrap();
    assert_eq!(QueryTable::read(&path).unwrap(), *sample().table());
    std::fs::write(&path, b"\xff").unwrap();
    assert!(QueryTable::read(&path).unwrap_err().to_string().contains("table.json"));
}

#[test]
fn every_truncation_is_refused() {
    for end in (0..BYTES.len()).step_by(97).chain(BYTES.len() - 64..BYTES.len()) {
        assert!(Bundle::from_bytes(&BYTES[..end]).is_err(), "{end}");
    }
    let longer = [&BYTES[..], b"\0"].concat();
    refuses(&longer, "should end at byte");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_flipped_byte_is_found(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = BYTES.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Bundle::from_bytes(&bytes).is_err(), "byte {at} flipped by {flip}");
    }

    #[test]
    fn every_flipped_header_byte_is_found(at in 0..8192_usize, flip in 1_u8..) {
        let mut bytes = BYTES.clone();
        bytes[at] ^= flip;
        prop_assert!(Bundle::from_bytes(&bytes).is_err(), "byte {at} flipped by {flip}");
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Bundle::from_bytes(&bytes).is_err());
    }

    #[test]
    fn random_headers_never_panic(text in "\\PC{0,200}", data in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Bundle::from_bytes(&container(&text, &data)).is_err());
    }

    #[test]
    fn damaged_manifests_never_panic(at in any::<prop::sample::Index>(), with in "[0-9a-z\\[\\]{}\",.:-]{0,3}") {
        let bytes = resealed(|header| {
            let text = header["__metadata__"]["manifest"].as_str().unwrap().to_owned();
            let at = (at.index(text.len())..).find(|&at| text.is_char_boundary(at)).unwrap();
            let cut = (at + 1..).find(|&at| text.is_char_boundary(at)).unwrap();
            header["__metadata__"]["manifest"] = json!(format!("{}{with}{}", &text[..at], &text[cut..]));
        });
        // Some changes, of a class name for instance, leave a valid bundle; it must then be consistent.
        if let Ok(bundle) = Bundle::from_bytes(&bytes) {
            prop_assert_eq!(Bundle::from_bytes(&bundle.to_bytes().unwrap()).unwrap(), bundle);
        }
    }
}
