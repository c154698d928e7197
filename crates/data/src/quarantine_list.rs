//! The quarantine list: a text file in a data set that names files to leave out.
//!
//! One file per line, a tab, the reason, a tab, who wrote it; written by `data check` and by people, read by every index.
//! Invariant: a check replaces its own lines and leaves those of people; every name comes back as it was.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{BrokenFile, Error, Result};

/// Name of the list in a data set's directory; beside a packed data set it follows the file's name and a dot.
pub const FILE: &str = "quarantine.tsv";

/// Where the list of a data set is: in its directory, or beside its file.
fn place(dir: &Path) -> PathBuf {
    if dir.is_file() {
        return PathBuf::from(format!("{}.{FILE}", dir.display()));
    }
    dir.join(FILE)
}

/// The last column of lines that a check wrote.
const BY_CHECK: &str = "data check";

/// Writes the list of a directory, or removes it when nothing is on it; paths are relative to the directory.
///
/// # Errors
/// The file cannot be read or written.
pub fn write(dir: &Path, files: &[BrokenFile]) -> Result<()> {
    let path = place(dir);
    let by_people = lines(dir)?.into_iter().filter(|line| !line.ends_with(&format!("\t{BY_CHECK}")));
    let by_check = files.iter().map(|file| format!("{}\t{}\t{BY_CHECK}", escape(&file.path), file.reason));
    let lines: String = by_people.chain(by_check).map(|line| line + "\n").collect();
    let written = if lines.is_empty() {
        fs::remove_file(&path)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
    } else {
        fs::write(&path, lines)
    };
    written.map_err(|source| Error::Io { action: "write", path, source })
}

/// Files of a split (relative to it) that its own list or the whole data set's list names.
pub(crate) fn for_split(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = read(dir)?;
    if let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) {
        files
            .extend(read(parent)?.iter().filter_map(|file| file.strip_prefix(name).ok().map(Path::to_owned)));
    }
    Ok(files)
}

fn read(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let name = |line: &String| match line.split_once('\t') {
        Some((name, _)) => unescape(name),
        // A person's line, which may end in blanks that nobody sees.
        None => unescape(line.trim()),
    };
    Ok(lines(dir)?.iter().map(name).collect())
}

/// Lines that are not empty; none if there is no list.
fn lines(dir: &Path) -> Result<Vec<String>> {
    let path = place(dir);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io { action: "read", path, source }),
    }
}

/// A path in one line: control characters, backslashes and what is not UTF-8 as `\xNN`.
fn escape(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' | '\0'..='\x1f' | '\x7f' => text += &format!("\\x{:02x}", u32::from(char)),
                _ => text.push(char),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// A path as it was before [`escape`]; a backslash of another meaning stays one.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.strip_prefix(b"x").and_then(|digits| str::from_utf8(digits.get(..2)?).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(from_bytes(bytes))
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
fn from_bytes(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_round_trips_and_goes_away_when_empty() {
        let dir = tempfile::tempdir().unwrap();
        let broken = BrokenFile { path: "train/a b/1.jpg".into(), reason: "the file is empty".into() };
        write(dir.path(), &[broken]).unwrap();
        assert!(for_split(&dir.path().join("train")).unwrap().contains(Path::new("a b/1.jpg")));
        assert!(for_split(&dir.path().join("test")).unwrap().is_empty());
        write(dir.path(), &[]).unwrap();
        write(dir.path(), &[]).unwrap();
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn lines_of_people_stay() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "train/a/1.jpg  \r\ntrain/a/2.jpg\ta cat, not an ant\n\n").unwrap();
        let broken = |name: &str| BrokenFile { path: name.into(), reason: "the file is empty".into() };
        for files in
            [vec![broken("train/a/3.jpg"), broken("train/a/4.jpg")], vec![broken("train/a/4.jpg")], vec![]]
        {
            write(dir.path(), &files).unwrap();
            let names = read(dir.path()).unwrap();
            assert_eq!(names.len(), 2 + files.len());
            assert!(["train/a/1.jpg", "train/a/2.jpg"].iter().all(|name| names.contains(Path::new(name))));
        }
    }

    #[cfg(unix)]
    #[test]
    fn every_name_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let names = [&b" a\tb\nc\\x41 "[..], b"\\", b"\xff\xfe/\x7f", "gr\u{fc}n".as_bytes(), b"a\\x4"];
        let paths = names.map(|name| PathBuf::from(from_bytes(name.to_vec())));
        let broken = paths.clone().map(|path| BrokenFile { path, reason: "why".into() });
        write(dir.path(), &broken).unwrap();
        assert_eq!(read(dir.path()).unwrap(), BTreeSet::from(paths));
    }
}
