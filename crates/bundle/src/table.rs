//! The query table: what every sub-network costs, how good it is, and which one a budget buys.
//!
//! Separate from the bundle because a run writes the table before any bundle exists, and people read it.
//! Invariant: rows are valid, one for each sub-network and precision, sorted by MACs and measured with the same thread counts, and their Pareto marks
//! are correct.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use mutualnet_core::{Budget, Macs, Metric, Network, Precision, Subnet, duration_of_ms};
use serde::{Deserialize, Serialize};

use crate::{Error, Host, Result, storage};

mod file;
use file::TableFile;

mod pareto;

mod quality;
pub use quality::Quality;

/// Measured time of one prediction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Threads that computed it.
    pub threads: usize,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Number of measurements.
    pub n: u64,
}

impl Latency {
    /// The median.
    pub fn p50(&self) -> Duration {
        duration_of_ms(self.p50_ms)
    }

    /// The 99th percentile, which latency budgets are compared with.
    pub fn p99(&self) -> Duration {
        duration_of_ms(self.p99_ms)
    }
}

/// One sub-network of the table, in one precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The sub-network.
    pub subnet: Subnet,
    /// The numbers that it computes with.
    pub precision: Precision,
    /// Its cost for one sample, with as many regions as a network may look at.
    pub macs: Macs,
    /// The cost of its backbone alone, if the network has one.
    pub backbone: Option<Macs>,
    /// How good it is on the test split, by the table's metric.
    pub quality: Quality,
    /// What else was measured on the test split, from 0 to 1; every row of a table has the same.
    pub others: BTreeMap<Metric, f64>,
    /// Its measured latencies: one entry per thread count, fewest threads first.
    pub latency: Vec<Latency>,
    /// Whether no other row is as good for fewer MACs, or better for as many; set by the table.
    pub pareto: bool,
}

impl Row {
    /// A row in single precision that is not yet in a table, so not marked.
    pub fn new(subnet: Subnet, macs: Macs, quality: Quality, latency: Vec<Latency>) -> Self {
        let precision = Precision::default();
        let (backbone, others) = (None, BTreeMap::new());
        Self { subnet, precision, macs, backbone, quality, others, latency, pareto: false }
    }

    /// The same row with the cost of its backbone.
    pub fn with_backbone(self, backbone: Option<Macs>) -> Self {
        Self { backbone, ..self }
    }

    /// The same row in another precision.
    pub fn at(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The sub-network, and the precision if it is not f32: `0.5-128`, `0.5-128 bf16`.
    pub fn name(&self) -> String {
        let Self { subnet, precision, .. } = self;
        if precision.is_f32() { subnet.to_string() } else { format!("{subnet} {precision}") }
    }

    /// The same row with other measures than the table's metric.
    pub fn with_others(self, others: BTreeMap<Metric, f64>) -> Self {
        Self { others, ..self }
    }

    /// The latency with that many threads.
    pub fn latency_at(&self, threads: usize) -> Option<&Latency> {
        self.latency.iter().find(|latency| latency.threads == threads)
    }
}

/// All rows, cheapest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TableFile", into = "TableFile")]
pub struct QueryTable {
    metric: Metric,
    rows: Vec<Row>,
    host: Option<Host>,
    regions: BTreeMap<String, u32>,
}

impl QueryTable {
    /// Version of the JSON that is written; version 1 is read too.
    pub const FORMAT_VERSION: u32 = 2;
    /// Most rows that a table may have.
    pub const MAX_ROWS: usize = 4096;

    /// A table of accuracies: checks the rows, sorts them by MACs and marks the Pareto front of quality over MACs.
    ///
    /// # Errors
    /// There are no rows or more than [`Self::MAX_ROWS`], a sub-network occurs twice in one precision, a number is impossible (a quality
    /// outside 0–1, a median above the 99th percentile, …), or rows were measured with different thread counts.
    pub fn new(mut rows: Vec<Row>) -> Result<Self> {
        if rows.is_empty() || rows.len() > Self::MAX_ROWS {
            return Err(Error::RowCount { got: rows.len(), limit: Self::MAX_ROWS });
        }
        for row in &mut rows {
            row.latency.sort_by_key(|latency| latency.threads);
        }
        rows.sort_by_key(|row| (row.macs, row.subnet, row.precision));
        rows.iter().try_for_each(|row| check_row(row, &rows[0]))?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = rows.iter().find(|row| !seen.insert((row.subnet, row.precision))) {
            return Err(Error::Duplicate { name: twice.name() });
        }
        pareto::mark(&mut rows);
        Ok(Self { metric: Metric::Accuracy, rows, host: None, regions: BTreeMap::new() })
    }

