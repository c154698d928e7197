//! Finds the prefix under which a checkpoint has a network's tensors.
//!
//! Training programs wrap a network in modules of their own, so that every name begins with `module.`, `model.`,
//! `backbone.encoder.` and so on, and they save losses, metrics and copies beside it.
//! Invariant: a prefix follows from the network's names, never from a list of prefixes; time is linear in the names.

use std::collections::{HashMap, HashSet};

use crate::state_dict::{StateDict, Stored};
use crate::{Error, Result};

/// Deepest prefix that is found without names, by the number of tensors under it.
const MAX_DEPTH: usize = 8;

/// The tensors under a prefix, and all others.
pub(crate) struct Part<'s, 'a> {
    /// The prefix with its dot at the end, or empty.
    pub(crate) prefix: String,
    /// Names without the prefix, in the order of the file.
    pub(crate) tensors: Vec<(&'s str, &'s Stored<'a>)>,
    pub(crate) outside: Vec<&'s Stored<'a>>,
}

impl<'s, 'a> Part<'s, 'a> {
    pub(crate) fn new(state: &'s StateDict<'a>, prefix: &str) -> Self {
        let (mut tensors, mut outside) = (Vec::new(), Vec::new());
        for tensor in &state.tensors {
            match tensor.name.strip_prefix(prefix) {
                Some(name) => tensors.push((name, tensor)),
                None => outside.push(tensor),
            }
        }
        Self { prefix: prefix.to_owned(), tensors, outside }
    }

    /// The part that was asked for.
    ///
    /// # Errors
    /// No tensor's name begins with it.
    pub(crate) fn asked(state: &'s StateDict<'a>, prefix: &str) -> Result<Self> {
        let prefix = match prefix {
            "" => String::new(),
            prefix => format!("{}.", prefix.trim_end_matches('.')),
        };
        let part = Self::new(state, &prefix);
        if part.tensors.is_empty() {
            let mut found: Vec<_> = state.tensors.iter().map(|t| first_module(&t.name).to_owned()).collect();
            found.dedup();
            return Err(Error::Prefix { prefix, found });
        }
        Ok(part)
    }
}

/// The beginning of a name up to its first dot, or all of it.
pub(crate) fn first_module(name: &str) -> &str {
    name.find('.').map_or(name, |dot| &name[..=dot])
}

/// Prefixes under which names of the network were found, and how many; most first, ties in the order of the file.
pub(crate) fn ranked<'s>(state: &'s StateDict<'_>, names: &[&str]) -> Vec<(&'s str, usize)> {
    let known: HashSet<&str> = names.iter().copied().collect();
    let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut in_order = Vec::new();
    for tensor in &state.tensors {
        let name = tensor.name.as_str();
        let starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
        for start in starts.filter(|start| name.len() - start <= longest) {
            if known.contains(&name[start..]) {
                let count = counts.entry(&name[..start]).or_insert(0);
                *count += 1;
                if *count == 1 {
                    in_order.push(&name[..start]);
                }
            }
        }
    }
    let mut ranked: Vec<_> = in_order.into_iter().map(|prefix| (prefix, counts[prefix])).collect();
    // Stable: equals stay in the order of the file.
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ranked
}

/// The prefix under which there are exactly `n` of the tensors: the first in the file, and of its prefixes the longest;
/// empty if there is none.
pub(crate) fn by_count<'s>(tensors: impl Iterator<Item = &'s str>, n: usize) -> &'s str {
    // How many there are, and which tensor is the first one.
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    for (idx, name) in tensors.enumerate() {
        for (dot, _) in name.match_indices('.').take(MAX_DEPTH) {
            counts.entry(&name[..=dot]).or_insert((0, idx)).0 += 1;
        }
    }
    let fitting = counts.into_iter().filter(|(_, (count, _))| *count == n);
    let first = fitting.min_by_key(|(prefix, (_, idx))| (*idx, std::cmp::Reverse(prefix.len())));
    first.map_or("", |(prefix, _)| prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(names: &[&str]) -> StateDict<'static> {
        StateDict::of_shapes(&names.iter().map(|name| (*name, vec![])).collect::<Vec<_>>())
    }

    #[test]
    fn the_prefix_with_most_names_comes_first() {
        let names = ["conv1.weight", "fc.weight", "fc.bias"];
        let state = state(&[
            "ema.net.conv1.weight",
            "net.conv1.weight",
            "net.fc.weight",
            "net.fc.bias",
            "ema.net.fc.weight",
            "ema.net.fc.bias",
            "criterion.fc.bias",
            "unlike_fc.weight",
        ]);
        assert_eq!(ranked(&state, &names), [("ema.net.", 3), ("net.", 3), ("criterion.", 1)]);
        let part = Part::asked(&state, "net").unwrap();
        assert_eq!(part.tensors.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        assert_eq!(part.outside.len(), 5);
        assert_eq!(Part::asked(&state, "").unwrap().outside.len(), 0);
        let error = Part::asked(&state, "model.").map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains("`model.`") && error.contains("ema., net., ema., criterion., unlike_fc."),
            "{error}"
        );
    }

    #[test]
    fn a_prefix_by_the_number_of_tensors() {
        let names = ["a.b.x", "a.b.y", "a.b.z", "loss.x", "ema.x"];
        let by = |n| by_count(names.into_iter(), n);
        assert_eq!((by(5), by(3), by(1), by(7)), ("", "a.b.", "loss.", ""));
    }
}
