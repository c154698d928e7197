//! Text files that people write: lists, class names, quarantine lists.
//!
//! Editors and shells add byte-order marks, write UTF-16 or end lines in their own way; none of that reaches a parser.
//! Invariant: lines keep their numbers, and bytes that are not text stay as they are, because paths may hold them.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::{fs, io};

use mutualnet_core::text::{decoded, escape_invalid};

/// Reads a file as UTF-8 with `\n` at the end of lines, without a byte-order mark; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(normalize(bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`read`], with what is not UTF-8 shown as `\xNN`.
pub(crate) fn read_text(path: &Path) -> io::Result<Option<String>> {
    Ok(read(path)?.map(|bytes| escape_invalid(&bytes)))
}

fn normalize(bytes: Vec<u8>) -> Vec<u8> {
    let bytes = decoded(bytes);
    if !bytes.contains(&b'\r') {
        return bytes;
    }
    let mut lines = Vec::with_capacity(bytes.len());
    for (i, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' if bytes.get(i + 1) == Some(&b'\n') => {}
            b'\r' => lines.push(b'\n'),
            _ => lines.push(byte),
        }
    }
    lines
}

/// Bytes as the name of a file.
#[cfg(unix)]
pub(crate) fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

/// Bytes as the name of a file; what is not UTF-8 cannot be kept on this system.
#[cfg(not(unix))]
pub(crate) fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_encodings_and_line_ends_of_other_systems_are_read_over() {
        let text = "grün 1\na\n\nb\n";
        let utf16 = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            text.replace('\n', "\r\n").into_bytes(),
            text.replace('\n', "\r").into_bytes(),
            [b"\xff\xfe".to_vec(), utf16(u16::to_le_bytes)].concat(),
            [b"\xfe\xff".to_vec(), utf16(u16::to_be_bytes)].concat(),
        ] {
            assert_eq!(String::from_utf8(normalize(bytes)).unwrap(), text);
        }
        assert_eq!(normalize(b"caf\xe9 1\n".to_vec()), b"caf\xe9 1\n");
        assert_eq!(escape_invalid(b"caf\xe9 \\"), "caf\\xe9 \\");
        assert_eq!(mutualnet_core::text::shown(Path::new("a\u{1b}[2J/gr\u{fc}n")), "a\\x1b[2J/gr\u{fc}n");
    }

    #[test]
    fn a_file_that_is_not_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&dir.path().join("gone.txt")).unwrap(), None);
        assert!(read(dir.path()).is_err());
    }
}
