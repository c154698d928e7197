//! Where the numbers of tables come from, and whether they can be compared.
//!
//! Separate from the comparison, which knows numbers only.
//! Invariant: what is not known about a table is never held against it.

use std::collections::BTreeSet;

use mutualnet_bundle::{Bundle, QueryTable};
use mutualnet_core::Metric;

/// Where the numbers of one table come from, as far as its files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What to call the table.
    pub name: String,
    /// What its rows are measured by; only tables of the same metric can be compared at all.
    pub metric: Metric,
    /// SHA-256 of the training data.
    pub data: Option<String>,
    /// Class names, in the order of the outputs.
    pub classes: Option<Vec<String>>,
    /// Numbers of test images that its rows were evaluated on.
    pub n_test: BTreeSet<u64>,
}

impl Origin {
    /// The origin of a table, with the bundle that it belongs to if there is one.
    pub fn of(name: String, table: &QueryTable, bundle: Option<&Bundle>) -> Self {
        let data = bundle.map(|bundle| bundle.provenance().data_sha256.clone());
        Self {
            name,
            metric: table.metric(),
            data: data.filter(|hash| !hash.is_empty()),
            classes: bundle.map(|bundle| bundle.classes().to_vec()),
            n_test: table.rows().iter().map(|row| row.quality.n).collect(),
        }
    }
}

/// Why the tables cannot be compared fairly, in sentences; empty if they can, or if nothing known speaks against it.
pub fn differences(origins: &[Origin]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((a, b)) = differing(origins, |origin| origin.classes.as_ref()) {
        let [first, second] = [a, b].map(|origin| origin.classes.as_deref().unwrap_or_default());
        found.push(format!(
            "{} and {} have different classes: {}",
            a.name,
            b.name,
            class_difference(first, second)
        ));
    }
    if let Some((a, b)) = differing(origins, |origin| origin.data.as_ref()) {
        found.push(format!("{} and {} were trained on different data", a.name, b.name));
    }
    for origin in origins.iter().filter(|origin| origin.n_test.len() > 1) {
        found.push(format!("the rows of {} were evaluated on different numbers of test images", origin.name));
    }
    if let Some((a, b)) = differing(origins, |origin| Some(&origin.n_test)) {
        let [first, second] = [a, b].map(|origin| origin.n_test.last().copied().unwrap_or(0));
        if first != second {
            let names = format!("{} and {}", a.name, b.name);
            found.push(format!(
                "{names} were evaluated on different numbers of test images: {first} and {second}"
            ));
        }
    }
    found
}

/// The first table with a known value, and the first one whose value is different.
fn differing<'a, T: PartialEq + 'a>(
    origins: &'a [Origin],
    known: impl Fn(&'a Origin) -> Option<&'a T>,
) -> Option<(&'a Origin, &'a Origin)> {
    let mut all = origins.iter().filter_map(|origin| Some((origin, known(origin)?)));
    let (first, value) = all.next()?;
    all.find(|(_, other)| *other != value).map(|(other, _)| (first, other))
}

fn class_difference(first: &[String], second: &[String]) -> String {
    if first.len() != second.len() {
        return format!("{} and {}", first.len(), second.len());
    }
    let differing = first.iter().zip(second).enumerate().find(|(_, (a, b))| a != b);
    differing.map_or_else(String::new, |(idx, (a, b))| format!("number {idx} is `{a}` and `{b}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str, data: Option<&str>, classes: Option<&[&str]>, n_test: u64) -> Origin {
        let classes = classes.map(|classes| classes.iter().map(|&class| class.to_owned()).collect());
        let (name, data) = (name.to_owned(), data.map(str::to_owned));
        Origin { name, metric: Metric::Accuracy, data, classes, n_test: [n_test].into() }
    }

    #[test]
    fn what_differs_is_said_once_with_names() {
        let cats: Option<&[&str]> = Some(&["cat", "dog"]);
        let a = origin("a", Some("1"), cats, 8);
        assert_eq!(differences(&[a.clone(), origin("b", Some("1"), cats, 8)]), Vec::<String>::new());
        assert_eq!(differences(&[a.clone(), origin("b", None, None, 8)]), Vec::<String>::new());
        assert_eq!(
            differences(&[a.clone(), origin("b", None, None, 8), origin("c", Some("2"), cats, 24)]),
            [
                "a and c were trained on different data",
                "a and c were evaluated on different numbers of test images: 8 and 24"
            ]
        );
        assert_eq!(
            differences(&[a.clone(), origin("b", None, Some(&["dog", "cat"]), 8)]),
            ["a and b have different classes: number 0 is `cat` and `dog`"]
        );
        assert_eq!(
            differences(&[a.clone(), origin("b", None, Some(&["dog"]), 8)]),
            ["a and b have different classes: 2 and 1"]
        );
        let mixed = Origin { n_test: [7, 8].into(), ..a };
        assert_eq!(
            differences(&[mixed]),
            ["the rows of a were evaluated on different numbers of test images"]
        );
    }
}
