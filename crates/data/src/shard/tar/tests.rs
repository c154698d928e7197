//! Headers of every kind, damage at every byte.

use std::io::{Seek, SeekFrom, Write};

use tar::{Builder, Header};

use super::*;

/// A tar file of files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        append(&mut builder, name, content);
    }
    builder.into_inner().unwrap()
}

fn append(builder: &mut Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    // By hand, because the crate refuses such names.
    if name.contains("..") || name.starts_with('/') {
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    } else {
        builder.append_data(&mut header, name, content).unwrap();
    }
}

fn scanned(bytes: &[u8]) -> Scan {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    scan(file)
}

/// Names and contents.
fn files(bytes: &[u8], scan: &Scan) -> Vec<(String, Vec<u8>)> {
    let content = |m: &Member| bytes[m.offset as usize..(m.offset + m.bytes) as usize].to_vec();
    scan.members.iter().map(|m| (m.name.display().to_string(), content(m))).collect()
}

fn broken(scan: &Scan) -> Vec<String> {
    scan.broken.iter().map(|(member, reason)| format!("{}: {reason}", member.name.display())).collect()
}

#[test]
fn files_are_found_by_offset() {
    let long = format!("{}/{}.png", "folder".repeat(20), "name".repeat(40));
    let bytes = tar(&[
        ("a.png", b"one"),
        (&long, &[7; 512]),
        ("empty", b""),
        ("../up\n.png", b"x"),
        ("/./b.png", b"two"),
    ]);
    let scan = scanned(&bytes);
    let expected = [
        ("a.png", b"one".to_vec()),
        (&long, vec![7; 512]),
        ("empty", vec![]),
        ("../up\\n.png", b"x".to_vec()),
        ("b.png", b"two".to_vec()),
    ];
    assert_eq!(files(&bytes, &scan), expected.map(|(name, content)| (name.to_owned(), content)));
    assert!(scan.broken.is_empty());
}

#[test]
fn pax_headers_name_and_measure_the_next_file() {
    let mut builder = Builder::new(Vec::new());
    let name = "klasse/grün.png";
    builder.append_pax_extensions([("path", name.as_bytes()), ("size", b"3"), ("comment", b"x")]).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &b"one"[..]).unwrap();
    append(&mut builder, "b", b"two");
    builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
    append(&mut builder, "holes", b"1\n");
    let bytes = builder.into_inner().unwrap();
    let scan = scanned(&bytes);
    assert_eq!(files(&bytes, &scan), [(name.to_owned(), b"one".to_vec()), ("b".to_owned(), b"two".to_vec())]);
    assert_eq!(broken(&scan), ["holes: archive: sparse files are not supported"]);
}

#[test]
fn folders_and_links_are_passed_over_and_archives_may_follow_each_other() {
    let mut builder = Builder::new(Vec::new());
    for (kind, name) in [(EntryType::Directory, "cat/"), (EntryType::Symlink, "cat/a.png")] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, name, "target").unwrap();
    }
    let bytes = [builder.into_inner().unwrap(), tar(&[("b.png", b"b")])].concat();
    let scan = scanned(&bytes);
    assert_eq!((scan.n_other, files(&bytes, &scan)), (1, vec![("b.png".to_owned(), b"b".to_vec())]));
    assert!(scan.broken.is_empty());
}

#[test]
fn an_archive_cut_anywhere_keeps_what_is_whole() {
    let long = "long/".repeat(40) + "name.png";
    let bytes = tar(&[("a.png", &[1; 700]), (&long, &[2; 3]), ("c.png", &[3; 600])]);
    let whole = files(&bytes, &scanned(&bytes));
    for len in 0..bytes.len() {
        let cut = &bytes[..len];
        let scan = scanned(cut);
        let found = files(cut, &scan);
        assert_eq!(found, whole[..found.len()]);
        // The mark at the end is two blocks of zeros, of which one will do.
        assert_eq!(
            scan.broken.len(),
            usize::from(![512, 0].contains(&(bytes.len() - len))),
            "{len} {:?}",
            broken(&scan)
        );
    }
    assert_eq!(broken(&scanned(&bytes[..1000])), ["a.png: archive: ends after 488 of 700 bytes of the file"]);
    assert_eq!(broken(&scanned(&bytes[..1800])), ["@1536: archive: ends within a header"]);
    assert_eq!(
        broken(&scanned(&bytes[..1536])),
        ["@1536: archive: no end marker, so the rest may be missing"]
    );
}

#[test]
fn no_byte_that_is_changed_makes_a_panic() {
    let bytes = tar(&[("a.png", &[1; 20]), (&"long/".repeat(40), &[2; 3]), ("c.png", &[3; 600])]);
    for i in (0..bytes.len()).filter(|i| bytes[*i] != 0 || i % 7 == 0) {
        for value in [0, 0x80, b'7', 0xff] {
            let mut changed = bytes.clone();
            changed[i] = value;
            let scan = scanned(&changed);
            assert!(scan.members.iter().all(|m| m.offset + m.bytes <= bytes.len() as u64));
        }
    }
}

#[test]
fn absurd_lengths_are_damage() {
    for kind in [EntryType::Regular, EntryType::GNULongName, EntryType::XHeader, EntryType::Directory] {
        for size in [1 << 21, u64::MAX >> 1, u64::MAX] {
            let mut header = Header::new_gnu();
            header.set_path("a.png").unwrap();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            let scan = scanned(&[header.as_bytes(), &[0; 1024][..]].concat());
            assert_eq!((scan.members.len(), scan.broken.len()), (0, 1), "{kind:?} {size}");
        }
    }
}
