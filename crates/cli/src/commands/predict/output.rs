//! What `predict` prints, image by image, without waiting for the last one.
//!
//! Invariant: what was printed is complete JSON once [`Output::end`] has run, whatever failed in between.

use std::path::Path;

use anyhow::{Error, Result};
use mutualnet_bundle::Row;
use mutualnet_core::{InMs, Macs, Metric, Subnet};
use mutualnet_runtime::ClassProbability;
use serde::Serialize;

use crate::{failure, text};

#[derive(Serialize)]
struct RowReport {
    #[serde(flatten)]
    subnet: Subnet,
    macs: Macs,
    metric: Metric,
    quality: f64,
}

#[derive(Serialize)]
struct ImageReport<'a> {
    path: String,
    /// Time in the network, without reading and decoding.
    ms: f64,
    top: Vec<ClassReport<'a>>,
}

#[derive(Serialize)]
struct ClassReport<'a> {
    class: &'a str,
    probability: f32,
}

#[derive(Serialize)]
struct FailedReport {
    path: String,
    error: String,
}

/// Lines, or one JSON object.
pub(super) enum Output {
    Lines,
    Json { n_printed: usize },
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
            row.subnet,
            row.macs,
            measured.unwrap_or_default(),
            row.quality.value * 100.0
        ));
        Self::Lines
    }

    /// One JSON object, which begins with the row.
    pub(super) fn json(row: &Row, metric: Metric) -> Result<Self> {
        let report = RowReport { subnet: row.subnet, macs: row.macs, metric, quality: row.quality.value };
        text::json_text(&format!("{{\"row\": {}, \"images\": [", serde_json::to_string(&report)?))?;
        Ok(Self::Json { n_printed: 0 })
    }

    /// The answer for one image.
    pub(super) fn image(&mut self, path: &Path, ms: f64, top: &[ClassProbability]) -> Result<()> {
        let path = path.display().to_string();
        if let Self::Json { .. } = self {
            let top =
                top.iter().map(|class| ClassReport { class: &class.name, probability: class.probability });
            return self.entry(&ImageReport { path, ms, top: top.collect() });
        }
        let classes = top.iter().map(|class| format!("{} {:.1} %", class.name, class.probability * 100.0));
        text::line(&format!("{path}: {}  ({ms:.2} ms)", classes.collect::<Vec<_>>().join(", ")))
    }

    /// An image that could not be classified: on stderr, and in JSON an entry as well.
    pub(super) fn failed(&mut self, path: &Path, error: &Error) -> Result<()> {
        failure::print(error);
        match self {
            Self::Lines => Ok(()),
            Self::Json { .. } => {
                self.entry(&FailedReport { path: path.display().to_string(), error: failure::told(error) })
            }
        }
    }

    fn entry(&mut self, entry: &impl Serialize) -> Result<()> {
        let Self::Json { n_printed } = self else { return Ok(()) };
        // The comma comes first, so that every line can be read once it is complete.
        let comma = if *n_printed > 0 { "," } else { " " };
        *n_printed += 1;
        text::json_text(&format!("{comma} {}", serde_json::to_string(entry)?))
    }

    /// Ends the JSON object.
    pub(super) fn end(self) -> Result<()> {
        match self {
            Self::Lines => Ok(()),
            Self::Json { .. } => text::json_text("]}"),
        }
    }
}
