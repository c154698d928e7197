//! The quarantine list: a text file in a data set that names files to leave out.
//!
//! Each line is a path, a tab, the reason, a tab and who wrote it. `data check` and people write it, every index obeys it.
//! Invariant: a check replaces the lines of an earlier check for the same task and leaves all others alone; every name survives a round trip.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mutualnet_core::Task;

use crate::text_file::{self, os_string};
use crate::{BrokenFile, Error, Result};

/// Name of the list in a data set's directory; beside a packed data set it follows the file's name and a dot.
pub const FILE: &str = "quarantine.tsv";

/// Where the list of a data set is: in its directory, or beside its packed file.
pub(crate) fn place(dir: &Path) -> PathBuf {
    if dir.is_file() {
        return PathBuf::from(format!("{}.{FILE}", dir.display()));
    }
    dir.join(FILE)
}

/// The last column of lines that a check for a task wrote.
fn by(task: Task) -> &'static str {
    match task {
        Task::Segment => "data check --task segment",
        Task::Detect => "data check --task detect",
        _ => "data check",
    }
}

/// What a check changed in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Lines of a check that are on the list now.
    pub listed: usize,
    /// Lines of an earlier check that are gone, because their images can be decoded now or are no longer there.
    pub removed: usize,
}

/// Replaces the lines of an earlier check for the same task, and removes a list that becomes empty; paths are relative to the directory.
///
/// # Errors
/// The file cannot be read or written.
pub fn write(dir: &Path, task: Task, files: &[BrokenFile]) -> Result<Change> {
    let path = place(dir);
    let now: BTreeSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let removed = by_check(dir, task)?.iter().filter(|name| !now.contains(name.as_path())).count();
    let by_others = lines(dir)?.into_iter().filter(|line| !is_by_check(line, task));
    let by_check = files.iter().map(|file| format!("{}\t{}\t{}", escape(&file.path), file.reason, by(task)));
    let lines: String = by_others.chain(by_check).map(|line| line + "\n").collect();
    let written = if lines.is_empty() {
        fs::remove_file(&path)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
    } else {
        fs::write(&path, lines)
    };
    written.map_err(|source| Error::Io { action: "write", path, source })?;
    Ok(Change { listed: files.len(), removed })
}

fn is_by_check(line: &str, task: Task) -> bool {
    line.strip_suffix(by(task)).is_some_and(|before| before.ends_with('\t'))
}

/// What an earlier check for a task put on the list of a directory.
pub(crate) fn by_check(dir: &Path, task: Task) -> Result<BTreeSet<PathBuf>> {
    Ok(lines(dir)?.iter().filter(|line| is_by_check(line, task)).map(|line| name(line)).collect())
}

/// The list that a split obeys: its own, or that of the whole data set.
pub(crate) fn of_split(dir: &Path) -> Option<PathBuf> {
    [Some(dir), dir.parent()].into_iter().flatten().map(place).find(|list| list.is_file())
}

/// Files of a split, relative to it, that its own list or that of the whole data set names.
pub(crate) fn for_split(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = read(dir)?;
    if let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) {
        files
            .extend(read(parent)?.iter().filter_map(|file| file.strip_prefix(name).ok().map(Path::to_owned)));
    }
    Ok(files)
}

fn read(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    Ok(lines(dir)?.iter().map(|line| name(line)).collect())
}

fn name(line: &str) -> PathBuf {
    let name = match line.split_once('\t') {
        Some((name, _)) => unescape(name),
        // A line that a person wrote, and which may end in spaces.
        None => unescape(line.trim()),
    };
    name.strip_prefix("./").map(Path::to_owned).unwrap_or(name)
}

/// Lines that are not empty; none if there is no list.
fn lines(dir: &Path) -> Result<Vec<String>> {
    let path = place(dir);
    let text = text_file::read_text(&path).map_err(|source| Error::Io { action: "read", path, source })?;
    let text = text.unwrap_or_default();
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

/// A path on one line, with control characters, backslashes and bytes that are not UTF-8 as `\xNN`.
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

/// The inverse of [`escape`]; any other backslash stays as it is.
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
    PathBuf::from(os_string(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_round_trips_and_goes_away_when_empty() {
        let dir = tempfile::tempdir().unwrap();
        let broken = BrokenFile { path: "train/a b/1.jpg".into(), reason: "the file is empty".into() };
        assert_eq!(write(dir.path(), Task::Classify, &[broken]).unwrap(), Change { listed: 1, removed: 0 });
        assert_eq!(of_split(&dir.path().join("train")), Some(dir.path().join(FILE)));
        assert!(for_split(&dir.path().join("train")).unwrap().contains(Path::new("a b/1.jpg")));
        assert!(for_split(&dir.path().join("test")).unwrap().is_empty());
        assert_eq!(write(dir.path(), Task::Classify, &[]).unwrap(), Change { listed: 0, removed: 1 });
        assert_eq!(write(dir.path(), Task::Classify, &[]).unwrap(), Change::default());
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn what_a_check_for_another_task_found_stays() {
        let dir = tempfile::tempdir().unwrap();
        let broken = |reason: &str| BrokenFile { path: "train/a.jpg".into(), reason: reason.to_owned() };
        let write = |task, files: &[BrokenFile]| write(dir.path(), task, files).unwrap();
        write(Task::Detect, &[broken("the annotation lies elsewhere")]);
        assert_eq!(write(Task::Segment, &[]), Change::default());
        write(Task::Classify, &[broken("the file is empty")]);
        assert_eq!(write(Task::Classify, &[]), Change { listed: 0, removed: 1 });
        assert!(read(dir.path()).unwrap().contains(Path::new("train/a.jpg")));
        assert_eq!(write(Task::Detect, &[]), Change { listed: 0, removed: 1 });
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn lines_of_people_stay() {
        let dir = tempfile::tempdir().unwrap();
        let list = "\u{feff}train/a/1.jpg  \r\n./train/a/2.jpg\ta cat, not an ant\n\n";
        fs::write(dir.path().join(FILE), list).unwrap();
        let broken = |name: &str| BrokenFile { path: name.into(), reason: "the file is empty".into() };
        for files in
            [vec![broken("train/a/3.jpg"), broken("train/a/4.jpg")], vec![broken("train/a/4.jpg")], vec![]]
        {
            write(dir.path(), Task::Classify, &files).unwrap();
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
        let paths = names.map(|name| PathBuf::from(os_string(name.to_vec())));
        let broken = paths.clone().map(|path| BrokenFile { path, reason: "why".into() });
        write(dir.path(), Task::Classify, &broken).unwrap();
        assert_eq!(read(dir.path()).unwrap(), BTreeSet::from(paths));
    }
}
