//! Which dict of a pickle is the state dict.
//!
//! Separate because training scripts keep it under many names, beside many other things.

use std::collections::HashSet;

use super::{Data, Format, StateDict, Storages, Stored};
use crate::pickle::{Pickle, Value};
use crate::{Error, Result};

/// Keys under which training scripts keep a state dict beside other things, the first one is taken.
const ENTRIES: &[&str] =
    &["model", "state_dict", "model_state_dict", "model_state", "net", "model_ema", "state_dict_ema"];

pub(super) fn from_pickle<'a>(
    format: Format,
    object: &Pickle<'a>,
    storages: Storages<'a>,
    entry: Option<&str>,
) -> Result<StateDict<'a>> {
    let missing = |reason: String| Error::NoStateDict { reason };
    let root = object.get(object.root());
    let Value::Dict(entries) = root else {
        return Err(missing("it holds no dict".to_owned()));
    };
    let done = |entry, other_entries, tensors| {
        Ok(StateDict { format, entry, other_entries, prefix: String::new(), tensors, storages })
    };
    let direct = object.tensors(root);
    if entry.is_none() && !direct.is_empty() {
        return done(None, vec![], direct);
    }
    // A dict that occurs under many keys is looked at once.
    let mut seen = HashSet::new();
    let texts = entries.iter().filter_map(|&(key, value)| match object.get(key) {
        Value::Text(key) if seen.insert(value) => Some((*key, value)),
        _ => None,
    });
    let mut found: Vec<_> = texts
        .map(|(key, value)| (key, object.tensors(object.get(value))))
        .filter(|(_, t)| !t.is_empty())
        .collect();
    let names = |found: &[(&str, _)]| found.iter().map(|(key, _)| (*key).to_owned()).collect::<Vec<_>>();
    let chosen = match entry {
        Some(entry) => found.iter().position(|(key, _)| *key == entry).ok_or_else(|| {
            missing(format!("there is none under `{entry}`; there is {}", list(&names(&found))))
        })?,
        None if found.len() == 1 => 0,
        None => {
            let known = ENTRIES.iter().find_map(|known| found.iter().position(|(key, _)| key == known));
            known.ok_or_else(|| missing(format!("choose one with --entry: {}", list(&names(&found)))))?
        }
    };
    let (key, tensors) = found.swap_remove(chosen);
    let others = names(&found);
    done(Some(key.to_owned()), others, tensors)
}

impl<'a> Pickle<'a> {
    /// The tensors of a dict, by name; other entries are read over.
    fn tensors(&self, value: &Value<'a>) -> Vec<Stored<'a>> {
        let Value::Dict(entries) = value else { return vec![] };
        let entries = entries.iter().map(|&(key, value)| (self.get(key), self.get(value)));
        entries
            .filter_map(|entry| match entry {
                (Value::Text(name), Value::Tensor(view)) => Some(Stored {
                    name: (*name).to_owned(),
                    shape: view.shape.clone(),
                    dtype: view.storage.dtype,
                    data: Data::View(view.clone()),
                }),
                _ => None,
            })
            .collect()
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
