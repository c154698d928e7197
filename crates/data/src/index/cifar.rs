//! CIFAR-10 and CIFAR-100 in their original binary files.
//!
//! Separate because these names and sizes are facts about two published archives.
//! Invariant: a record without a usable label is never a sample; it is listed as broken.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::nearby::no_split;
use super::{Contents, SampleRef, labels};
use crate::records::RecordFile;
use crate::{Error, Label, Place, Result};

/// The files of one of the two data sets.
///
/// # Source
/// `[CIFAR]`, "Binary version".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cifar {
    class_names: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    label_bytes: usize,
}

const CIFAR_10: Cifar = Cifar {
    class_names: "batches.meta.txt",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
    label_bytes: 1,
};

/// A record begins with its coarse label; the fine label, which follows, is the class.
const CIFAR_100: Cifar =
    Cifar { class_names: "fine_label_names.txt", train: &["train.bin"], test: &["test.bin"], label_bytes: 2 };

impl Cifar {
    /// Which of the two a directory holds, if any: it has the class names, or else all record files.
    pub(crate) fn of(root: &Path) -> Option<Self> {
        let has = |file: &str| root.join(file).is_file();
        [CIFAR_10, CIFAR_100].into_iter().find(|files| has(files.class_names) || files.all().all(has))
    }

    fn all(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().chain(self.test).copied()
    }

    /// The files that it consists of: records and class names.
    pub(crate) fn files_of_both(&self) -> impl Iterator<Item = &'static str> {
        self.all().chain([self.class_names])
    }

    /// The first file of a split, if the split exists.
    pub(super) fn first_file(&self, split: &str) -> Option<&'static str> {
        self.files(split)?.first().copied()
    }

    fn files(&self, split: &str) -> Option<&'static [&'static str]> {
        match split {
            "train" => Some(self.train),
            "test" => Some(self.test),
            _ => None,
        }
    }

    /// The records of one split.
    pub(super) fn split(&self, root: &Path, split: &str) -> Result<Contents> {
        self.contents(root, self.files(split).ok_or_else(|| no_split(root, split))?)
    }

    /// The records of both splits.
    pub(crate) fn whole(&self, root: &Path) -> Result<Contents> {
        self.contents(root, &self.all().collect::<Vec<_>>())
    }

    fn contents(&self, root: &Path, files: &[&str]) -> Result<Contents> {
        let classes = self.classes(root)?;
        let (mut samples, mut broken) = (Vec::new(), Vec::new());
        for path in files {
            let (file, labels) = RecordFile::scan(root, path, self.label_bytes, classes.len())?;
            let file = Arc::new(file);
            for (number, label) in labels.into_iter().enumerate() {
                let place = Place::Record { file: Arc::clone(&file), number: number as u32 };
                match label {
                    Ok(class) => samples.push(SampleRef { place, label: Label::Class(class) }),
                    Err(reason) => broken.push((place, reason)),
                }
            }
        }
        // Stable: within a class the order of files and records stays.
        samples.sort_by_key(SampleRef::class);
        Ok(Contents { classes, samples, broken, ..Contents::default() })
    }

    fn classes(&self, root: &Path) -> Result<Vec<String>> {
        let path = root.join(self.class_names);
        match labels::read_lines(&path)? {
            Some(classes) => Ok(classes),
            None => Err(Error::Io { action: "read", path, source: ErrorKind::NotFound.into() }),
        }
    }
}

#[cfg(test)]
mod tests;
