//! Checkpoints: the whole state of a run, on disk.
//!
//! A checkpoint is a directory named by the number of steps done: weights and momentum as safetensors and a small
//! `state.json` with their hashes. It is written beside, synced and renamed.
//! Invariant: a directory with a plain number for a name was whole once, and older ones are removed only then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mutualnet_bundle::{Tensor, Weights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, digest};

const WEIGHTS: &str = "weights.safetensors";
const MOMENTUM: &str = "momentum.safetensors";
const STATE: &str = "state.json";
const FORMAT_VERSION: u32 = 1;
/// Checkpoints kept besides the newest.
const N_OLDER: usize = 1;

/// The state of a run between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Steps so far that taught nothing because a loss was no number.
    pub n_non_finite: u64,
    /// Parameters by name.
    pub weights: Weights,
    /// Momentum of every parameter; empty before the first step.
    pub momentum: Weights,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    format_version: u32,
    step: u64,
    n_non_finite: u64,
    weights_sha256: String,
    momentum_sha256: String,
}

impl Checkpoint {
    /// Writes the checkpoint into `dir`, then removes older ones but the last before it.
    ///
    /// # Errors
    /// Something cannot be written; what was there is untouched then.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let partial = dir.join(format!("{}.partial", self.step));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(|source| Error::write(&partial, source))?;
        }
        fs::create_dir_all(&partial).map_err(|source| Error::write(&partial, source))?;
        let weights = to_bytes(&self.weights);
        let momentum = to_bytes(&self.momentum);
        let state = StateFile {
            format_version: FORMAT_VERSION,
            step: self.step,
            n_non_finite: self.n_non_finite,
            weights_sha256: digest::hex(&weights),
            momentum_sha256: digest::hex(&momentum),
        };
        let state = serde_json::to_vec_pretty(&state).expect("plain values");
        for (name, bytes) in [(WEIGHTS, &weights), (MOMENTUM, &momentum), (STATE, &state)] {
            let path = partial.join(name);
            let written = fs::write(&path, bytes).and_then(|()| File::open(&path)?.sync_all());
            written.map_err(|source| Error::write(&path, source))?;
        }
        let whole = dir.join(self.step.to_string());
        if whole.exists() {
            fs::remove_dir_all(&whole).map_err(|source| Error::write(&whole, source))?;
        }
        let renamed = fs::rename(&partial, &whole).and_then(|()| File::open(dir)?.sync_all());
        renamed.map_err(|source| Error::write(&whole, source))?;
        for (_, path) in list(dir)?.into_iter().rev().skip(1 + N_OLDER) {
            fs::remove_dir_all(&path).map_err(|source| Error::write(&path, source))?;
        }
        Ok(())
    }

    /// The newest whole checkpoint of `dir`, and why newer ones were passed over.
    ///
    /// # Errors
    /// There is none.
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

    fn read(path: &Path) -> Result<Self> {
        let state_path = path.join(STATE);
        let bytes = fs::read(&state_path).map_err(|source| Error::read(&state_path, source))?;
        let state: StateFile =
            serde_json::from_slice(&bytes).map_err(|error| wrong(&state_path, error.to_string()))?;
        if state.format_version != FORMAT_VERSION {
            let reason =
                format!("format version {} (this program reads {FORMAT_VERSION})", state.format_version);
            return Err(wrong(&state_path, reason));
        }
        Ok(Self {
            step: state.step,
            n_non_finite: state.n_non_finite,
            weights: read_tensors(&path.join(WEIGHTS), &state.weights_sha256)?,
            momentum: read_tensors(&path.join(MOMENTUM), &state.momentum_sha256)?,
        })
    }
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::Format { what: "checkpoint", reason, path: path.to_owned() }
}

/// Whole checkpoints by steps done, ascending.
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

fn to_bytes(tensors: &Weights) -> Vec<u8> {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name]);
        (name, view.expect("a tensor has as many numbers as its shape says"))
    });
    safetensors::serialize(views, None).expect("names and shapes are plain")
}

fn read_tensors(path: &Path, sha256: &str) -> Result<Weights> {
    let bytes = fs::read(path).map_err(|source| Error::read(path, source))?;
    if digest::hex(&bytes) != sha256 {
        return Err(wrong(path, "the content does not match its checksum".to_owned()));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(path, error.to_string()))?;
    let read = tensors.iter().map(|(name, view)| {
        let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (name.to_owned(), Tensor { shape: view.shape().to_vec(), data: numbers.collect() })
    });
    Ok(read.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let tensor = Tensor { shape: vec![2, 2], data: vec![step as f32, -0.0, f32::MIN_POSITIVE, 3.5] };
        let weights: Weights = [("a.weight".to_owned(), tensor.clone()), ("b".to_owned(), tensor)].into();
        Checkpoint { step, n_non_finite: 1, momentum: weights.clone(), weights }
    }

    #[test]
    fn newest_whole_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for step in [5, 10, 20] {
            checkpoint(step).save(dir.path()).unwrap();
        }
        assert_eq!(list(dir.path()).unwrap().keys().copied().collect::<Vec<_>>(), [10, 20]);
        let (latest, damaged) = Checkpoint::latest(dir.path()).unwrap();
        assert_eq!((latest, damaged.len()), (checkpoint(20), 0));
    }

    #[test]
    fn damaged_ones_are_passed_over_and_told() {
        let dir = tempfile::tempdir().unwrap();
        checkpoint(10).save(dir.path()).unwrap();
        checkpoint(20).save(dir.path()).unwrap();
        fs::create_dir(dir.path().join("30.partial")).unwrap();
        let weights = dir.path().join("20").join(WEIGHTS);
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();
        let (latest, damaged) = Checkpoint::latest(dir.path()).unwrap();
        assert_eq!(latest, checkpoint(10));
        assert!(damaged[0].to_string().contains("checksum"), "{}", damaged[0]);
        fs::remove_file(dir.path().join("10").join(STATE)).unwrap();
        assert!(Checkpoint::latest(dir.path()).is_err());
    }
}
