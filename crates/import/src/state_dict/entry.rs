//! Finds the state dict among the dicts of a pickle.
//!
//! Separate because training scripts keep it under many names and beside many other things.
//! Invariant: names are short and occur once per dict, so memory and time are linear in the pickle, however often it
//! refers to one string or one dict.

use std::collections::HashSet;

use super::{Data, Format, StateDict, Stored, View, checked_name, twice};
use crate::content::Storages;
use crate::error::shorten;
use crate::pickle::{Id, Pickle, Value};
use crate::{Error, Result, printable};

/// Keys under which training scripts keep a state dict, most likely first; see [`choose`].
const ENTRIES: &[&str] =
    &["model", "state_dict", "model_state_dict", "model_state", "net", "model_ema", "state_dict_ema"];

/// How many keys a message names.
const SHOWN: usize = 10;

/// A dict with tensors that is a value of the root.
struct Candidate<'a> {
    key: &'a str,
    dict: Id,
    n_tensors: usize,
}

/// The state dict: the root, or a dict in it, as [`choose`] says.
///
/// # Errors
/// There is none, or several and no rule to choose one; or a name in it is too long or occurs twice.
pub(super) fn from_pickle<'a>(
    format: Format,
    object: &Pickle<'_>,
    storages: &Storages<'a>,
    entry: Option<&str>,
) -> Result<StateDict<'a>> {
    let root = object.get(object.root());
    if !matches!(root, Value::Dict(_)) {
        return Err(object.not_a_dict());
    }
    let mut found = object.candidates(root)?;
    let chosen = choose(&found, object.n_tensors(root), entry)?.map(|idx| found.remove(idx));
    let dict = chosen.as_ref().map_or(root, |chosen| object.get(chosen.dict));
    Ok(StateDict {
        format,
        entry: chosen.map(|chosen| chosen.key.to_owned()),
        other_entries: keys(&found),
        not_read: object.not_read.clone(),
        tensors: object.tensors(dict, storages)?,
    })
}

