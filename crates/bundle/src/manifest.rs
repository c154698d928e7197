//! The manifest: everything in a bundle except tensors, as JSON in the container's metadata.

use std::borrow::Cow;

use mutualnet_core::network::Lists;
use mutualnet_core::{Network, Preprocess, Task};
use serde::{Deserialize, Serialize};

use crate::{Error, Provenance, QueryTable, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest<'a> {
    pub(crate) task: Task,
    pub(crate) lists: Lists,
    pub(crate) classes: Cow<'a, [String]>,
    pub(crate) preprocess: Preprocess,
    pub(crate) smaller_resolutions: SmallerResolutions,
    pub(crate) table: Cow<'a, QueryTable>,
    pub(crate) provenance: Cow<'a, Provenance>,
}

/// How the input of a smaller resolution is made from that of the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmallerResolutions {
    /// It is resized bilinearly with aligned corners.
    BilinearAlignedCorners,
}

/// The manifest of format 1, which knew classification only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestV1 {
    network: Network,
    classes: Vec<String>,
    preprocess: Preprocess,
    table: QueryTable,
    provenance: Provenance,
}

impl From<ManifestV1> for Manifest<'static> {
    fn from(old: ManifestV1) -> Self {
        Self {
            task: Task::Classify,
            lists: Lists::from(&old.network),
            classes: Cow::Owned(old.classes),
            preprocess: old.preprocess,
            smaller_resolutions: SmallerResolutions::BilinearAlignedCorners,
            table: Cow::Owned(old.table),
            provenance: Cow::Owned(old.provenance),
        }
    }
}

impl Manifest<'_> {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest of finite numbers is JSON")
    }
}

impl Manifest<'static> {
    /// Reads the manifest of a bundle of format `version`.
    pub(crate) fn from_json(text: &str, version: u32) -> Result<Self> {
        let manifest = match version {
            1 => serde_json::from_str::<ManifestV1>(text).map(Self::from),
            _ => serde_json::from_str(text),
        };
        manifest.map_err(|source| Error::Json { what: "the manifest", source })
    }
}
