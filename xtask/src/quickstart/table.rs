//! The query table as `mutualnet table --json` prints it, and what quickstart says about it.
//!
//! Separate so that both are tested without training anything.
//! Invariant: a field that is missing is an error, not a default.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const MIN_ACCURACY: f64 = 0.90;
const MIN_PARETO_ROWS: usize = 8;
const MIN_MACS_RATIO: f64 = 10.0;

/// One configuration of the network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) width: String,
    pub(super) resolution: u64,
    pub(super) macs: u64,
    /// Share of held-out images that are right.
    pub(super) accuracy: f64,
    pub(super) is_pareto: bool,
}

/// All rows, cheapest first; never empty.
#[derive(Debug)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// Reads the command's output.
    pub(super) fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).context("`mutualnet table --json` printed no JSON")?;
        let rows = value["rows"].as_array().context("the table has no `rows`")?;
        let mut rows = rows.iter().map(Row::parse).collect::<Result<Vec<_>>>()?;
        ensure!(!rows.is_empty(), "the table has no rows");
        rows.sort_by_key(|row| row.macs);
        Ok(Self(rows))
    }

    fn cheapest(&self) -> &Row {
        &self.0[0]
    }

    fn dearest(&self) -> &Row {
        &self.0[self.0.len() - 1]
    }

    /// The row that a budget without limit chooses.
    fn most_accurate(&self) -> &Row {
        let best = self.0.iter().rev().max_by(|a, b| a.accuracy.total_cmp(&b.accuracy));
        best.expect("a table is never empty")
    }

    fn pareto(&self) -> Vec<&Row> {
        self.0.iter().filter(|row| row.is_pareto).collect()
    }

    fn macs_ratio(&self) -> f64 {
        self.dearest().macs as f64 / self.cheapest().macs as f64
    }

    /// Three budgets that mean something for this table: small, middle, and enough for every row.
    pub(super) fn three_budgets(&self) -> [String; 3] {
        let pareto = self.pareto();
        let middle = pareto.get(pareto.len() / 2).map_or(self.dearest().macs, |row| row.macs);
        [self.cheapest().macs, middle, self.dearest().macs].map(as_budget)
    }

    /// What was seen, in plain words.
    pub(super) fn told(&self) -> String {
        let (best, cheap, dear) = (self.most_accurate(), self.cheapest(), self.dearest());
        format!(
            "One network was trained once; {} configurations of it were measured on held-out images.\n\
             With the largest budget ({} MACs) the choice is {}: {:.1} % of the images are right.\n\
             The cheapest one, {}, gets {:.1} % with 1/{:.0} of the work of the dearest ({} MACs).\n\
             {} of the configurations are worth choosing (nothing cheaper is as good).",
            self.0.len(),
            as_budget(dear.macs),
            best.named(),
            100.0 * best.accuracy,
            cheap.named(),
            100.0 * cheap.accuracy,
            self.macs_ratio(),
            as_budget(cheap.macs),
            self.pareto().len(),
        )
    }

    /// The promises that this table does not keep, in plain words.
    pub(super) fn broken_promises(&self) -> Vec<String> {
        let mut broken = vec![];
        let best = self.most_accurate().accuracy;
        if best < MIN_ACCURACY {
            broken.push(format!("accuracy {:.1} %, promised {:.0} %", 100.0 * best, 100.0 * MIN_ACCURACY));
        }
        let n_pareto = self.pareto().len();
        if n_pareto < MIN_PARETO_ROWS {
            broken.push(format!("{n_pareto} rows worth choosing, promised {MIN_PARETO_ROWS}"));
        }
        let ratio = self.macs_ratio();
        if ratio < MIN_MACS_RATIO {
            broken
                .push(format!("the cheapest row does 1/{ratio:.1} of the work, promised 1/{MIN_MACS_RATIO}"));
        }
        broken
    }
}

impl Row {
    fn parse(row: &Value) -> Result<Self> {
        let missing = |field: &str| format!("a row of the table has no `{field}`: {row}");
        Ok(Self {
            width: row["width"].as_f64().with_context(|| missing("width"))?.to_string(),
            resolution: row["resolution"].as_u64().with_context(|| missing("resolution"))?,
            macs: row["macs"].as_u64().with_context(|| missing("macs"))?,
            accuracy: row["accuracy"]["value"].as_f64().with_context(|| missing("accuracy.value"))?,
            is_pareto: row["pareto"].as_bool().with_context(|| missing("pareto"))?,
        })
    }

    fn named(&self) -> String {
        format!("width {} at {} pixels", self.width, self.resolution)
    }
}

/// As the command line takes it, rounded up so that the row itself fits.
fn as_budget(macs: u64) -> String {
    let tenths = macs.div_ceil(10_000);
    format!("{}M", tenths as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(n_rows: u64, best: f64) -> Table {
        let row = |i: u64| {
            json!({
                "width": 0.25, "resolution": 32, "frames": 1, "macs": 1_000_001 * (i + 1),
                "accuracy": { "value": best - 0.01 * (n_rows - 1 - i) as f64 }, "pareto": true
            })
        };
        Table::parse(&json!({ "rows": (0..n_rows).map(row).collect::<Vec<_>>() }).to_string()).unwrap()
    }

    #[test]
    fn a_good_table_keeps_the_promises() {
        let good = table(12, 0.95);
        assert_eq!(good.broken_promises(), Vec::<String>::new());
        assert_eq!(good.three_budgets(), ["1.01M", "7.01M", "12.01M"]);
        assert!(good.told().contains("95.0 %"), "{}", good.told());
    }

    #[test]
    fn each_promise_is_checked() {
        assert_eq!(table(12, 0.89).broken_promises(), ["accuracy 89.0 %, promised 90 %"]);
        let few = table(7, 0.95).broken_promises();
        assert_eq!(few.len(), 2, "{few:?}");
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = Table::parse(r#"{"rows": [{"width": 0.5}]}"#).unwrap_err().to_string();
        assert!(error.contains("`resolution`"), "{error}");
    }
}
