//! Truncated, damaged and hostile files: each is an error, never a panic, and takes no memory for what is not there.

use mutualnet_bundle::safetensors;
use mutualnet_import::{Error, Matching, Rules, StateDict, import, read_file};
use proptest::prelude::*;

use crate::{AUTHORS, AUTHORS_LEGACY, HOSTILE, PLAIN, VIEWS, expected, imported, network};

#[test]
fn a_function_to_be_called_is_refused_by_name() {
    let error = StateDict::read(HOSTILE, None).unwrap_err();
    assert!(matches!(&error, Error::Forbidden { name } if name == "posix.system"), "{error}");
    assert!(error.hint().unwrap().contains("do not load this file in Python"));
}

#[test]
fn cut_off_anywhere() {
    for whole in [AUTHORS, AUTHORS_LEGACY, VIEWS, PLAIN] {
        // Every byte of the structure, some of the numbers.
        let cuts = (0..whole.len()).filter(|n| *n < 2000 || whole.len() - n < 2000 || n % 97 == 0);
        for cut in cuts {
            assert!(imported(&whole[..cut]).is_err(), "{cut} of {}", whole.len());
        }
    }
}

/// A changed byte is found by a checksum in an archive; elsewhere it may change a number, a name or the structure.
#[test]
fn changed_anywhere() {
    for (at, _) in AUTHORS.iter().enumerate().step_by(29) {
        let mut bytes = AUTHORS.to_vec();
        bytes[at] ^= 0x11;
        if let Ok(imported) = imported(&bytes) {
            assert!(imported.weights == expected(), "byte {at}");
        }
    }
    for whole in [AUTHORS_LEGACY, PLAIN] {
        for at in 0..4000 {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = whole.to_vec();
                bytes[at] ^= flip;
                drop(imported(&bytes));
            }
        }
    }
}

#[test]
fn other_files() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, says, remedy) in [
        (b"".as_slice(), "an empty file", "fetch the file again"),
        (b"\x89HDF\r\n\x1a\n........", "an HDF5 file", "torch.save"),
        (b"\x80\x02}q\x00.", "a Python pickle", "torch.save"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "an ONNX model", "torch.save"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "an HTML page", "download it again"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image", ""),
        (b"\x10\0\0\0\0\0\0\0{\"a\":\"mutualnet-bundle\"", "a MutualNet bundle", "train.init"),
        (&tar, "a tar archive", "0.1.10"),
        (b"\x1f\x8b\x08\0", "a gzip-compressed file", "unpack it first"),
    ] {
        let error = StateDict::read(bytes, None).unwrap_err();
        assert!(error.to_string() == format!("not a checkpoint: this is {says}"), "{error}");
        assert!(error.hint().unwrap_or_default().contains(remedy), "{error}: {:?}", error.hint());
    }
    assert!(refused(b"PK\x03\x04", None).contains("truncated"));
}

#[test]
fn files_that_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(read_file(folder.path()).unwrap_err(), Error::Directory { .. }));
    let error = read_file(&folder.path().join("absent.pt")).unwrap_err();
    assert!(
        matches!(&error, Error::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound),
        "{error}"
    );
    let long = folder.path().join("long.pt");
    std::fs::File::create(&long).unwrap().set_len((8 << 30) + 1).unwrap();
    assert!(matches!(read_file(&long).unwrap_err(), Error::TooLong { bytes: 8_589_934_593, .. }));
    let path = folder.path().join("a.pt");
    std::fs::write(&path, AUTHORS).unwrap();
    assert_eq!(read_file(&path).unwrap(), AUTHORS);
}

/// Operations that leave a tensor: all six numbers of the storage `0`.
const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
    X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06NtQK\x00K\x06\x85K\x01\x85\x89NtR";

/// A file of the old format: the operations of an object, and `keys` storages of six numbers, which say that they have
/// `n`.
fn legacy_of(object: &[&[u8]], keys: &[&[u8]], n: i64) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02".to_vec();
    file.extend(object.concat());
    file.extend(b".\x80\x02](");
    file.extend(keys.iter().flat_map(|key| text(key)));
    file.extend(b"e.");
    for _ in keys {
        file.extend(n.to_le_bytes());
        file.extend([0; 24]);
    }
    file
}

fn legacy(n: i64) -> Vec<u8> {
    legacy_of(&[b"}X\x01\x00\x00\x00a", TENSOR, b"s"], &[b"0"], n)
}

/// The operation that leaves a text.
fn text(text: &[u8]) -> Vec<u8> {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text].concat()
}

fn refused(file: &[u8], entry: Option<&str>) -> String {
    StateDict::read(file, entry).unwrap_err().to_string()
}

#[test]
fn storages_that_claim_too_much() {
    assert!(StateDict::read(&legacy(6), None).is_ok());
    for n in [7, 1 << 40, i64::MAX, -1, i64::MIN] {
        let error = StateDict::read(&legacy(n), None).unwrap_err().to_string();
        assert!(error.contains("ends before the last of its numbers"), "{error}");
    }
}

