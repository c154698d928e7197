//! Shards as a data set: which files in them are images, and what their labels are, by the naming rules of WebDataset.
//!
//! Invariant: a shard alone decides what its images and their classes are; files in other shards do not matter.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::folders::is_image_name;
use super::labels::{self, Labelled, WrittenLabel};
use super::tables;
use mutualnet_image::Others;

use super::Contents;
use crate::shard::{Member, Scan, Shard, is_table_name};
use crate::{Place, SampleError, Split};
use mutualnet_image::junk::has_skipped_part;

/// Extension of a label.
const LABEL: &str = "cls";
/// Most bytes of a label.
const MAX_LABEL_BYTES: u64 = 1024;

/// The images of shards, whose paths are relative to `root`; `names` are those of the classes, if they are known.
pub(crate) fn contents(root: &Path, shards: &[PathBuf], names: Option<Vec<String>>) -> Contents {
    let (tables, shards): (Vec<_>, Vec<_>) = shards.iter().cloned().partition(|path| is_table_name(path));
    let read = |path: PathBuf| images(root, &Arc::new(Shard::new(path)));
    let (mut images, own_names) = tables::images(root, &tables);
    let names = own_names.or(names);
    let mut others = Others::default();
    for (found, others_here) in shards.into_par_iter().map(read).collect::<Vec<_>>() {
        images.extend(found);
        others.extend(others_here);
    }
    Contents { others, ..labels::classify(images, names) }
}

/// A label, or what is wrong with it.
type Cls = Result<WrittenLabel, String>;

/// The images of one shard, and the other files in it.
fn images(root: &Path, shard: &Arc<Shard>) -> (Vec<Labelled>, Others) {
    let Scan { members, broken, n_other } = shard.scan(root);
    let mut counted = Others::default();
    counted.add_special(n_other);
    let place = |member: Member| Place::Member { shard: Arc::clone(shard), member: Box::new(member) };
    let is_usable = |member: &Member| !has_skipped_part(member.name());
    let broken = broken.into_iter().filter(|(member, _)| is_usable(member));
    let mut images: Vec<Labelled> = broken.map(|(member, reason)| (place(member), Err(reason))).collect();
    let (members, others): (Vec<_>, Vec<_>) =
        members.into_iter().filter(is_usable).partition(|m| is_image_name(m.name()));
    let labels = match shard.file(root) {
        Ok(mut file) => read_labels(&mut file, &others),
        Err(_) => HashMap::new(),
    };
    others.iter().filter(|file| !is_label(file)).for_each(|file| counted.add(file.name()));
    let (mut names, mut keys) = (HashSet::new(), HashSet::new());
    for member in members {
        let (key, ending) = split_name(member.name());
        let twice = || SampleError::Archive { reason: format!("a second `{}`", member.name().display()) };
        let label = match labels.get(&key) {
            _ if !names.insert(member.name().to_owned()) => {
                images.push((place(member.unnamed()), Err(twice())));
                continue;
            }
            // A mask or a thumbnail beside the image.
            Some(_) if ending.contains('.') => {
                counted.add_extension(&ending);
                continue;
            }
            Some(_) if !keys.insert(key.clone()) => {
                Err(SampleError::Archive { reason: format!("a second image of sample `{key}`") })
            }
            Some(label) => label.clone().map_err(|reason| SampleError::NoLabel { reason }),
            None => class_folder(member.name()).ok_or_else(|| SampleError::NoLabel {
                reason: "neither a .cls file nor a folder".to_owned(),
            }),
        };
        images.push((place(member), label));
    }
    // Labels without an image.
    labels.keys().filter(|key| !keys.contains(*key)).for_each(|_| counted.add_extension(LABEL));
    (images, counted)
}

/// Whether a file is the label of an image.
fn is_label(file: &Member) -> bool {
    split_name(file.name()).1 == LABEL
}

/// Labels by the key of their sample.
fn read_labels(shard: &mut File, files: &[Member]) -> HashMap<String, Cls> {
    let mut labels = HashMap::new();
    let mut content = Vec::new();
    for file in files.iter().filter(|file| is_label(file)) {
        let (key, _) = split_name(file.name());
        let label = read_label(shard, file, &mut content);
        labels.entry(key).and_modify(|label| *label = Err("two .cls files".to_owned())).or_insert(label);
    }
    labels
}

fn read_label(shard: &mut File, file: &Member, content: &mut Vec<u8>) -> Cls {
    if file.bytes() > MAX_LABEL_BYTES {
        return Err(format!("the .cls file is too long: {} bytes", file.bytes()));
    }
    file.read(shard, content).map_err(|reason| reason.to_string())?;
    match str::from_utf8(content).map(str::trim) {
        Ok("") => Err("the .cls file is empty".to_owned()),
        Ok(text) => Ok(WrittenLabel::parse(text)),
        Err(_) => Err("the .cls file is not text".to_owned()),
    }
}

/// A name up to the first dot in its last part, and what follows that dot in lower case.
fn split_name(name: &Path) -> (String, String) {
    let last = name.file_name().unwrap_or_default().to_string_lossy();
    let (key, ending) = last.split_once('.').unwrap_or((&last, ""));
    (name.with_file_name(key).to_string_lossy().into_owned(), ending.to_ascii_lowercase())
}

/// The first folder of a name, as in an image folder.
fn class_folder(name: &Path) -> Option<WrittenLabel> {
    let mut folders: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
    folders.pop();
    // Archives of a whole data set begin with the name of a split, which is not a class.
    let is_split = folders.len() > 1 && Split::USUAL.contains(&&*folders[0]);
    folders.get(usize::from(is_split)).map(|folder| WrittenLabel::Name(folder.clone().into_owned()))
}

#[cfg(test)]
pub(crate) mod tests;
