//! The quarantine list: a text file in a data set that names files to leave out.
//!
//! One file per line, a tab, the reason; written by `data check`, read by every index, edited by people.

use std::collections::BTreeSet;
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

/// Writes the list of a directory, or removes it when nothing is broken; paths are relative to the directory.
///
/// # Errors
/// The file cannot be written.
pub fn write(dir: &Path, files: &[BrokenFile]) -> Result<()> {
    let path = place(dir);
    let written = if files.is_empty() {
        fs::remove_file(&path)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
    } else {
        let lines: String =
            files.iter().map(|file| format!("{}\t{}\n", file.path.display(), file.reason)).collect();
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
    let path = place(dir);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default().trim())
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
            .collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(source) => Err(Error::Io { action: "read", path, source }),
    }
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
}
