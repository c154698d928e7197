//! What `predict` prints, image by image, without waiting for the last one.
//!
//! Invariant: what was printed is complete JSON once [`Output::end`] has run, whatever failed in between.

use std::path::Path;

use anyhow::{Error, Result};
use mutualnet_bundle::Row;
use mutualnet_core::{InMs, Macs, Metric, Precision, Subnet};
use mutualnet_predict::{Answer, CocoIds};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{failure, text};

#[derive(Serialize)]
struct RowReport {
    #[serde(flatten)]
    subnet: Subnet,
    precision: Precision,
    macs: Macs,
    metric: Metric,
    quality: f64,
}

#[derive(Serialize)]
struct ImageReport {
    path: String,
    /// Time in the network, without reading and decoding.
    ms: f64,
    /// Cost of this image.
    macs: Macs,
    /// Height and width at which the network saw it.
    size: [usize; 2],
    #[serde(flatten)]
    prediction: Map<String, Value>,
}

#[derive(Serialize)]
struct FailedReport {
    path: String,
    error: String,
}

/// Lines, one JSON object, or a list of objects as COCO's evaluation reads it.
pub(super) enum Output {
    Lines,
    Json { n_printed: usize },
    Coco { ids: CocoIds, n_printed: usize },
}

impl Output {
    /// Lines; says on stderr which row answers, with its latency for `threads` if that is what was asked for.
    pub(super) fn lines(row: &Row, metric: Metric, threads: Option<usize>) -> Self {
        let measured = threads.and_then(|threads| row.latency_at(threads)).map(|latency| {
            let threads = if latency.threads == 1 { "thread" } else { "threads" };
            format!(", {} ms on {} {threads} (99th percentile)", InMs(latency.p99()), latency.threads)
        });
        text::note(&format!(
            "row {}: {} MACs{}, {metric} {:.1} % on the test split",
            row.name(),
            row.macs,
            measured.unwrap_or_default(),
            row.quality.value * 100.0
        ));
        Self::Lines
    }

    /// One JSON object, which begins with the row.
    pub(super) fn json(row: &Row, metric: Metric) -> Result<Self> {
        let Row { subnet, precision, macs, .. } = *row;
        let report = RowReport { subnet, precision, macs, metric, quality: row.quality.value };
        text::json_text(&format!("{{\"row\": {}, \"images\": [", serde_json::to_string(&report)?))?;
        Ok(Self::Json { n_printed: 0 })
    }

    /// A list of what is found, with the ids of a ground truth.
    pub(super) fn coco(ids: CocoIds) -> Result<Self> {
        text::json_text("[")?;
        Ok(Self::Coco { ids, n_printed: 0 })
    }

    /// Whether an answer for an image can be printed.
    ///
    /// # Errors
    /// It has no id.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        if let Self::Coco { ids, .. } = self {
            ids.of_image(path)?;
        }
        Ok(())
    }

    /// The answer for one image.
    pub(super) fn image(&mut self, path: &Path, answer: &Answer) -> Result<()> {
        let Answer { prediction, time, size, macs } = answer;
        if let Self::Coco { ids, .. } = self {
            let entries = ids.entries(ids.of_image(path)?, prediction.objects().unwrap_or_default());
            return entries.iter().try_for_each(|entry| self.entry(entry));
        }
        let path = path.display().to_string();
        let (ms, prediction) = (time.as_secs_f64() * 1e3, prediction.as_ref());
        if let Self::Json { .. } = self {
            let prediction = prediction.json();
            return self.entry(&ImageReport { path, ms, macs: *macs, size: *size, prediction });
        }
        // A square costs what the row says.
        let [height, width] = *size;
        let cost =
            if height == width { String::new() } else { format!(", {macs} MACs at {width}×{height}") };
        text::line(&format!("{path}: {}  ({ms:.2} ms{cost})", prediction.text()))
    }

    /// An image without an answer: on stderr, and in JSON an entry as well.
    pub(super) fn failed(&mut self, path: &Path, error: &Error) -> Result<()> {
        failure::print(error);
        match self {
            Self::Lines | Self::Coco { .. } => Ok(()),
            Self::Json { .. } => {
                self.entry(&FailedReport { path: path.display().to_string(), error: failure::told(error) })
            }
        }
    }

    fn entry(&mut self, entry: &impl Serialize) -> Result<()> {
        let (Self::Json { n_printed } | Self::Coco { n_printed, .. }) = self else { return Ok(()) };
        // The comma comes first, so that every line can be read once it is complete.
        let comma = if *n_printed > 0 { "," } else { " " };
        *n_printed += 1;
        text::json_text(&format!("{comma} {}", serde_json::to_string(entry)?))
    }

    /// Ends the JSON.
    pub(super) fn end(self) -> Result<()> {
        match self {
            Self::Lines => Ok(()),
            Self::Json { .. } => text::json_text("]}"),
            Self::Coco { .. } => text::json_text("]"),
        }
    }
}
