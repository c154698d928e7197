//! Checkpoints: the whole state of a run, on disk.
//!
//! A checkpoint is a directory named by the number of steps done: one safetensors file per part of the state, and a
//! small `state.json` with their hashes. It is written under another name, synced and renamed.
//! Invariant: a directory whose name is a plain number was complete once, and older ones are removed only after that.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mutualnet_bundle::{safetensors, write_atomically};
use mutualnet_core::Weights;
use serde::{Deserialize, Serialize};

use crate::ranks::{join, split};
use crate::{Error, Result, digest};

/// The part that every checkpoint has: the parameters.
pub const WEIGHTS: &str = "weights";
/// The running average of the parameters, if the recipe asks for one.
pub const EMA: &str = "ema";

const STATE: &str = "state.json";
/// A file in a checkpoint that is never removed.
const KEPT: &str = "kept";
/// A file in a checkpoint that was evaluated, with how good it is. The best one is not removed either.
const EVALUATED: &str = "evaluated";
const FORMAT_VERSION: u32 = 3;

/// Which checkpoints stay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// How many of the newest.
    pub(crate) newest: usize,
    /// Whether this one stays for good.
    pub(crate) for_good: bool,
}

/// The state of a run between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// How many of them changed nothing because a loss was NaN or infinite.
    pub n_non_finite: u64,
    /// Tensors by part: [`WEIGHTS`], the optimizer's buffers, [`EMA`] …
    pub parts: BTreeMap<String, Weights>,
}

/// `state.json`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    format_version: u32,
    step: u64,
    n_non_finite: u64,
    /// Hash of every part's file.
    #[serde(default)]
    sha256: BTreeMap<String, String>,
    /// Hash of this file without this line, from version 3 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_sha256: Option<String>,
    /// Version 1 had these two parts.
    #[serde(default, skip_serializing)]
    weights_sha256: Option<String>,
    #[serde(default, skip_serializing)]
    momentum_sha256: Option<String>,
}

impl StateFile {
    fn to_text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("plain values")
    }

    /// With its hash.
    fn signed(mut self) -> Self {
        self.state_sha256 = Some(digest::hex(&self.to_text()));
        self
    }

    /// Whether it is what [`Self::signed`] made; older versions have no hash.
    fn is_intact(&mut self) -> bool {
        match self.state_sha256.take() {
            Some(sha256) => digest::hex(&self.to_text()) == sha256,
            None => self.format_version < 3,
        }
    }

    /// Name and hash of every part, whatever the version.
    fn parts(self) -> BTreeMap<String, String> {
        let version_1 = [(WEIGHTS, self.weights_sha256), ("momentum", self.momentum_sha256)];
        let version_1 = version_1.into_iter().filter_map(|(part, sha256)| Some((part.to_owned(), sha256?)));
        self.sha256.into_iter().chain(version_1).collect()
    }
}

