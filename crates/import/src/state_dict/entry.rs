//! Which dict of a pickle is the state dict.
//!
//! Separate because training scripts keep it under many names, beside many other things.
//! Invariant: names are the file's own bytes, short, and each is once in its dict; so memory and time are linear in the
//! pickle, however often it refers to one text or one dict.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Data, Format, StateDict, Storages, Stored, checked_name, twice};
use crate::pickle::{Id, Pickle, Value};
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
    if !matches!(root, Value::Dict(_)) {
        return Err(missing("it holds no dict".to_owned()));
    }
    let done = |entry, other_entries, dict| {
        let tensors = object.tensors(dict)?;
        Ok(StateDict { format, entry, other_entries, prefix: String::new(), tensors, storages })
    };
    if entry.is_none() && object.n_tensors(root) > 0 {
        return done(None, vec![], root);
    }
    let mut found = object.named(root)?;
    // A dict that occurs under many keys is looked at once.
    let mut seen = HashSet::new();
    found.retain(|&(_, value)| seen.insert(value) && object.n_tensors(object.get(value)) > 0);
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
    let (key, dict) = found.remove(chosen);
    done(Some(key.to_owned()), names(&found), object.get(dict))
}

impl<'a> Pickle<'a> {
    /// The tensors of a dict, by name; other entries are read over.
    fn tensors(&self, dict: &Value<'a>) -> Result<Vec<Stored<'a>>> {
        let named = self.named(dict)?.into_iter();
        let tensors = named.filter_map(|(name, value)| match self.get(value) {
            Value::Tensor(view) => Some(Stored {
                name: Cow::Borrowed(name),
                shape: view.shape.clone(),
                dtype: view.storage.dtype,
                data: Data::View(view.clone()),
            }),
            _ => None,
        });
        Ok(tensors.collect())
    }

    /// How many tensors a dict has, without a look at their names.
    fn n_tensors(&self, dict: &Value<'a>) -> usize {
        self.texts(dict).filter(|(_, value)| matches!(self.get(*value), Value::Tensor(_))).count()
    }

    /// The entries of a dict that have a text for a key.
    ///
    /// # Errors
    /// A key is too long, or there twice.
    fn named(&self, dict: &Value<'a>) -> Result<Vec<(&'a str, Id)>> {
        let mut names = HashSet::new();
        let entries = self.texts(dict).map(|(name, value)| {
            if names.insert(checked_name(name)?) { Ok((name, value)) } else { Err(twice(name)) }
        });
        entries.collect()
    }

    fn texts(&self, dict: &Value<'a>) -> impl Iterator<Item = (&'a str, Id)> {
        let entries = if let Value::Dict(entries) = dict { entries.as_slice() } else { &[] };
        entries.iter().filter_map(|&(key, value)| match self.get(key) {
            Value::Text(key) => Some((*key, value)),
            _ => None,
        })
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
