//! Labels, and the classes they make together.
//!
//! Separate because every layout whose labels are not folders needs it.
//! Invariant: a label that is not a class makes the image a broken one; it never becomes a class of its own.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::{Contents, SampleRef};
use crate::{Error, Label, Place, Result, SampleError, text_file};

/// File in a data set's directory that names the classes, one per line in the order of their numbers.
pub(crate) const FILE: &str = "classes.txt";

/// Most classes that numbers alone can make, so that one damaged label does not make millions.
const MAX_UNNAMED: i64 = 1 << 16;

/// A label as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WrittenLabel {
    Number(i64),
    Name(String),
}

impl WrittenLabel {
    /// Anything that is all digits is a number, however large.
    pub(crate) fn parse(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Name(text.to_owned());
        }
        Self::Number(text.parse().unwrap_or(i64::MAX))
    }

    pub(super) fn into_name(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name,
        }
    }
}

/// An image, and its label or why it has none.
pub(crate) type Labelled = (Place, Result<WrittenLabel, SampleError>);

/// Names in the class file of a directory, if there is one.
pub(crate) fn read_names(dir: &Path) -> Result<Option<Vec<String>>> {
    read_lines(&dir.join(FILE))
}

/// Lines of a file that are not empty, trimmed; `None` if there is no such file.
pub(super) fn read_lines(path: &Path) -> Result<Option<Vec<String>>> {
    let fail = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let lines = |text: String| {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    Ok(text_file::read_text(path).map_err(fail)?.map(lines))
}

/// Gives every image its class.
///
/// Without `names`, the classes are all numbers up to the largest, or all labels, sorted, if any of them is a name.
pub(crate) fn classify(images: Vec<Labelled>, names: Option<Vec<String>>) -> Contents {
    let (images, classes) = match names {
        Some(names) => (images, names),
        None => invent(images),
    };
    // In reverse, so that the first of two equal names counts.
    let numbers: HashMap<&str, u32> =
        (0..classes.len()).rev().map(|i| (classes[i].as_str(), i as u32)).collect();
    let class = |label: WrittenLabel| match label {
        WrittenLabel::Number(label) => match usize::try_from(label) {
            Ok(number) if number < classes.len() => Ok(number as u32),
            _ => Err(SampleError::Label { label, classes: classes.len() }),
        },
        WrittenLabel::Name(label) => {
            numbers.get(label.as_str()).copied().ok_or(SampleError::UnknownClass { label })
        }
    };
    let (mut samples, mut broken) = (Vec::new(), Vec::new());
    for (place, label) in images {
        match label.and_then(class) {
            Ok(class) => samples.push(SampleRef { place, label: Label::Class(class) }),
            Err(reason) => broken.push((place, reason)),
        }
    }
    samples.sort_by(|a, b| (a.class(), &a.place).cmp(&(b.class(), &b.place)));
    broken.sort_by(|(a, _), (b, _)| a.cmp(b));
    Contents { classes, samples, broken, ..Contents::default() }
}

/// Makes classes from labels alone. If one label is a name, all of them become names.
fn invent(mut images: Vec<Labelled>) -> (Vec<Labelled>, Vec<String>) {
    let labels = images.iter().filter_map(|(_, label)| label.as_ref().ok());
    let is_name = |label: &WrittenLabel| matches!(label, WrittenLabel::Name(_));
    if !labels.clone().any(is_name) {
        let number = |label: &WrittenLabel| match label {
            WrittenLabel::Number(number) if (0..MAX_UNNAMED).contains(number) => Some(*number),
            _ => None,
        };
        let n_classes = labels.filter_map(number).max().map_or(0, |max| max + 1);
        return (images, (0..n_classes).map(|number| number.to_string()).collect());
    }
    let mut names = BTreeSet::new();
    for (_, label) in &mut images {
        if let Ok(found) = label {
            let name = std::mem::replace(found, WrittenLabel::Number(0)).into_name();
            names.insert(name.clone());
            *found = WrittenLabel::Name(name);
        }
    }
    (images, names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(labels: &[&str], names: Option<&[&str]>) -> (Vec<String>, Vec<u32>, Vec<String>) {
        let place = |i: usize| Place::File { path: format!("{i}.png").into(), bytes: 0 };
        let images = labels.iter().enumerate().map(|(i, label)| (place(i), Ok(WrittenLabel::parse(label))));
        let names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let Contents { classes, mut samples, broken, .. } = classify(images.collect(), names);
        samples.sort_by(|a, b| a.place.cmp(&b.place));
        let broken = broken.iter().map(|(place, reason)| format!("{}: {reason}", place.name().display()));
        (classes, samples.iter().map(|sample| sample.class()).collect(), broken.collect())
    }

    #[test]
    fn numbers_make_classes_up_to_the_largest() {
        assert_eq!(
            classified(&["2", "0", "02"], None),
            (vec!["0".into(), "1".into(), "2".into()], vec![2, 0, 2], vec![])
        );
        let (classes, numbers, broken) = classified(&["-1", "1", "65536", "99999999999999999999"], None);
        assert_eq!((classes.len(), numbers), (2, vec![1]));
        assert_eq!(broken[0], "0.png: label -1 is not a class: they are numbered from 0 to 1");
        assert_eq!(broken.len(), 3);
    }

    #[test]
    fn one_name_makes_all_of_them_names() {
        let (classes, numbers, broken) = classified(&["dog", "10", "cat", "9", "cat"], None);
        assert_eq!((classes.join(" "), numbers), ("10 9 cat dog".into(), vec![3, 0, 2, 1, 2]));
        assert!(broken.is_empty());
    }

    #[test]
    fn listed_names_are_the_classes() {
        let (classes, numbers, broken) = classified(&["dog", "0", "cow", "2"], Some(&["dog", "cat", "dog"]));
        assert_eq!((classes.len(), numbers), (3, vec![0, 0, 2]));
        assert_eq!(broken, ["2.png: label `cow` is not in classes.txt"]);
    }
}