/// Two bytes refer to a text of any length: copied for each of them, these files would take 100 GiB.
#[test]
fn long_names_that_many_entries_have() {
    let long = vec![b'a'; 1 << 20];
    for (name, says) in [(long.as_slice(), "longer than 1024 bytes"), (b"a", "`a` occurs twice")] {
        let memo = [&text(name), b"q\x000".as_slice(), TENSOR, b"q\x010}("].concat();
        let one_dict = legacy_of(&[&memo, &b"h\x00h\x01".repeat(100_000), b"u"], &[b"0"], 6);
        let under_it = legacy_of(&[&memo, &b"h\x00}h\x00h\x01s".repeat(100_000), b"u"], &[b"0"], 6);
        for file in [one_dict, under_it] {
            assert!(refused(&file, None).contains(says), "{}", refused(&file, None));
        }
        let dict = |key: u32| [&text(key.to_string().as_bytes()), b"}h\x00h\x01s".as_slice()].concat();
        let dicts: Vec<u8> = (0..100_000).flat_map(dict).collect();
        let many_dicts = legacy_of(&[&memo, &dicts, b"u"], &[b"0"], 6);
        assert!(refused(&many_dicts, None).contains("choose one"));
        assert_eq!(StateDict::read(&many_dicts, Some("7")).is_ok(), name == b"a");
    }
    // The longest name that there may be.
    let entry = |n: usize| legacy_of(&[b"}", &text(&long[..n]), TENSOR, b"s"], &[b"0"], 6);
    assert!(StateDict::read(&entry(1024), None).is_ok());
    assert!(refused(&entry(1025), None).contains("longer than 1024 bytes"));
    let header =
        format!("{{\"{}\":{{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}}}", "a".repeat(1025));
    let safetensors = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
    assert!(refused(&safetensors, None).contains("longer than 1024 bytes"));
}

/// Hashed for each of them, this one's key would take minutes.
#[test]
fn long_keys_that_many_storages_have() {
    let long = vec![b'0'; 1 << 20];
    let id = [b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n", &*text(&long), b"NK\x06tq\x000"].concat();
    let file = legacy_of(&[&id, &b"h\x00Q0".repeat(100_000), b"}"], &[&long], 6);
    assert!(refused(&file, None).contains("longer than 1024 bytes"));
    let twice = legacy_of(&[b"}X\x01\x00\x00\x00a", TENSOR, b"s"], &[b"0", b"0"], 6);
    assert!(refused(&twice, None).contains("lists a storage twice"));
}

#[test]
fn an_entry_whose_name_is_no_text() {
    let mut archive = AUTHORS.to_vec();
    let at = archive.windows(15).rposition(|window| window == b"authors/version").unwrap();
    archive[at + 8] = 0xff;
    let error = StateDict::read(&archive, None).unwrap_err();
    assert!(matches!(&error, Error::NotUtf8 { source, .. } if source.valid_up_to() == 8), "{error}");
    assert!(error.to_string().contains("the name of an entry is not UTF-8"), "{error}");
}

/// Clears the screen, changes colors and turns the direction of text.
const PAINT: &str = "\x1b[2J\u{9b}31m\u{202e}";

#[test]
fn names_that_would_paint_the_terminal() {
    let check = |told: &str, says: &str| {
        assert!(told.contains(says) && told.contains("\\u{1b}[2J\\u{9b}31m\\u{202e}"), "{told:?}");
        assert!(!told.contains(['\x1b', '\u{9b}', '\u{202e}']) && told.len() < 4000);
    };
    // Keys and names in a pickle.
    let name = PAINT.repeat(20);
    let entry = |key: usize| {
        let key = text(format!("{name}{key}").as_bytes());
        [&key, b"}X\x01\x00\x00\x00a".as_slice(), TENSOR, b"s"].concat()
    };
    let entries: Vec<u8> = (0..1000).flat_map(entry).collect();
    let several = legacy_of(&[b"}(", &entries, b"u"], &[b"0"], 6);
    check(&refused(&several, None), "choose one with --entry");
    check(&refused(&several, Some("model")), "none under `model`");
    let key = text(name.as_bytes());
    let twice = legacy_of(&[b"}(", &[key.as_slice(), TENSOR].concat().repeat(2), b"u"], &[b"0"], 6);
    check(&refused(&twice, None), "occurs twice");
    let tensor = |idx: usize| [&text(format!("{name}{idx}").as_bytes()), TENSOR].concat();
    let tensors: Vec<u8> = (0..network().parameters().len()).flat_map(tensor).collect();
    let file = legacy_of(&[b"}(", &tensors, b"u"], &[b"0"], 6);
    let rules = Rules { matching: Matching::Position, ..Rules::default() };
    let error = import(&StateDict::read(&file, None).unwrap(), &network(), rules).unwrap_err();
    check(&error.to_string(), "by position: tensor 0");
    // An entry of an archive, with another checksum.
    let mut archive = AUTHORS.to_vec();
    let at = archive.windows(15).rposition(|window| window == b"authors/version").unwrap();
    archive[at..at + 15].copy_from_slice(format!("{PAINT}abc").as_bytes());
    archive[at - 30] ^= 1;
    check(&refused(&archive, None), "does not match its checksum");
    // What the library for safetensors says, and what has no place in the network.
    let header = format!(
        "{{\"a\":{{\"dtype\":\"{}\",\"shape\":[],\"data_offsets\":[0,4]}}}}",
        PAINT.replace('\x1b', "\\u001b")
    );
    let safetensors = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
    check(&refused(&safetensors, None), "header");
    let mut weights = expected();
    let bias = weights["classifier.0.bias"].clone();
    weights.extend((0..9).map(|n| (format!("{name}{n}"), bias.clone())));
    check(&imported(&safetensors::to_bytes(&weights)).unwrap_err().to_string(), "has no place for 9");
}

proptest! {
    #[test]
    fn any_bytes_behind_any_beginning(
        beginning in proptest::sample::select(vec![
            b"PK\x03\x04".to_vec(), b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), b"\x10\0\0\0\0\0\0\0{".to_vec(),
        ]),
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        drop(imported(&[beginning, rest].concat()));
    }
}
