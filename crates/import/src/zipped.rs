//! PyTorch's file format since version 1.6: a zip archive of one pickle and one entry per storage.

use crate::pickle::{MAX_PICKLE_BYTES, Pickle};
use crate::state_dict::Storages;
use crate::{Error, Result, archive};

/// The object and the bytes of its storages.
pub(crate) fn open(bytes: &[u8]) -> Result<(Pickle<'_>, Storages<'_>)> {
    let wrong = |reason: String| Error::Container { reason };
    let entries = archive::entries(bytes)?;
    let folders = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
    let Some(folder) = folders.min_by_key(|folder| (folder.len(), *folder)) else {
        return Err(Error::Format { reason: "a zip archive without `data.pkl`".to_owned() });
    };
    let entry = |name: &str| entries.get(format!("{folder}{name}").as_str()).copied();
    if entry("constants.pkl").is_some() {
        let reason = "a TorchScript archive; save `model.state_dict()` instead".to_owned();
        return Err(Error::Format { reason });
    }
    if entry("byteorder").is_some_and(|order| order != b"little") {
        return Err(wrong("it was not written on a little-endian machine".to_owned()));
    }
    let pickle = entry("data.pkl").expect("the folder was made from it");
    if pickle.len() as u64 > MAX_PICKLE_BYTES {
        return Err(wrong(format!("`data.pkl` is above {MAX_PICKLE_BYTES} bytes")));
    }
    let object = Pickle::read(pickle)?;
    let keys = object.storages().into_keys();
    let storages = keys.filter_map(|key| Some((key, entry(&format!("data/{key}"))?)));
    let storages = storages.collect();
    Ok((object, storages))
}
