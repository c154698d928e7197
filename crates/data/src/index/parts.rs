//! Parts of a data set: files named `…-00000-of-00002…`, which say how many of them there are.
//!
//! Separate because it looks at names alone, of shards and of tables alike.
//! Invariant: a set of parts is used only if it has each part exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Most missing parts that are named.
const NAMED: usize = 3;

/// What is wrong with a set of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartsFault {
    /// Some parts are missing.
    Missing {
        /// The first few of them, by name.
        files: Vec<PathBuf>,
        /// How many are missing.
        n: u64,
        /// How many there should be.
        of: u64,
    },
    /// Two files of a set disagree on the number of parts.
    Totals {
        /// A file.
        first: PathBuf,
        /// A file with a different number of parts.
        second: PathBuf,
    },
    /// Two files are the same part.
    Twice {
        /// A file.
        first: PathBuf,
        /// A file with the same number.
        second: PathBuf,
    },
    /// A file has a number that no part can have.
    TooMany {
        /// The file.
        file: PathBuf,
        /// How many parts there should be.
        of: u64,
    },
}

impl fmt::Display for PartsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { files, n, of } => {
                let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                let are = if *n == 1 { "is" } else { "are" };
                write!(f, "{n} of {of} parts {are} missing: {}", names.join(", "))?;
                match n - files.len() as u64 {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Totals { first, second } => write!(
                f,
                "two files disagree on the number of parts: {} and {}",
                first.display(),
                second.display()
            ),
            Self::Twice { first, second } => {
                write!(f, "the same part exists twice: {} and {}", first.display(), second.display())
            }
            Self::TooMany { file, of } => {
                write!(f, "the part number is too high for a total of {of}: {}", file.display())
            }
        }
    }
}

/// A name that says which part a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PartName<'a> {
    /// What is before the numbers, without the separator.
    stem: &'a str,
    separator: char,
    number: u64,
    /// Digits that the number is written with.
    digits: usize,
    total: &'a str,
    /// What is after the numbers: an ending, or a checksum and an ending.
    rest: &'a str,
}

impl<'a> PartName<'a> {
    /// Takes the last `-N-of-M` of a name; `_N_of_M` and `.N-of-M` count too.
    fn parse(name: &'a str) -> Option<Self> {
        ["-of-", "_of_"].into_iter().find_map(|of| {
            let (before, after) = name.rsplit_once(of)?;
            let number = &before[before.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
            let stem = &before[..before.len() - number.len()];
            let separator = stem.chars().last().filter(|c| matches!(c, '-' | '_' | '.'))?;
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            let total = &after[..after.len() - rest.len()];
            // Longer numbers do not count files.
            let is_number = |text: &str| (1..=9).contains(&text.len());
            let ends = rest.is_empty() || rest.starts_with(['.', '-', '_']);
            (is_number(number) && is_number(total) && ends).then_some(Self {
                stem: &stem[..stem.len() - 1],
                separator,
                number: number.parse().ok()?,
                digits: number.len(),
                total,
                rest,
            })
        })
    }

    fn total(&self) -> u64 {
        self.total.parse().unwrap_or(0)
    }

    /// The ending; a checksum before it is not part of it.
    fn ending(&self) -> &'a str {
        self.rest.find('.').map_or("", |dot| &self.rest[dot..])
    }

    /// The name of another part; a checksum is not known of it.
    fn of_part(&self, number: u64) -> String {
        let Self { stem, separator, digits, total, .. } = self;
        let of = if *separator == '_' { "_of_" } else { "-of-" };
        let ending = self.ending();
        let checksum = if self.rest == ending { "" } else { "-*" };
        format!("{stem}{separator}{number:0digits$}{of}{total}{checksum}{ending}")
    }
}

/// The name without its numbers and what follows them, if it says which part it is.
pub(crate) fn without_part(name: &str) -> &str {
    PartName::parse(name).map_or(name, |part| part.stem)
}

