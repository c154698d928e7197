//! Shards as a data set, named as WebDataset names them: which files of a shard are images, and what their labels are.
//!
//! Invariant: what is an image and what its class is, the shard alone says; neighbors in other shards do not matter.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::Contents;
use super::folders::is_image_name;
use super::labels::{self, Label, Labelled};
use super::tables;
use crate::shard::{Member, Scan, Shard, is_table_name};
use crate::{DecodeError, Place, Split};

/// Most bytes of a label.
const MAX_LABEL_BYTES: u64 = 1024;

/// The images of shards, whose paths are relative to `root`; `names` are those of the classes, if they are known.
pub(crate) fn contents(root: &Path, shards: &[PathBuf], names: Option<Vec<String>>) -> Contents {
    let (tables, shards): (Vec<_>, Vec<_>) = shards.iter().cloned().partition(|path| is_table_name(path));
    let read = |path: PathBuf| images(root, &Arc::new(Shard::new(path)));
    let (mut images, own_names) = tables::images(root, &tables);
    let names = own_names.or(names);
    let mut n_other = 0;
    for (found, other) in shards.into_par_iter().map(read).collect::<Vec<_>>() {
        images.extend(found);
        n_other += other;
    }
    labels::classify(images, names, n_other)
}

/// A label, or what is wrong with it.
type Cls = Result<Label, String>;

/// The images of one shard, and how many other files there are.
fn images(root: &Path, shard: &Arc<Shard>) -> (Vec<Labelled>, usize) {
    let Scan { members, broken, mut n_other } = shard.scan(root);
    let place = |member: Member| Place::Member { shard: Arc::clone(shard), member: Box::new(member) };
    let mut images: Vec<Labelled> =
        broken.into_iter().map(|(member, reason)| (place(member), Err(reason))).collect();
    let (members, others): (Vec<_>, Vec<_>) =
        members.into_iter().filter(|member| !is_hidden(member.name())).partition(|m| is_image_name(m.name()));
    let (labels, n_labels) = match shard.file(root) {
        Ok(mut file) => read_labels(&mut file, &others),
        Err(_) => Default::default(),
    };
    n_other += others.len() - n_labels;
    let (mut names, mut keys) = (HashSet::new(), HashSet::new());
    for member in members {
        let (key, ending) = split_name(member.name());
        let twice = || DecodeError::Archive { reason: format!("a second `{}`", member.name().display()) };
        let label = match labels.get(&key) {
            _ if !names.insert(member.name().to_owned()) => {
                images.push((place(member.unnamed()), Err(twice())));
                continue;
            }
            // A mask or a thumbnail beside the image.
            Some(_) if ending.contains('.') => {
                n_other += 1;
                continue;
            }
            Some(_) if !keys.insert(key.clone()) => {
                Err(DecodeError::Archive { reason: format!("a second image of sample `{key}`") })
            }
            Some(label) => label.clone().map_err(|reason| DecodeError::NoLabel { reason }),
            None => class_folder(member.name()).ok_or_else(|| DecodeError::NoLabel {
                reason: "neither a .cls file nor a folder".to_owned(),
            }),
        };
        images.push((place(member), label));
    }
    // Labels without an image.
    n_other += labels.keys().filter(|key| !keys.contains(*key)).count();
    (images, n_other)
}

/// Labels by the key of their sample, and how many files they are.
fn read_labels(shard: &mut File, files: &[Member]) -> (HashMap<String, Cls>, usize) {
    let (mut labels, mut n) = (HashMap::new(), 0);
    let mut content = Vec::new();
    for file in files {
        let (key, ending) = split_name(file.name());
        if ending != "cls" {
            continue;
        }
        n += 1;
        let label = read_label(shard, file, &mut content);
        labels.entry(key).and_modify(|label| *label = Err("two .cls files".to_owned())).or_insert(label);
    }
    (labels, n)
}

fn read_label(shard: &mut File, file: &Member, content: &mut Vec<u8>) -> Cls {
    if file.bytes() > MAX_LABEL_BYTES {
        return Err(format!("the .cls file has {} bytes", file.bytes()));
    }
    file.read(shard, content).map_err(|reason| reason.to_string())?;
    match str::from_utf8(content).map(str::trim) {
        Ok("") => Err("the .cls file is empty".to_owned()),
        Ok(text) => Ok(Label::parse(text)),
        Err(_) => Err("the .cls file is not text".to_owned()),
    }
}

/// A name up to the first dot of its last part, and what follows the dot.
fn split_name(name: &Path) -> (String, String) {
    let last = name.file_name().unwrap_or_default().to_string_lossy();
    let (key, ending) = last.split_once('.').unwrap_or((&last, ""));
    (name.with_file_name(key).to_string_lossy().into_owned(), ending.to_ascii_lowercase())
}

/// Files that a file system hides, and those that archives from macOS have beside every other.
fn is_hidden(name: &Path) -> bool {
    name.components().any(|part| match part {
        Component::Normal(part) => part.as_encoded_bytes().starts_with(b"."),
        _ => false,
    })
}

/// The first folder of a name, as in an image folder.
fn class_folder(name: &Path) -> Option<Label> {
    let mut folders: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
    folders.pop();
    // Archives of a whole data set begin with the name of a split, which is no class.
    let is_split = folders.len() > 1 && Split::USUAL.contains(&&*folders[0]);
    folders.get(usize::from(is_split)).map(|folder| Label::Name(folder.clone().into_owned()))
}

#[cfg(test)]
pub(crate) mod tests;
