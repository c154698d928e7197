//! What quickstart promises about the table that `mutualnet table --all --json` prints.
//!
//! Separate so that it is tested without training anything.

use anyhow::{Context, Result, bail};
use serde_json::Value;

const MIN_ACCURACY: f64 = 0.90;
const MIN_PARETO_ROWS: usize = 8;
const MIN_MACS_RATIO: f64 = 10.0;

/// What the promises are about.
#[derive(Debug)]
pub(super) struct Seen {
    /// MACs of the cheapest row, of the middle of the Pareto front, and of the most expensive row.
    macs: [u64; 3],
    n_pareto: usize,
    /// Accuracy of the best row, from 0 to 1.
    accuracy: f64,
}

impl Seen {
    /// Reads the command's output.
    pub(super) fn parse(json: &str) -> Result<Self> {
        let table: Value = serde_json::from_str(json).context("`mutualnet table --json` printed no JSON")?;
        let rows = table["rows"].as_array().context("the table has no `rows`")?;
        let pareto: Vec<_> = rows.iter().filter(|row| row["pareto"] == true).collect();
        // Rows are sorted by MACs, and on the Pareto front accuracy rises with them.
        let (Some(cheapest), Some(best), Some(most_expensive)) = (rows.first(), pareto.last(), rows.last())
        else {
            bail!("the table has no rows on the Pareto front");
        };
        let macs = |row: &Value| row["macs"].as_u64().context("a row has no `macs`");
        Ok(Self {
            macs: [macs(cheapest)?, macs(pareto[pareto.len() / 2])?, macs(most_expensive)?],
            n_pareto: pareto.len(),
            accuracy: best["quality"]["value"].as_f64().context("a row has no `quality.value`")?,
        })
    }

    /// A small budget, a middle one, and one that is enough for every row.
    pub(super) fn budgets(&self) -> [String; 3] {
        self.macs.map(|macs| macs.to_string())
    }

    /// The promises that the table does not keep.
    pub(super) fn broken_promises(&self) -> Vec<String> {
        let Self { macs: [cheapest, _, most_expensive], n_pareto, accuracy } = *self;
        let mut broken = vec![];
        if accuracy < MIN_ACCURACY {
            let [percent, promised] = [accuracy, MIN_ACCURACY].map(|share| 100.0 * share);
            broken.push(format!("the best accuracy is {percent:.1} %, promised {promised:.0} %"));
        }
        if n_pareto < MIN_PARETO_ROWS {
            broken.push(format!("{n_pareto} rows are on the Pareto front, promised {MIN_PARETO_ROWS}"));
        }
        let ratio = most_expensive as f64 / cheapest as f64;
        if ratio < MIN_MACS_RATIO {
            broken
                .push(format!("the rows' MACs differ by a factor of {ratio:.1}, promised {MIN_MACS_RATIO}"));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(n_rows: u64, best: f64) -> Seen {
        let row = |i: u64| {
            let accuracy = best - 0.01 * (n_rows - 1 - i) as f64;
            json!({ "macs": 1_000_001 * (i + 1), "quality": { "value": accuracy }, "pareto": true })
        };
        let beaten =
            json!({ "macs": 1_000_001 * (n_rows + 1), "quality": { "value": 0.1 }, "pareto": false });
        let rows: Vec<_> = (0..n_rows).map(row).chain([beaten]).collect();
        Seen::parse(&json!({ "rows": rows }).to_string()).unwrap()
    }

    #[test]
    fn a_good_table_keeps_the_promises() {
        let good = seen(12, 0.95);
        assert_eq!(good.broken_promises(), Vec::<String>::new());
        assert_eq!(good.budgets(), ["1000001", "7000007", "13000013"]);
    }

    #[test]
    fn each_promise_is_checked() {
        assert_eq!(seen(12, 0.89).broken_promises(), ["the best accuracy is 89.0 %, promised 90 %"]);
        let few = seen(7, 0.95).broken_promises();
        assert_eq!(few.len(), 2, "{few:?}");
    }

    #[test]
    fn a_missing_field_is_an_error() {
        for (rows, says) in [
            (json!([]), "no rows on the Pareto front"),
            (json!([{ "pareto": true, "quality": { "value": 0.5 } }]), "`macs`"),
            (json!([{ "pareto": true, "macs": 1 }]), "`quality.value`"),
        ] {
            let error = Seen::parse(&json!({ "rows": rows }).to_string()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