impl Checkpoint {
    /// Writes the checkpoint into `dir`, then removes the older ones that are not kept.
    ///
    /// # Errors
    /// Something cannot be written; existing checkpoints are untouched then.
    pub(crate) fn save(&self, dir: &Path, keep: Keep) -> Result<()> {
        let partial = dir.join(format!("{}.partial", self.step));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(|source| Error::write(&partial, source))?;
        }
        fs::create_dir_all(&partial).map_err(|source| Error::write(&partial, source))?;
        let mut sha256 = BTreeMap::new();
        for (part, tensors) in &self.parts {
            let bytes = safetensors::to_bytes(tensors);
            sha256.insert(part.clone(), digest::hex(&bytes));
            write_atomically(&file(&partial, part), &bytes)?;
        }
        let state = StateFile {
            format_version: FORMAT_VERSION,
            step: self.step,
            n_non_finite: self.n_non_finite,
            sha256,
            state_sha256: None,
            weights_sha256: None,
            momentum_sha256: None,
        };
        write_atomically(&partial.join(STATE), &state.signed().to_text())?;
        if keep.for_good {
            write_atomically(&partial.join(KEPT), &[])?;
        }
        let whole = dir.join(self.step.to_string());
        if whole.exists() {
            fs::remove_dir_all(&whole).map_err(|source| Error::write(&whole, source))?;
        }
        let renamed = fs::rename(&partial, &whole).and_then(|()| File::open(dir)?.sync_all());
        renamed.map_err(|source| Error::write(&whole, source))?;
        let best = Self::best(dir)?.map(|(step, _)| step);
        let older = list(dir)?.into_iter().rev().skip(keep.newest).filter(|&(step, _)| Some(step) != best);
        for path in older.map(|(_, path)| path).filter(|path| !path.join(KEPT).exists()) {
            fs::remove_dir_all(&path).map_err(|source| Error::write(&path, source))?;
        }
        Ok(())
    }

    /// Everything in memory, to be sent to other processes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let names: Vec<_> = self.parts.keys().collect();
        let header = serde_json::to_vec(&(self.step, self.n_non_finite, names)).expect("plain values");
        join(std::iter::once(header).chain(self.parts.values().map(safetensors::to_bytes)))
    }

    /// What [`Self::to_bytes`] made in another process of the same program.
    ///
    /// # Panics
    /// It was something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let pieces = split(bytes);
        let (step, n_non_finite, names): (_, _, Vec<String>) =
            serde_json::from_slice(pieces[0]).expect("the header is ours");
        let tensors =
            pieces[1..].iter().map(|part| safetensors::from_bytes(part).expect("the tensors are ours"));
        Self { step, n_non_finite, parts: names.into_iter().zip(tensors).collect() }
    }

    /// The newest complete checkpoint of `dir`, and why newer ones were skipped.
    ///
    /// # Errors
    /// There is no complete checkpoint.
    pub fn latest(dir: &Path) -> Result<(Self, Vec<Error>)> {
        let mut damaged = Vec::new();
        for (_, path) in list(dir)?.into_iter().rev() {
            match Self::read(&path) {
                Ok(checkpoint) => return Ok((checkpoint, damaged)),
                Err(error) => damaged.push(error),
            }
        }
        Err(damaged.pop().unwrap_or(Error::NoCheckpoint { path: dir.to_owned() }))
    }

    /// The checkpoint of `dir` after a number of steps.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub(crate) fn at(dir: &Path, step: u64) -> Result<Self> {
        let mut found = list(dir)?;
        match found.remove(&step) {
            Some(path) => Self::read(&path),
            None => {
                let (there, path) = (found.into_keys().collect(), dir.to_owned());
                Err(Error::NoSuchCheckpoint { step, there, path })
            }
        }
    }

    /// Says how good the checkpoint of `step` is.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn set_value(dir: &Path, step: u64, value: f64) -> Result<()> {
        Ok(write_atomically(&dir.join(step.to_string()).join(EVALUATED), value.to_string().as_bytes())?)
    }

    /// How good the checkpoint of `step` is; `None` if it was not evaluated.
    pub(crate) fn value(dir: &Path, step: u64) -> Option<f64> {
        fs::read_to_string(dir.join(step.to_string()).join(EVALUATED)).ok()?.parse().ok()
    }

    /// The step of the best checkpoint and how good it is, the first one of equals; `None` if none was evaluated.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn best(dir: &Path) -> Result<Option<(u64, f64)>> {
        let evaluated = list(dir)?.into_keys().filter_map(|step| Some((step, Self::value(dir, step)?)));
        Ok(evaluated.reduce(|best, other| if other.1 > best.1 { other } else { best }))
    }

    /// Takes a part out.
    ///
    /// # Errors
    /// There is no such part.
    pub fn take(&mut self, part: &str) -> Result<Weights> {
        self.parts.remove(part).ok_or_else(|| Error::MissingPart { part: part.to_owned() })
    }

    fn read(path: &Path) -> Result<Self> {
        let state_path = path.join(STATE);
        let bytes = fs::read(&state_path).map_err(|source| Error::read(&state_path, source))?;
        let mut state: StateFile =
            serde_json::from_slice(&bytes).map_err(|error| wrong(&state_path, error.to_string()))?;
        if !(1..=FORMAT_VERSION).contains(&state.format_version) {
            let reason =
                format!("format version {} (this program reads 1 to {FORMAT_VERSION})", state.format_version);
            return Err(wrong(&state_path, reason));
        }
        if !state.is_intact() {
            return Err(wrong(&state_path, CHECKSUM.to_owned()));
        }
        let (step, n_non_finite) = (state.step, state.n_non_finite);
        let parts = state.parts().into_iter().map(|(part, sha256)| {
            let tensors = read_part(&file(path, &part), &sha256)?;
            Ok((part, tensors))
        });
        let parts: BTreeMap<_, _> = parts.collect::<Result<_>>()?;
        if !parts.contains_key(WEIGHTS) {
            return Err(Error::MissingPart { part: WEIGHTS.to_owned() });
        }
        Ok(Self { step, n_non_finite, parts })
    }
}

fn file(dir: &Path, part: &str) -> PathBuf {
    dir.join(format!("{part}.safetensors"))
}

const CHECKSUM: &str = "the content does not match its checksum";

fn wrong(path: &Path, reason: String) -> Error {
    Error::Format { what: "checkpoint", reason, path: path.to_owned() }
}

/// The checkpoints of a directory by number of steps, ascending.
fn list(dir: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|source| Error::read(dir, source))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|source| Error::read(dir, source))?.path();
        let step = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let Some(step) = step {
            found.insert(step, path);
        }
    }
    Ok(found)
}

