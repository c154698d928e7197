//! What labels say, and the classes that come of all of them.
//!
//! Separate because every layout in which a label is not a folder needs it.
//! Invariant: a label that is no class makes a broken image, never a class of its own.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Contents, SampleRef};
use crate::{DecodeError, Error, Place, Result};

/// Names of the classes by their numbers, one a line, in a data set's directory.
pub(crate) const FILE: &str = "classes.txt";

/// Most classes that numbers alone can make: one label that is damaged must not make millions.
const MAX_UNNAMED: i64 = 1 << 16;

/// What stands where the class of an image should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Label {
    Number(i64),
    Name(String),
}

impl Label {
    /// Everything that is digits is a number, however large.
    pub(crate) fn parse(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Name(text.to_owned());
        }
        Self::Number(text.parse().unwrap_or(i64::MAX))
    }

    fn into_name(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name,
        }
    }
}

/// An image and what is known of its class.
pub(crate) type Labelled = (Place, Result<Label, DecodeError>);

/// Names in the class file of a directory, if it has one.
pub(crate) fn read_names(dir: &Path) -> Result<Option<Vec<String>>> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(lines(&text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path, source }),
    }
}

/// Lines that are not empty, without spaces around them.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Gives every image its class.
///
/// Without names, classes are all the numbers up to the largest, or, where one label is a name, all labels, sorted.
pub(crate) fn classify(images: Vec<Labelled>, names: Option<Vec<String>>, n_other: usize) -> Contents {
    let (images, classes) = match names {
        Some(names) => (images, names),
        None => invent(images),
    };
    // In reverse, so that the first of two equal names counts.
    let numbers: HashMap<&str, u32> =
        (0..classes.len()).rev().map(|i| (classes[i].as_str(), i as u32)).collect();
    let class = |label: Label| match label {
        Label::Number(label) => match usize::try_from(label) {
            Ok(number) if number < classes.len() => Ok(number as u32),
            _ => Err(DecodeError::Label { label, classes: classes.len() }),
        },
        Label::Name(label) => numbers.get(label.as_str()).copied().ok_or(DecodeError::UnknownClass { label }),
    };
    let (mut samples, mut broken) = (Vec::new(), Vec::new());
    for (place, label) in images {
        match label.and_then(class) {
            Ok(class) => samples.push(SampleRef { place, class }),
            Err(reason) => broken.push((place, reason)),
        }
    }
    samples.sort_by(|a, b| (a.class, &a.place).cmp(&(b.class, &b.place)));
    broken.sort_by(|(a, _), (b, _)| a.cmp(b));
    Contents { classes, samples, broken, n_other }
}

/// Classes for labels of which no names are known. If one of them is a name, all of them become names.
fn invent(mut images: Vec<Labelled>) -> (Vec<Labelled>, Vec<String>) {
    let labels = images.iter().filter_map(|(_, label)| label.as_ref().ok());
    let is_name = |label: &Label| matches!(label, Label::Name(_));
    if !labels.clone().any(is_name) {
        let number = |label: &Label| match label {
            Label::Number(number) if (0..MAX_UNNAMED).contains(number) => Some(*number),
            _ => None,
        };
        let n_classes = labels.filter_map(number).max().map_or(0, |max| max + 1);
        return (images, (0..n_classes).map(|number| number.to_string()).collect());
    }
    let mut names = BTreeSet::new();
    for (_, label) in &mut images {
        if let Ok(found) = label {
            let name = std::mem::replace(found, Label::Number(0)).into_name();
            names.insert(name.clone());
            *found = Label::Name(name);
        }
    }
    (images, names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(labels: &[&str], names: Option<&[&str]>) -> (Vec<String>, Vec<u32>, Vec<String>) {
        let place = |i: usize| Place::File { path: format!("{i}.png").into(), bytes: 0 };
        let images = labels.iter().enumerate().map(|(i, label)| (place(i), Ok(Label::parse(label))));
        let names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let Contents { classes, mut samples, broken, .. } = classify(images.collect(), names, 0);
        samples.sort_by(|a, b| a.place.cmp(&b.place));
        let broken = broken.iter().map(|(place, reason)| format!("{}: {reason}", place.name().display()));
        (classes, samples.iter().map(|sample| sample.class).collect(), broken.collect())
    }

    #[test]
    fn numbers_make_classes_up_to_the_largest() {
        assert_eq!(
            classified(&["2", "0", "02"], None),
            (vec!["0".into(), "1".into(), "2".into()], vec![2, 0, 2], vec![])
        );
        let (classes, numbers, broken) = classified(&["-1", "1", "65536", "99999999999999999999"], None);
        assert_eq!((classes.len(), numbers), (2, vec![1]));
        assert_eq!(broken[0], "0.png: label -1 is not one of the 2 classes");
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
