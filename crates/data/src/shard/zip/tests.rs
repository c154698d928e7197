//! Stored and deflated files, damage, bombs.

use std::io::{Cursor, Seek, SeekFrom, Write};

pub(crate) use zip::CompressionMethod as Method;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// A zip file of files.
pub(crate) fn zip(files: &[(&str, &[u8])], method: Method) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

/// Contents by name, and what is broken.
type Found = (Vec<(String, Vec<u8>)>, Vec<String>);

fn found(bytes: &[u8]) -> Found {
    let scan = scan(file(bytes));
    let (mut files, mut broken) = (Vec::new(), Vec::new());
    let mut content = Vec::new();
    for member in &scan.members {
        let name = member.name.display().to_string();
        match member.read(&mut file(bytes), &mut content) {
            Ok(()) => files.push((name, content.clone())),
            Err(reason) => broken.push(format!("{name}: {reason}")),
        }
    }
    broken.extend(scan.broken.iter().map(|(member, reason)| format!("{}: {reason}", member.name.display())));
    (files, broken)
}

const FILES: [(&str, &[u8]); 4] =
    [("cat/a.png", &[5; 3000]), ("b.png", b""), ("../c.cls", b"7"), ("/grün", b"x")];

#[test]
fn files_are_found_by_offset_however_they_are_packed() {
    for method in [Method::Stored, Method::Deflated] {
        let bytes = zip(&FILES, method);
        assert_eq!(bytes.len() < 2000, method == Method::Deflated);
        // Something may stand before an archive.
        for bytes in [bytes.clone(), [&b"#!/bin/sh\n"[..], &bytes].concat()] {
            let (files, broken) = found(&bytes);
            let expected =
                FILES.map(|(name, content)| (name.trim_start_matches('/').to_owned(), content.to_vec()));
            assert_eq!((files.as_slice(), broken.len()), (expected.as_slice(), 0), "{broken:?}");
        }
    }
}

#[test]
fn an_archive_without_its_directory_is_broken() {
    let bytes = zip(&FILES, Method::Stored);
    for len in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        let (files, broken) = found(&bytes[..len]);
        assert_eq!((files.len(), broken.len()), (0, 1), "{len}");
        assert!(broken[0].starts_with("@0: archive: "), "{broken:?}");
    }
    assert_eq!(found(&zip(&[], Method::Stored)), Found::default());
}

#[test]
fn damage_is_one_files() {
    let mut bytes = zip(&FILES, Method::Stored);
    let content = bytes.windows(8).position(|window| window == [5; 8]).unwrap();
    bytes[content + 100] ^= 1;
    let (files, broken) = found(&bytes);
    assert_eq!(
        (files.len(), broken.as_slice()),
        (3, ["cat/a.png: archive: the checksum of the file is wrong".to_owned()].as_slice())
    );
}

#[test]
fn a_bomb_and_sizes_that_lie_are_bounded() {
    let honest = zip(&[("a.png", &[0; 100_000])], Method::Deflated);
    // Bytes of the file in the directory: 24 bytes into an entry, 46 before its name.
    let at = honest.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap() + 24;
    for (size, reason) in [
        (7, "expected a file of 7 bytes, found more"),
        (200_000, "expected a file of 200000 bytes, found 100000"),
        (0xf000_0000_u32, "the file is 3840 MiB, more than the limit"),
    ] {
        let mut bytes = honest.clone();
        bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
        let (files, broken) = found(&bytes);
        assert!(files.is_empty() && broken[0].contains(reason), "{broken:?}");
    }
}

#[test]
fn no_byte_that_is_changed_makes_a_panic() {
    for method in [Method::Stored, Method::Deflated] {
        let bytes = zip(&[("cat/a.png", b"one two one two"), ("b.png", b"three")], method);
        for i in 0..bytes.len() {
            for value in [0, 1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[i] = value;
                found(&changed);
            }
        }
    }
}

#[test]
fn what_cannot_be_unpacked_says_so() {
    let mut bytes = zip(&[("a.png", b"one")], Method::Stored);
    let entry = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    bytes[entry + 10] = 12;
    assert_eq!(found(&bytes).1, ["a.png: archive: Bzip2 is not a supported compression"]);
    bytes[entry + 8] |= 1;
    assert_eq!(found(&bytes).1, ["a.png: archive: the file is encrypted"]);
}