/// Index of the one to take; `None` is the root, which itself has `n_root` tensors.
///
/// The first of these that exists: the key that was asked for; a known key whose dict has more tensors than the root
/// (which may have a few, such as the best accuracy); the root, if it has tensors; the only dict with tensors.
fn choose(found: &[Candidate<'_>], n_root: usize, entry: Option<&str>) -> Result<Option<usize>> {
    let missing = |reason: String| Err(Error::NoStateDict { reason });
    let at = |key: &str| found.iter().position(|candidate| candidate.key == key);
    if let Some(entry) = entry {
        return match at(entry) {
            None => {
                missing(format!("there is none under `{}`, only under: {}", printable(entry), list(found)))
            }
            idx => Ok(idx),
        };
    }
    let known = ENTRIES.iter().find_map(|known| at(known).filter(|idx| found[*idx].n_tensors > n_root));
    match found {
        _ if known.is_some() => Ok(known),
        _ if n_root > 0 => Ok(None),
        [] => missing("no dict in it holds tensors".to_owned()),
        [_] => Ok(Some(0)),
        _ => missing(format!("there are several; choose one with --entry: {}", list(found))),
    }
}

fn keys(found: &[Candidate<'_>]) -> Vec<String> {
    found.iter().map(|candidate| candidate.key.to_owned()).collect()
}

/// The keys that `--entry` can name.
fn list(found: &[Candidate<'_>]) -> String {
    if found.is_empty() { "none".to_owned() } else { shorten(&keys(found), SHOWN) }
}

impl<'a> Pickle<'a> {
    /// Dicts with tensors that the root holds; one that occurs under many keys is looked at once.
    fn candidates(&self, root: &Value<'a>) -> Result<Vec<Candidate<'a>>> {
        let mut seen = HashSet::new();
        let dicts = self.named(root)?.into_iter().filter(|(_, dict)| seen.insert(*dict));
        let found =
            dicts.map(|(key, dict)| Candidate { key, dict, n_tensors: self.n_tensors(self.get(dict)) });
        Ok(found.filter(|candidate| candidate.n_tensors > 0).collect())
    }

    /// The error for a file that holds something other than a dict.
    fn not_a_dict(&self) -> Error {
        match (self.get(self.root()), self.not_read.first()) {
            (Value::Opaque, Some(class)) => Error::WholeObject { class: class.clone() },
            _ => Error::NoStateDict { reason: "the file does not hold a dict".to_owned() },
        }
    }

    /// The tensors of a dict, by name; other entries are skipped.
    fn tensors<'f>(&self, dict: &Value<'a>, storages: &Storages<'f>) -> Result<Vec<Stored<'f>>> {
        let named = self.named(dict)?.into_iter();
        let tensors = named.filter_map(|(name, value)| match self.get(value) {
            Value::Tensor(view) => Some(Stored {
                name: name.to_owned(),
                shape: view.shape.clone(),
                dtype: view.storage.dtype,
                data: Data::View(View {
                    storage: storages.get(view.storage.key).copied(),
                    elements: view.storage.elements,
                    offset: view.offset,
                    stride: view.stride.clone(),
                }),
            }),
            _ => None,
        });
        Ok(tensors.collect())
    }

    /// How many tensors a dict has, without looking at their names.
    fn n_tensors(&self, dict: &Value<'a>) -> usize {
        self.texts(dict).filter(|(_, value)| matches!(self.get(*value), Value::Tensor(_))).count()
    }

    /// The entries of a dict whose key is a string.
    ///
    /// # Errors
    /// A key is too long or occurs twice.
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A text, a tensor or a dict, as the operations that leave it.
    fn text(text: &str) -> Vec<u8> {
        [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
    }

    fn tensor() -> Vec<u8> {
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
          X\x01\x00\x00\x000NK\x01tQK\x00))tR"
            .to_vec()
    }

    fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let entries: Vec<_> =
            entries.iter().map(|(key, value)| [text(key), value.clone()].concat()).collect();
        [b"}(", entries.concat().as_slice(), b"u"].concat()
    }

    fn tensors(n: usize) -> Vec<u8> {
        let names: Vec<_> = (0..n).map(|idx| idx.to_string()).collect();
        dict(&names.iter().map(|name| (name.as_str(), tensor())).collect::<Vec<_>>())
    }

    fn read(root: &[u8], entry: Option<&str>) -> Result<(Option<String>, usize, Vec<String>)> {
        let bytes = [b"\x80\x02", root, b"."].concat();
        let object = Pickle::read(&bytes)?;
        let state = from_pickle(Format::TorchZip, &object, &HashMap::new(), entry)?;
        Ok((state.entry, state.tensors.len(), state.other_entries))
    }

    #[test]
    fn a_state_dict_beside_other_things() {
        let check = |entries: &[(&str, Vec<u8>)], entry, n, others: &[&str]| {
            let (found, n_found, found_others) = read(&dict(entries), None).unwrap();
            let (found, found_others) = (found.as_deref(), found_others.iter().map(String::as_str));
            assert_eq!((found, n_found, found_others.collect::<Vec<_>>()), (entry, n, others.to_vec()));
        };
        check(&[("a", tensor()), ("b", tensor())], None, 2, &[]);
        check(&[("epoch", text("7")), ("weights", tensors(2))], Some("weights"), 2, &[]);
        check(
            &[("ema", tensors(2)), ("net", tensors(2)), ("model", tensors(1))],
            Some("model"),
            1,
            &["ema", "net"],
        );
        // A number of the training that is a tensor does not hide it.
        check(&[("model", tensors(3)), ("best_acc", tensor())], Some("model"), 3, &[]);
        check(&[("best_acc", tensor()), ("net", tensors(2)), ("ema", tensors(2))], Some("net"), 2, &["ema"]);
        check(&[("loss", tensor()), ("model", tensors(1)), ("net", tensors(2))], Some("net"), 2, &["model"]);
        // As many or fewer are a part of what is beside them; other names are not preferred.
        check(&[("a", tensor()), ("b", tensor()), ("net", tensors(2))], None, 2, &["net"]);
        check(&[("best_acc", tensor()), ("weights", tensors(2))], None, 1, &["weights"]);
    }

    #[test]
    fn one_of_several_is_not_guessed() {
        let root = dict(&[("a", tensors(1)), ("b", tensors(2))]);
        let told = |root: &[u8], entry| read(root, entry).unwrap_err().to_string();
        assert!(told(&root, None).contains("choose one with --entry: a, b"), "{}", told(&root, None));
        assert_eq!(read(&root, Some("b")).unwrap(), (Some("b".to_owned()), 2, vec!["a".to_owned()]));
        assert!(told(&root, Some("model")).contains("none under `model`, only under: a, b"));
        assert!(told(&tensors(0), None).contains("no dict in it holds tensors"));
        assert!(told(&tensors(0), Some("model")).contains("only under: none"));
        assert!(told(b")", None).contains("does not hold a dict"));
    }
}
