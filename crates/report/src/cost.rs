//! What the horizontal axis of a picture shows.

use mutualnet_bundle::Row;
use mutualnet_core::Macs;

/// What the horizontal axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Multiply-accumulates.
    Macs,
    /// Median latency at a thread count.
    Latency {
        /// Threads of the run side.
        threads: usize,
    },
}

impl Cost {
    /// The cost of a row; `None` if it was not measured.
    pub(crate) fn of(self, row: &Row) -> Option<f64> {
        match self {
            Self::Macs => Some(row.macs.as_f64()),
            Self::Latency { threads } => row.latency_at(threads).map(|latency| latency.p50_ms),
        }
        .filter(|&cost| cost > 0.0)
    }

    pub(crate) fn title(self) -> String {
        match self {
            Self::Macs => "multiply-accumulates".to_owned(),
            Self::Latency { threads: 1 } => "median latency in ms, 1 thread".to_owned(),
            Self::Latency { threads } => format!("median latency in ms, {threads} threads"),
        }
    }

    pub(crate) fn label(self, cost: f64) -> String {
        match self {
            Self::Macs => {
                let text = Macs(cost.round() as u64).to_string();
                let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
                let number = if number.contains('.') {
                    number.trim_end_matches('0').trim_end_matches('.')
                } else {
                    number
                };
                format!("{number} {unit}").trim_end().to_owned()
            }
            Self::Latency { .. } => cost.to_string(),
        }
    }
}
