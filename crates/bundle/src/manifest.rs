//! The manifest: everything in a bundle except tensors, as JSON in the container's metadata.

use std::borrow::Cow;

use mutualnet_core::{Network, Preprocess};
use serde::{Deserialize, Serialize};

use crate::{Error, Provenance, QueryTable, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest<'a> {
    pub(crate) network: Cow<'a, Network>,
    pub(crate) classes: Cow<'a, [String]>,
    pub(crate) preprocess: Preprocess,
    pub(crate) table: Cow<'a, QueryTable>,
    pub(crate) provenance: Cow<'a, Provenance>,
}

impl Manifest<'_> {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest of finite numbers is JSON")
    }
}

impl Manifest<'static> {
    pub(crate) fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|source| Error::Json { what: "the manifest", source })
    }
}
