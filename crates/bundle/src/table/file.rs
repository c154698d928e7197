//! The query table as a file has it, not yet checked.
//!
//! Separate from the domain types, so that the format stays the same when they change.

use std::collections::BTreeMap;

use mutualnet_core::{Frames, InputSize, Macs, Metric, Precision, Resolution, Subnet, Width};
use serde::{Deserialize, Serialize};

use super::{Latency, Quality, QueryTable, Row};
use crate::{Error, Host, Result};

/// Largest table file that is read.
pub(super) const MAX_BYTES: u64 = 16 << 20;

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableFile {
    format_version: u32,
    /// Version 1 had accuracies only, and no such key.
    #[serde(default)]
    metric: Metric,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Host>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    regions: BTreeMap<String, u32>,
    rows: Vec<RowFile>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowFile {
    width: Width,
    resolution: Resolution,
    #[serde(default, skip_serializing_if = "Frames::is_one")]
    frames: Frames,
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    precision: Precision,
    macs: Macs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backbone_macs: Option<Macs>,
    /// Called `accuracy` in version 1.
    #[serde(alias = "accuracy")]
    quality: Quality,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    others: BTreeMap<Metric, f64>,
    latency: Vec<Latency>,
    pareto: bool,
}

/// The error for text that cannot be parsed as a table: an unsupported version if that is the reason, else `other`.
pub(super) fn error(text: &str, other: Error) -> Error {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    match serde_json::from_str::<Version>(text) {
        Ok(Version { format_version }) => check_version(format_version).err().unwrap_or(other),
        Err(_) => other,
    }
}

fn check_version(found: u32) -> Result<()> {
    if (1..=QueryTable::FORMAT_VERSION).contains(&found) {
        return Ok(());
    }
    Err(Error::Version {
        what: "the query table",
        found: found.to_string(),
        supported: QueryTable::FORMAT_VERSION,
    })
}

impl TryFrom<TableFile> for QueryTable {
    type Error = Error;

    fn try_from(file: TableFile) -> Result<Self> {
        check_version(file.format_version)?;
        let marks: BTreeMap<_, _> =
            file.rows.iter().map(|row| ((row.subnet(), row.precision), row.pareto)).collect();
        let mut table = Self::new(file.rows.into_iter().map(Row::from).collect())?;
        (table.metric, table.host, table.regions) = (file.metric, file.host, file.regions);
        for row in table.rows() {
            if marks.get(&(row.subnet, row.precision)) != Some(&row.pareto) {
                let reason = format!("`pareto` should be {}", row.pareto);
                return Err(Error::Row { name: row.name(), reason });
            }
        }
        Ok(table)
    }
}

impl RowFile {
    fn subnet(&self) -> Subnet {
        Subnet { width: self.width, input: InputSize { resolution: self.resolution, frames: self.frames } }
    }
}

impl From<RowFile> for Row {
    fn from(file: RowFile) -> Self {
        Self::new(file.subnet(), file.macs, file.quality, file.latency)
            .with_backbone(file.backbone_macs)
            .with_others(file.others)
            .at(file.precision)
    }
}

impl From<QueryTable> for TableFile {
    fn from(table: QueryTable) -> Self {
        let rows = table.rows.into_iter().map(|row| RowFile {
            width: row.subnet.width,
            resolution: row.subnet.input.resolution,
            frames: row.subnet.input.frames,
            precision: row.precision,
            macs: row.macs,
            backbone_macs: row.backbone,
            quality: row.quality,
            others: row.others,
            latency: row.latency,
            pareto: row.pareto,
        });
        let rows = rows.collect();
        let format_version = QueryTable::FORMAT_VERSION;
        Self { format_version, metric: table.metric, host: table.host, regions: table.regions, rows }
    }
}
