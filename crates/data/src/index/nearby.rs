//! What a data set has in place of a missing split: splits of other names, a folder further down, bare class folders.
//!
//! Separate because only errors need it, so that it may look at more than indexing does.

use std::path::{Path, PathBuf};

use mutualnet_core::text::shown;

use super::folders::{self, is_image_name};
use super::layout::{self, Layout};
use crate::{Error, Result};

/// Parts of the names that splits have.
const WORDS: &[&str] = &["train", "trn", "val", "dev", "eval", "test", "tst", "holdout"];
/// Most names in a message.
const NAMED: usize = 4;

/// What a data set has in place of a split.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nearby {
    /// Splits of other names.
    splits: Vec<String>,
    /// A folder in the data set's directory that has the split.
    inside: Option<PathBuf>,
    /// Folders that hold images, as if they were classes.
    classes: Vec<String>,
}

/// The error for a split that does not exist.
pub(crate) fn no_split(root: &Path, split: &str) -> Error {
    match root.try_exists() {
        Ok(true) if root.is_dir() => {
            let near = look(root, split).unwrap_or_default();
            Error::NoSplit { split: split.to_owned(), path: root.to_owned(), near }
        }
        Ok(true) => Error::NotADirectory { path: root.to_owned() },
        _ => Error::NoDirectory { path: root.to_owned() },
    }
}

fn look(root: &Path, split: &str) -> Result<Nearby> {
    let mut near = Nearby { splits: splits(root)?, ..Nearby::default() };
    let folders = folders::class_folders(root)?;
    if near.splits.is_empty() {
        let has_split = |dir: &PathBuf| is_whole(dir, split);
        near.inside = folders.iter().map(|folder| root.join(&folder.path)).find(has_split);
    }
    if near.splits.is_empty() && near.inside.is_none() {
        let has_images =
            |dir: &Path| file_names(dir).unwrap_or_default().iter().any(|n| is_image_name(Path::new(n)));
        let classes = folders.into_iter().filter(|folder| has_images(&root.join(&folder.path)));
        near.classes = classes.map(|folder| folder.class).collect();
    }
    Ok(near)
}

/// The splits of a directory, under any name that sounds like one.
pub(crate) fn splits(root: &Path) -> Result<Vec<String>> {
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> =
        folders::class_folders(root)?.into_iter().map(|folder| folder.class).collect();
    names.extend(file_names(root)?.iter().filter_map(|name| list_or_shard(name)));
    let in_data = file_names(&root.join("data")).unwrap_or_default();
    names.extend(in_data.iter().filter_map(|name| list_or_shard(name)));
    names.retain(|name| is_split_name(name) && is_whole(root, name));
    names.sort();
    names.dedup();
    Ok(names)
}

fn file_names(dir: &Path) -> Result<Vec<String>> {
    let files = folders::files(dir)?;
    Ok(files.iter().map(|file| file.to_string_lossy().into_owned()).collect())
}

/// The split that a list or a shard would belong to.
fn list_or_shard(name: &str) -> Option<String> {
    match name.strip_suffix(".txt") {
        Some(list) => Some(list.to_owned()),
        None if crate::shard::is_shard_name(Path::new(name)) => {
            Some(name.split(['-', '.']).next().unwrap_or(name).to_owned())
        }
        None => None,
    }
}

fn is_split_name(name: &str) -> bool {
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Whether a split is more than an empty folder.
fn is_whole(root: &Path, split: &str) -> bool {
    match layout::find(root, split) {
        Ok(Some(Layout::Folders)) => {
            folders::class_folders(&root.join(split)).is_ok_and(|classes| !classes.is_empty())
        }
        Ok(None) => false,
        Ok(Some(_)) | Err(_) => true,
    }
}

impl Nearby {
    /// What to do about the split that is missing.
    pub(crate) fn hint(&self, split: &str, root: &Path) -> Option<String> {
        let is_train = |name: &str| ["train", "trn"].iter().any(|word| name.to_lowercase().contains(word));
        let key = if is_train(split) { "data.train" } else { "data.test" };
        let fitting: Vec<&str> =
            self.splits.iter().map(String::as_str).filter(|name| is_train(name) == is_train(split)).collect();
        match fitting.as_slice() {
            [one] => return Some(format!("use the split that exists: {key}={one}")),
            [] => {}
            several => {
                return Some(format!(
                    "use one of the splits that exist: {key}={}",
                    several.join(&format!(" or {key}="))
                ));
            }
        }
        if !self.splits.is_empty() {
            return Some(format!("the data set has only {}", quoted(&self.splits)));
        }
        if let Some(inside) = &self.inside {
            return Some(format!("it is one folder further down: data.path={}", shown(inside)));
        }
        let root = shown(root);
        (!self.classes.is_empty()).then(|| {
            format!(
                "{} look like classes: move them into {root}/train, and some images of each into {root}/test",
                quoted(&self.classes)
            )
        })
    }
}

fn quoted(names: &[String]) -> String {
    let mut quoted: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    if names.len() > NAMED {
        quoted.push(format!("{} more", names.len() - NAMED));
    }
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::Dataset;

    /// The hint about a split that a directory with such files lacks.
    fn hint(files: &[&str], split: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let error = Dataset::open_named(dir.path(), split).unwrap_err();
        assert!(error.to_string().starts_with(&format!("no split `{split}` in ")), "{error}");
        error.hint().unwrap().replace(&dir.path().display().to_string(), "DIR")
    }

    #[test]
    fn splits_of_other_names_are_offered_with_their_key() {
        for name in ["valid", "validation", "val", "eval", "dev", "Test", "testing", "holdout"] {
            let file = format!("{name}/cat/1.jpg");
            assert_eq!(
                hint(&["train/cat/1.jpg", &file], "test"),
                format!("use the split that exists: data.test={name}")
            );
        }
        assert_eq!(hint(&["Training/cat/1.jpg"], "train"), "use the split that exists: data.train=Training");
        assert_eq!(
            hint(&["train.txt", "val.txt", "dev.tar"], "test"),
            "use one of the splits that exist: data.test=dev or data.test=val"
        );
        assert_eq!(
            hint(&["data/validation-00000-of-00001.parquet"], "test"),
            "use the split that exists: data.test=validation"
        );
        assert_eq!(hint(&["train/cat/1.jpg"], "test"), "the data set has only `train`");
    }

    #[test]
    fn a_data_set_further_in_and_bare_classes_are_recognized() {
        assert_eq!(
            hint(&["set/train/cat/1.jpg"], "train"),
            "it is one folder further down: data.path=DIR/set"
        );
        assert_eq!(
            hint(&["cat/1.jpg", "dog/1.jpg", "notes/a.txt"], "train"),
            "`cat` and `dog` look like classes: move them into DIR/train, and some images of each into DIR/test"
        );
        assert!(hint(&["notes/a.txt"], "train").contains("docs/formats.md"));
    }
}
