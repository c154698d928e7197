//! The bundle itself, and how it is written to a file and read back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use mutualnet_core::network::Lists;
use mutualnet_core::{FileKind, Network, Preprocess, Subnet, Task, Tensor, Weights};

use crate::manifest::{Manifest, SmallerResolutions};
use crate::parts::{norm_paths, stats_names};
use crate::safetensors::{self, Container, View};
use crate::{
    BatchNormStats, BundleParts, Error, Provenance, QueryTable, Result, RowStats, check, seal, storage,
};

const FORMAT: &str = "mutualnet-bundle";

/// A trained network that can run at every row of its table.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Checked once, at construction.
    parts: BundleParts,
}

impl Bundle {
    /// Version of the file format that is written; version 1 is read too.
    pub const FORMAT_VERSION: u32 = 2;
    /// Name of the bundle in the directory of a training run.
    pub const FILE_NAME: &str = "model.mnb";
    /// Largest file that is read.
    pub const MAX_FILE_BYTES: u64 = storage::MAX_FILE_BYTES;

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// A weight or a statistic is missing, superfluous, of the wrong shape or not finite; a variance is negative;
    /// a row does not fit the network or disagrees with it about MACs; classes or preprocessing do not fit.
    pub fn new(parts: BundleParts) -> Result<Self> {
        check::parts(&parts)?;
        let table = parts.table.on_regions(&parts.network);
        Ok(Self { parts: BundleParts { table, ..parts } })
    }

    /// Takes the bundle apart, to change something and put it together again.
    pub fn into_parts(self) -> BundleParts {
        self.parts
    }

    /// What the network is trained for.
    pub fn task(&self) -> Task {
        self.parts.task
    }

    /// The lists of layers.
    pub fn network(&self) -> &Network {
        &self.parts.network
    }

    /// Name of every class, in the order of the outputs.
    pub fn classes(&self) -> &[String] {
        &self.parts.classes
    }

    /// How an image becomes an input.
    pub fn preprocess(&self) -> &Preprocess {
        &self.parts.preprocess
    }

    /// What every row costs and how good it is.
    pub fn table(&self) -> &QueryTable {
        &self.parts.table
    }

    /// The learned tensors at full width, by the names of the network's parameters.
    pub fn weights(&self) -> &Weights {
        &self.parts.weights
    }

    /// Batch-norm statistics of a row, in the order of [`Network::batch_norms`]; `None` if there is no such row.
    pub fn stats(&self, subnet: Subnet) -> Option<&RowStats> {
        self.parts.stats.get(&subnet)
    }

    /// What it was made from.
    pub fn provenance(&self) -> &Provenance {
        &self.parts.provenance
    }