fn read_part(path: &Path, sha256: &str) -> Result<Weights> {
    let bytes = fs::read(path).map_err(|source| Error::read(path, source))?;
    if digest::hex(&bytes) != sha256 {
        return Err(wrong(path, CHECKSUM.to_owned()));
    }
    safetensors::from_bytes(&bytes).map_err(|error| wrong(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use mutualnet_core::Tensor;

    use super::*;

    const TWO: Keep = Keep { newest: 2, for_good: false };

    fn checkpoint(step: u64) -> Checkpoint {
        let tensor = Tensor { shape: vec![2, 2], data: vec![step as f32, -0.0, f32::MIN_POSITIVE, 3.5] };
        let weights: Weights = [("a.weight".to_owned(), tensor.clone()), ("b".to_owned(), tensor)].into();
        let parts = [WEIGHTS, "momentum", EMA].map(|part| (part.to_owned(), weights.clone()));
        Checkpoint { step, n_non_finite: 1, parts: parts.into() }
    }

    #[test]
    fn the_newest_complete_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for step in [5, 10, 20] {
            checkpoint(step).save(dir.path(), TWO).unwrap();
        }
        assert_eq!(list(dir.path()).unwrap().keys().copied().collect::<Vec<_>>(), [10, 20]);
        let (latest, damaged) = Checkpoint::latest(dir.path()).unwrap();
        assert_eq!((latest, damaged.len()), (checkpoint(20), 0));
    }

    #[test]
    fn one_that_is_kept_for_good_stays() {
        let dir = tempfile::tempdir().unwrap();
        for (step, for_good) in [(5, true), (10, false), (15, true), (20, false), (25, false)] {
            checkpoint(step).save(dir.path(), Keep { newest: 1, for_good }).unwrap();
        }
        assert_eq!(Checkpoint::at(dir.path(), 15).unwrap(), checkpoint(15));
        let error = Checkpoint::at(dir.path(), 10).unwrap_err();
        assert!(matches!(&error, Error::NoSuchCheckpoint { there, .. } if *there == [5, 15, 25]), "{error}");
    }

    #[test]
    fn the_best_one_stays_until_another_is_better() {
        let dir = tempfile::tempdir().unwrap();
        let mut left = Vec::new();
        for (step, value) in [(5, 0.2), (10, 0.1), (15, 0.7), (20, 0.7), (25, 0.6)] {
            checkpoint(step).save(dir.path(), Keep { newest: 1, for_good: false }).unwrap();
            left = list(dir.path()).unwrap().into_keys().collect();
            assert_eq!(Checkpoint::value(dir.path(), step), None);
            Checkpoint::set_value(dir.path(), step, value).unwrap();
        }
        assert_eq!((left, Checkpoint::best(dir.path()).unwrap()), (vec![15, 25], Some((15, 0.7))));
        assert_eq!(Checkpoint::at(dir.path(), 15).unwrap(), checkpoint(15));
    }

    #[test]
    fn a_state_file_is_whole_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        checkpoint(10).save(dir.path(), TWO).unwrap();
        let path = dir.path().join("10").join(STATE);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                fs::write(&path, bytes).unwrap();
                assert!(Checkpoint::at(dir.path(), 10).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn bytes_hold_everything() {
        assert_eq!(Checkpoint::from_bytes(&checkpoint(7).to_bytes()), checkpoint(7));
    }

    #[test]
    fn damaged_ones_are_skipped_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        checkpoint(10).save(dir.path(), TWO).unwrap();
        checkpoint(20).save(dir.path(), TWO).unwrap();
        fs::create_dir(dir.path().join("30.partial")).unwrap();
        let weights = file(&dir.path().join("20"), WEIGHTS);
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();
        let (latest, damaged) = Checkpoint::latest(dir.path()).unwrap();
        assert_eq!(latest, checkpoint(10));
        assert!(damaged[0].to_string().contains("checksum"), "{}", damaged[0]);
        fs::remove_file(dir.path().join("10").join(STATE)).unwrap();
        assert!(Checkpoint::latest(dir.path()).is_err());
    }

    #[test]
    fn version_1_is_still_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoint = checkpoint(10);
        checkpoint.parts.remove(EMA);
        checkpoint.save(dir.path(), TWO).unwrap();
        let path = dir.path().join("10").join(STATE);
        let state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let version_1 = serde_json::json!({
            "format_version": 1, "step": 10, "n_non_finite": 1,
            "weights_sha256": state["sha256"]["weights"], "momentum_sha256": state["sha256"]["momentum"],
        });
        fs::write(&path, version_1.to_string()).unwrap();
        assert_eq!(Checkpoint::latest(dir.path()).unwrap().0, checkpoint);
    }
}
