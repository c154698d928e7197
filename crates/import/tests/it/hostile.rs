//! Cut off, damaged and hostile files: an error each, no panic, no memory for what is not there.

use mutualnet_import::{Error, StateDict, read_file};
use proptest::prelude::*;

use crate::{AUTHORS, AUTHORS_LEGACY, HOSTILE, PLAIN, VIEWS, expected, imported};

#[test]
fn a_function_to_be_called_is_refused_by_name() {
    let error = StateDict::read(HOSTILE, None).unwrap_err();
    assert!(matches!(&error, Error::Forbidden { name } if name == "posix.system"), "{error}");
    assert!(error.hint().unwrap().contains("state_dict"));
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
    for (bytes, says) in [
        (b"".as_slice(), "empty"),
        (b"\x89HDF\r\n\x1a\n........", "HDF5"),
        (b"\x80\x02}q\x00.", "without PyTorch's header"),
        (b"PK\x03\x04", "cut off"),
        (b"version https://git-lfs", "begins as none"),
    ] {
        let error = StateDict::read(bytes, None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(StateDict::read(&tar, None).unwrap_err().to_string().contains("0.1.10"));
}

#[test]
fn what_is_no_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read_file(folder.path()).unwrap_err().to_string().contains("not a regular file"));
    assert!(read_file(&folder.path().join("absent.pt")).is_err());
    let path = folder.path().join("a.pt");
    std::fs::write(&path, AUTHORS).unwrap();
    assert_eq!(read_file(&path).unwrap(), AUTHORS);
}

/// A file of the old format with one storage of six numbers, which says that it has `n`.
fn legacy(n: i64) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend(b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage");
    file.extend(b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06NtQK\x00K\x06\x85K\x01\x85\x89NtRs.");
    file.extend(b"\x80\x02]X\x01\x00\x00\x000a.");
    file.extend(n.to_le_bytes());
    file.extend([0; 24]);
    file
}

#[test]
fn storages_that_claim_too_much() {
    assert!(StateDict::read(&legacy(6), None).is_ok());
    for n in [7, 1 << 40, i64::MAX, -1, i64::MIN] {
        let error = StateDict::read(&legacy(n), None).unwrap_err().to_string();
        assert!(error.contains("ends before its numbers"), "{error}");
    }
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