    /// The same table for qualities of another metric.
    pub fn measuring(self, metric: Metric) -> Self {
        Self { metric, ..self }
    }

    /// The same table with the machine that its latencies are from.
    pub fn measured_on(self, host: Host) -> Self {
        Self { host: Some(host), ..self }
    }

    /// The same table for costs that include lists of the network which run on so many regions of an image: those of
    /// [`List::regions`](mutualnet_core::network::List::regions).
    pub fn on_regions(self, network: &Network) -> Self {
        let lists = network.lists().iter();
        let regions = lists.filter_map(|list| Some((list.name().to_owned(), list.regions()?))).collect();
        Self { regions, ..self }
    }

    /// On how many regions of an image the lists of a network run, by their names, in MACs and latencies of the rows.
    pub fn regions(&self) -> &BTreeMap<String, u32> {
        &self.regions
    }

    /// Which regions the rows' costs include, in words; `None` if the network does not look at regions.
    pub fn regions_in_words(&self) -> Option<String> {
        let of_lists: Vec<_> = self.regions.iter().map(|(list, n)| format!("{n} for `{list}`")).collect();
        let says = "MACs and times are those of an image with the most regions";
        (!of_lists.is_empty()).then(|| format!("{says}: {}", of_lists.join(", ")))
    }

    /// Whether the rows have the cost of a backbone.
    pub fn has_backbone(&self) -> bool {
        self.rows[0].backbone.is_some()
    }

    /// The measure of the rows' qualities.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The rows, cheapest first.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The sub-networks that have rows, each once, cheapest first.
    pub fn subnets(&self) -> impl Iterator<Item = Subnet> {
        // Rows of one sub-network are next to each other.
        self.rows.chunk_by(|a, b| a.subnet == b.subnet).map(|rows| rows[0].subnet)
    }

    /// The precisions of the rows, the most precise first.
    pub fn precisions(&self) -> Vec<Precision> {
        let precisions: BTreeSet<_> = self.rows.iter().map(|row| row.precision).collect();
        precisions.into_iter().collect()
    }

    /// The row of a sub-network, the most precise one if there are several.
    pub fn row(&self, subnet: Subnet) -> Option<&Row> {
        self.rows.iter().find(|row| row.subnet == subnet)
    }

    /// The rows of the Pareto front, cheapest first.
    pub fn pareto(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.pareto)
    }

    /// The machine that the latencies are from.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// What every row has been measured by besides the metric.
    pub fn other_metrics(&self) -> impl Iterator<Item = Metric> {
        self.rows[0].others.keys().copied()
    }

    /// The thread counts that every row has a latency for, in ascending order.
    pub fn threads(&self) -> impl Iterator<Item = usize> {
        self.rows[0].latency.iter().map(|latency| latency.threads)
    }

    /// The best row that fits the budget; of equally good rows, the one with the fewest MACs.
    ///
    /// The budget is a hard limit: no row that costs more is chosen. A cost as any output shows it is enough for its
    /// row, since costs are rounded up when they are printed.
    /// A latency budget is compared with the 99th percentile on [`Self::threads_for_latency`]: the median would break
    /// it in half of all predictions.
    ///
    /// # Errors
    /// No row fits (the error names the cheapest), or there are no latencies for `threads`.
    pub fn choose(&self, budget: Budget, threads: Option<usize>) -> Result<&Row> {
        self.choose_in(&Precision::ALL, budget, threads)
    }