    /// The file's bytes; the same bundle gives the same bytes.
    ///
    /// # Errors
    /// The header is longer than a reader accepts: the bundle has too many rows and batch norms.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let manifest = Manifest {
            task: self.parts.task,
            lists: Lists::from(&self.parts.network),
            classes: Cow::Borrowed(&self.parts.classes),
            preprocess: self.parts.preprocess,
            smaller_resolutions: SmallerResolutions::BilinearAlignedCorners,
            table: Cow::Borrowed(&self.parts.table),
            provenance: Cow::Borrowed(&self.parts.provenance),
        };
        let (version, manifest) = (Self::FORMAT_VERSION.to_string(), manifest.to_json());
        let metadata = [
            ("format", FORMAT),
            ("format_version", &version),
            ("manifest", &manifest),
            ("sha256", seal::BLANK),
        ];
        let mut bytes = safetensors::serialize(&metadata.into(), &self.tensors());
        let header = safetensors::header_range(&bytes)?;
        seal::put(&mut bytes, &header);
        Ok(bytes)
    }

    fn tensors(&self) -> BTreeMap<String, View<'_>> {
        let weights = self.parts.weights.iter();
        let mut tensors: BTreeMap<_, _> =
            weights.map(|(name, tensor)| (name.clone(), View::from(tensor))).collect();
        for (subnet, row) in &self.parts.stats {
            for (path, stats) in norm_paths(&self.parts.network).zip(row) {
                let [mean, var] = stats_names(*subnet, path);
                tensors.insert(mean, View::vector(&stats.mean));
                tensors.insert(var, View::vector(&stats.var));
            }
        }
        tensors
    }

    /// Reads bytes that [`Self::to_bytes`] wrote, or any others, safely.
    ///
    /// # Errors
    /// The bytes are not a complete, undamaged and consistent bundle of a version that is read.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let found = FileKind::of(bytes);
        if !matches!(found, FileKind::Bundle | FileKind::Safetensors) {
            return Err(Error::NotABundle { found });
        }
        let mut container = safetensors::parse(bytes)?;
        let manifest = open(bytes, &container)?;
        let network = Network::try_from(manifest.lists)?;
        let table = manifest.table.into_owned();
        let mut weights = Weights::new();
        for parameter in network.parameters() {
            let tensor = take(&mut container, &parameter.name)?;
            weights.insert(parameter.name, tensor);
        }
        let mut stats = BTreeMap::new();
        for subnet in table.subnets() {
            stats.insert(subnet, take_stats(&mut container, &network, subnet)?);
        }
        if let Some((name, _)) = container.tensors.pop_first() {
            return Err(Error::Unexpected { name });
        }
        Self::new(BundleParts {
            task: manifest.task,
            network,
            classes: manifest.classes.into_owned(),
            preprocess: manifest.preprocess,
            table,
            weights,
            stats,
            provenance: manifest.provenance.into_owned(),
        })
    }

    /// Writes the file atomically: afterwards there is either the old file or the complete new one.
    ///
    /// # Errors
    /// The file cannot be written, or as [`Self::to_bytes`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes().map_err(|cause| storage::at(path, cause))?;
        storage::write_atomically(path, &bytes)
    }

    /// Reads a file, or the bundle in the directory of a training run.
    ///
    /// # Errors
    /// It cannot be read, is above [`Self::MAX_FILE_BYTES`], or as [`Self::from_bytes`]; the error has the path.
    pub fn read(path: &Path) -> Result<Self> {
        let mut path = Cow::Borrowed(path);
        if path.is_dir() {
            let bundle = path.join(Self::FILE_NAME);
            if !bundle.exists() {
                return Err(storage::at(&path, Error::Directory));
            }
            path = Cow::Owned(bundle);
        }
        let read = || Self::from_bytes(&storage::read(&path, Self::MAX_FILE_BYTES)?);
        read().map_err(|cause| storage::at(&path, cause))
    }
}

/// The manifest of a container that is an undamaged bundle of a version that is read.
fn open(bytes: &[u8], container: &Container<'_>) -> Result<Manifest<'static>> {
    let metadata = |key: &str| {
        container.metadata.get(key).ok_or_else(|| Error::Missing { name: format!("__metadata__.{key}") })
    };
    let found = container.metadata.get("format");
    if found.is_none_or(|found| found != FORMAT) {
        return Err(Error::NotABundle { found: FileKind::Safetensors });
    }
    let found = metadata("format_version")?;
    let supported = Bundle::FORMAT_VERSION;
    let version = (1..=supported).find(|version| *found == version.to_string());
    let version =
        version.ok_or_else(|| Error::Version { what: "the bundle", found: found.clone(), supported })?;
    seal::check(bytes, &container.header, metadata("sha256")?)?;
    let known = ["format", "format_version", "manifest", "sha256"];
    if let Some(name) = container.metadata.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Error::Unexpected { name: format!("__metadata__.{name}") });
    }
    Manifest::from_json(metadata("manifest")?, version)
}

fn take(container: &mut Container<'_>, name: &str) -> Result<Tensor> {
    let entry = container.tensors.remove(name);
    entry.ok_or_else(|| Error::Missing { name: name.to_owned() })?.to_tensor(name)
}

fn take_stats(container: &mut Container<'_>, network: &Network, subnet: Subnet) -> Result<RowStats> {
    let mut one = |name: &str| {
        let Tensor { shape, data } = take(container, name)?;
        match shape.len() {
            1 => Ok(data),
            _ => Err(Error::Shape { name: name.to_owned(), expected: vec![data.len()], got: shape }),
        }
    };
    let norms = norm_paths(network).map(|path| {
        let [mean, var] = stats_names(subnet, path);
        Ok(BatchNormStats { mean: one(&mean)?, var: one(&var)? })
    });
    norms.collect()
}