/// What is wrong with the sets of parts among some files; all parts of a set are in one folder.
pub(crate) fn faults(files: &[PathBuf]) -> Vec<PartsFault> {
    let mut sets: BTreeMap<_, Vec<(PartName<'_>, &PathBuf)>> = BTreeMap::new();
    for file in files {
        let Some(part) = file.file_name().and_then(|name| PartName::parse(name.to_str()?)) else { continue };
        let key = (file.parent(), part.stem, part.ending().to_ascii_lowercase());
        sets.entry(key).or_default().push((part, file));
    }
    sets.into_values().filter_map(|parts| fault(&parts)).collect()
}

fn fault(parts: &[(PartName<'_>, &PathBuf)]) -> Option<PartsFault> {
    let (first, first_file) = parts.first()?;
    let of = first.total();
    let mut by_number = BTreeMap::new();
    for (part, file) in parts {
        if part.total() != of {
            return Some(PartsFault::Totals { first: (*first_file).clone(), second: (*file).clone() });
        }
        if let Some(other) = by_number.insert(part.number, *file) {
            return Some(PartsFault::Twice { first: other.clone(), second: (*file).clone() });
        }
    }
    // Parts are numbered from 0, unless the last one can only be counted from 1.
    let start = u64::from(by_number.contains_key(&of) && !by_number.contains_key(&0));
    if let Some((_, file)) = by_number.range(start + of..).next_back() {
        return Some(PartsFault::TooMany { file: (*file).clone(), of });
    }
    let there: BTreeSet<u64> = by_number.into_keys().collect();
    let missing = (start..start + of).filter(|number| !there.contains(number));
    let folder = first_file.parent().unwrap_or(Path::new(""));
    let files: Vec<_> = missing.take(NAMED).map(|number| folder.join(first.of_part(number))).collect();
    let n = of - there.len() as u64;
    (n > 0).then_some(PartsFault::Missing { files, n, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Vec<String> {
        let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        faults(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whole_sets_and_names_without_numbers_are_fine() {
        for names in [
            &["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"][..],
            &["train-00001-of-00002.tar", "train-00002-of-00002.tar"],
            &["a/data-00000-of-00001.arrow", "b/data-00000-of-00001.arrow"],
            &["train-00000-of-00001-0badcafe.parquet"],
            &["train_0_of_2.zip", "train_1_of_2.zip"],
            &[
                "train-000.tar",
                "train-007.tar",
                "one-of-two.tar",
                "train-of-2.tar",
                "train-1-of-x.tar",
                "of.tar",
            ],
            &["train-0-of-2000000000000.tar", "best-1-of-3friends.tar"],
        ] {
            assert_eq!(told(names), [""; 0], "{names:?}");
        }
    }

    #[test]
    fn missing_parts_are_named() {
        for (names, text) in [
            (
                &["data/train-00000-of-00002.parquet"][..],
                "1 of 2 parts is missing: data/train-00001-of-00002.parquet",
            ),
            (&["train-00001-of-00002.tar.gz"], "1 of 2 parts is missing: train-00000-of-00002.tar.gz"),
            (&["t-1-of-3.zip", "t-3-of-3.zip"], "1 of 3 parts is missing: t-2-of-3.zip"),
            (&["t-00000-of-00002-0badcafe.parquet"], "1 of 2 parts is missing: t-00001-of-00002-*.parquet"),
            (&["t.0-of-2.tar"], "1 of 2 parts is missing: t.1-of-2.tar"),
            (&["t_0_of_2.tar"], "1 of 2 parts is missing: t_1_of_2.tar"),
            (
                &["t-8-of-999999999.tar"],
                "999999998 of 999999999 parts are missing: t-0-of-999999999.tar, \
             t-1-of-999999999.tar, t-2-of-999999999.tar and 999999995 more",
            ),
        ] {
            assert_eq!(told(names), [text]);
        }
        assert_eq!(told(&["train-0-of-2.tar", "test-0-of-2.tar", "train-1-of-2.zip"]).len(), 3);
    }

    #[test]
    fn parts_that_contradict_each_other_are_named() {
        for (names, text) in [
            (
                ["t-0-of-2.tar", "t-1-of-3.tar"],
                "two files disagree on the number of parts: t-0-of-2.tar and t-1-of-3.tar",
            ),
            (
                ["t-0-of-1.tar", "t-00000-of-00001.tar"],
                "the same part exists twice: t-0-of-1.tar and t-00000-of-00001.tar",
            ),
            (
                ["t-0-of-1-a.tar", "t-0-of-1-b.tar"],
                "the same part exists twice: t-0-of-1-a.tar and t-0-of-1-b.tar",
            ),
            (["t-0-of-1.tar", "t-1-of-1.tar"], "the part number is too high for a total of 1: t-1-of-1.tar"),
            (["t-0-of-0.tar", "t-0-of-0.zip"], "the part number is too high for a total of 0: t-0-of-0.tar"),
        ] {
            assert_eq!(told(&names)[0], text);
        }
    }
}