    /// As [`Self::choose`], among the rows of some precisions.
    ///
    /// # Errors
    /// As [`Self::choose`], or the table has no row in any of the precisions.
    pub fn choose_in(
        &self,
        precisions: &[Precision],
        budget: Budget,
        threads: Option<usize>,
    ) -> Result<&Row> {
        let rows: Vec<_> = self.rows.iter().filter(|row| precisions.contains(&row.precision)).collect();
        let first = *rows.first().ok_or_else(|| Error::NoPrecision { available: self.precisions() })?;
        let threads = match budget {
            Budget::Macs(_) => None,
            Budget::Latency(_) => Some(self.threads_for_latency(threads)?),
        };
        let p99 = |row: &Row| {
            threads.and_then(|threads| row.latency_at(threads)).map_or(Duration::MAX, Latency::p99)
        };
        let fits = |row: &&&Row| match budget {
            Budget::Macs(limit) => row.macs <= limit,
            Budget::Latency(limit) => p99(row) <= limit,
        };
        best(rows.iter().filter(fits).copied()).ok_or_else(|| {
            let (cheapest, cost) = match budget {
                Budget::Macs(_) => (first, Budget::Macs(first.macs)),
                Budget::Latency(_) => {
                    let cheapest = rows.iter().copied().min_by_key(|row| p99(row)).unwrap_or(first);
                    (cheapest, Budget::Latency(p99(cheapest)))
                }
            };
            Error::Budget { budget, cheapest: cheapest.subnet, cost, threads }
        })
    }

    /// The thread count whose latencies a latency budget is compared with: `threads`, or the largest one measured.
    ///
    /// # Errors
    /// There are no latencies for `threads`, or none at all.
    pub fn threads_for_latency(&self, threads: Option<usize>) -> Result<usize> {
        let found = match threads {
            Some(threads) => self.threads().find(|&n| n == threads),
            None => self.threads().last(),
        };
        found.ok_or_else(|| Error::NoLatency { threads, available: self.threads().collect() })
    }

    /// The table as JSON, as `docs/formats.md` describes it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a table of finite numbers is JSON")
    }

    /// Reads text that [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// The text is not a table of this version.
    pub fn from_json(text: &str) -> Result<Self> {
        let read = |source| Error::Json { what: "the query table", source };
        let file: TableFile = serde_json::from_str(text).map_err(|source| file::error(text, read(source)))?;
        file.try_into()
    }

    /// Writes the JSON text, atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = self.to_json();
        text.push('\n');
        storage::write_atomically(path, text.as_bytes())
    }

    /// Reads a file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// It cannot be read, or is not a table of this version.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || {
            let bytes = storage::read(path, file::MAX_BYTES)?;
            Self::from_json(std::str::from_utf8(&bytes).map_err(|source| Error::Utf8 { source })?)
        };
        read().map_err(|cause| storage::at(path, cause))
    }
}

/// The best row; rows come cheapest first, and of equally good ones the first is taken.
fn best<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<&'a Row> {
    rows.reduce(|a, b| if b.quality.value > a.quality.value { b } else { a })
}

fn check_row(row: &Row, first: &Row) -> Result<()> {
    const MAX_MS: f64 = 1e9;
    let wrong = |reason: &str| Err(Error::Row { name: row.name(), reason: reason.to_owned() });
    if !row.quality.is_valid() {
        return wrong("the quality must be from 0 to 1, within its interval, and of at least 1 sample");
    }
    if row.backbone.is_some() != first.backbone.is_some() || row.backbone.is_some_and(|macs| macs > row.macs)
    {
        return wrong("either every row has the MACs of its backbone, at most those of the row, or none");
    }
    if !row.others.keys().eq(first.others.keys()) {
        return wrong(&format!("its other measures are not those of row {}", first.subnet));
    }
    if !row.others.values().all(|value| (0.0..=1.0).contains(value)) {
        return wrong("its other measures must be from 0 to 1");
    }
    if !row.latency.iter().map(|l| l.threads).eq(first.latency.iter().map(|l| l.threads)) {
        return wrong(&format!(
            "its latencies are for different thread counts than those of row {}",
            first.subnet
        ));
    }
    if row.latency.windows(2).any(|pair| pair[0].threads == pair[1].threads) {
        return wrong("it has two latencies for the same thread count");
    }
    let possible = |l: &Latency| {
        l.threads >= 1 && l.n >= 1 && 0.0 <= l.p50_ms && l.p50_ms <= l.p99_ms && l.p99_ms <= MAX_MS
    };
    if !row.latency.iter().all(possible) {
        return wrong("a latency needs at least 1 thread and 1 measurement, and 0 <= p50 <= p99 <= 1e9 ms");
    }
    Ok(())
}
