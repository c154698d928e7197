//! PyTorch's file format since version 1.6: a zip archive of one pickle and one entry per storage.

use std::borrow::Cow;

use mutualnet_core::FileKind;

use crate::content::{Content, Storages};
use crate::pickle::MAX_PICKLE_BYTES;
use crate::{Error, Result, archive};

/// The bytes of the pickle, and of the storages that it may refer to.
pub(crate) fn open(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, Storages<'_>)> {
    let wrong = |reason: String| Error::Container { reason };
    let entries = archive::entries(bytes)?;
    let folders = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
    let Some(folder) = folders.min_by_key(|folder| (folder.len(), *folder)).map(str::to_owned) else {
        return Err(Error::NotACheckpoint { found: without_pickle(bytes) });
    };
    let entry = |name: &str| entries.get(format!("{folder}{name}").as_str()).copied();
    if entry("constants.pkl").is_some() {
        return Err(Error::NotACheckpoint { found: FileKind::TorchScript });
    }
    if let Some(order) = entry("byteorder")
        && *unpacked(order, 16)? != *b"little"
    {
        return Err(wrong("it was not written on a little-endian machine".to_owned()));
    }
    let pickle = entry("data.pkl").expect("the folder was made from it");
    if pickle.length() > MAX_PICKLE_BYTES {
        return Err(wrong(format!("`data.pkl` is larger than {MAX_PICKLE_BYTES} bytes")));
    }
    let pickle = unpacked(pickle, MAX_PICKLE_BYTES)?;
    let numbers = format!("{folder}data/");
    let storages =
        entries.into_iter().filter_map(|(name, content)| Some((name.strip_prefix(&numbers)?, content)));
    Ok((pickle, storages.collect()))
}

/// The bytes of an entry that has at most `limit`.
fn unpacked(content: Content<'_>, limit: u64) -> Result<Cow<'_, [u8]>> {
    if content.length() > limit {
        return Err(Error::Container { reason: format!("an entry is larger than {limit} bytes") });
    }
    match content {
        Content::Stored(bytes) => Ok(Cow::Borrowed(bytes)),
        Content::Deflated(deflated) => deflated.unpack().map(Cow::Owned),
    }
}

/// The kind of an archive that contains no pickle, whatever its first entry is called.
fn without_pickle(bytes: &[u8]) -> FileKind {
    match FileKind::of(bytes) {
        FileKind::TorchZip => FileKind::Zip,
        kind => kind,
    }
}
