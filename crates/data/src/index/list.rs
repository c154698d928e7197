//! Lists: text files that name the images of a split and their labels.
//!
//! Invariant: a line that cannot be understood is an error with its number; an image that is missing is a broken image.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mutualnet_core::text::{escape_invalid, shown};

use super::folders::{bytes_of_frames, is_image_name};
use super::labels::{self, WrittenLabel};
use super::{Contents, Notice};
use mutualnet_video::is_video_name;

use crate::text_file::{self, os_string};
use crate::{Error, Place, Result};
use mutualnet_image::junk::has_junk_part;

mod line;

/// The path of a split's list, whether or not there is one.
pub(crate) fn path(root: &Path, split: &str) -> PathBuf {
    root.join(format!("{split}.txt"))
}

/// The images that a list names; their paths are relative to `root`.
pub(crate) fn contents(root: &Path, list: &Path) -> Result<Contents> {
    let mut entries = entries(list, written_label)?;
    refuse_header(root, list, &entries)?;
    let n_lines = entries.len();
    if n_lines == 0 {
        return Err(Error::EmptyList { path: list.to_owned() });
    }
    entries.retain(|entry| !has_junk_part(&entry.path));
    let lines = n_lines - entries.len();
    let first = entries.first().map(|entry| entry.path.clone());
    let mut n_there = 0;
    let images = entries.into_iter().map(|Entry { path, label, .. }| {
        // A file that is missing stays, and the loader reports it as broken.
        let (path, bytes) = find(root, path).inspect(|_| n_there += 1).unwrap_or_else(|path| (path, 0));
        (Place::File { path, bytes }, Ok(label))
    });
    let images = images.collect::<Vec<_>>();
    if let Some(first) = first.filter(|_| n_there == 0) {
        return Err(Error::NothingListed {
            list: list.to_owned(),
            lines: images.len(),
            first: root.join(first),
        });
    }
    let notices = if lines > 0 { vec![Notice::JunkListed { lines }] } else { Vec::new() };
    Ok(Contents { notices, ..labels::classify(images, labels::read_names(root)?) })
}

fn written_label(label: &[u8]) -> WrittenLabel {
    WrittenLabel::parse(&escape_invalid(label))
}

/// The lines of a list, with labels as `read_label` understands them.
pub(super) fn entries<L: PartialEq>(list: &Path, read_label: impl Fn(&[u8]) -> L) -> Result<Vec<Entry<L>>> {
    let fail = |source| Error::Io { action: "read", path: list.to_owned(), source };
    let text = text_file::read(list).and_then(|text| text.ok_or_else(|| ErrorKind::NotFound.into()));
    parse(&text.map_err(fail)?, list, read_label)
}

/// The path and the size of a listed file, or the path alone if there is no such file.
///
/// Lists that were written on Windows may have `\` between folders.
pub(super) fn find(root: &Path, path: PathBuf) -> Result<(PathBuf, u64), PathBuf> {
    let bytes = |path: &Path| {
        let path = root.join(path);
        let metadata = fs::metadata(&path)?;
        // A folder is a clip, with a file for each frame.
        let bytes = if metadata.is_dir() { bytes_of_frames(&path) } else { metadata.len() };
        Ok::<_, std::io::Error>(bytes)
    };
    if let Ok(bytes) = bytes(&path) {
        return Ok((path, bytes));
    }
    let name = path.as_os_str().as_encoded_bytes();
    if !name.contains(&b'\\') {
        return Err(path);
    }
    let slashes = name.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    let slashes = PathBuf::from(os_string(slashes));
    match bytes(&slashes) {
        Ok(bytes) => Ok((slashes, bytes)),
        Err(_) => Err(path),
    }
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry<L> {
    /// Number of the line, from 1.
    pub(super) line: usize,
    pub(super) path: PathBuf,
    pub(super) label: L,
}

fn parse<L: PartialEq>(text: &[u8], list: &Path, read_label: impl Fn(&[u8]) -> L) -> Result<Vec<Entry<L>>> {
    let is_csv = list.extension().is_some_and(|ending| ending == "csv");
    let mut entries: Vec<Entry<L>> = Vec::new();
    let mut firsts: HashMap<PathBuf, usize> = HashMap::new();
    for (text, number) in text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).zip(1..) {
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let fail = |reason| Error::Line { path: list.to_owned(), line: number, reason };
        let split = if is_csv { line::split_csv(text) } else { line::split(text) };
        let (path, label) = split.map_err(fail)?;
        let path = PathBuf::from(os_string(path.strip_prefix(b"./").unwrap_or(path).to_vec()));
        let label = read_label(label);
        if let Some(&first) = firsts.get(&path) {
            let Entry { line, label: other, .. } = &entries[first];
            if *other != label {
                return Err(fail(format!("`{}` has a different label in line {line}", shown(&path))));
            }
        } else {
            firsts.insert(path.clone(), entries.len());
        }
        entries.push(Entry { line: number, path, label });
    }
    Ok(entries)
}

/// Words that a header has for the column of labels.
const LABEL_WORDS: &[&str] = &["label", "labels", "class", "classes", "category", "target", "id", "y"];

/// Refuses a list whose first line names columns, which would be an image and a class otherwise.
fn refuse_header(root: &Path, list: &Path, entries: &[Entry<WrittenLabel>]) -> Result<()> {
    let [first, rest @ ..] = entries else { return Ok(()) };
    if find(root, first.path.clone()).is_ok() {
        return Ok(());
    }
    let name = match &first.label {
        WrittenLabel::Name(name) => Some(name.as_str()),
        WrittenLabel::Number(_) => None,
    };
    let is_number = |entry: &Entry<WrittenLabel>| matches!(entry.label, WrittenLabel::Number(_));
    let is_odd_label = name.is_some() && !rest.is_empty() && rest.iter().all(is_number);
    let is_image = |entry: &Entry<WrittenLabel>| is_image_name(&entry.path) || is_video_name(&entry.path);
    let is_odd_path = !is_image(first) && !rest.is_empty() && rest.iter().all(is_image);
    let is_word = |name: &str| name.to_lowercase().split(['_', ' ']).any(|word| LABEL_WORDS.contains(&word));
    let is_named_column = !is_image(first) && name.is_some_and(is_word);
    if is_odd_label || is_odd_path || is_named_column {
        let label = first.label.clone().into_name();
        let reason = format!("`{} {label}` is a header, not a path and its label", shown(&first.path));
        return Err(Error::Line { path: list.to_owned(), line: first.line, reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
